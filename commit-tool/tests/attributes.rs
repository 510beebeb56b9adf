//! Access control lists, attributes and hard links of what moves from one layer to another, on real overlay
//! mounts: directories of a lower layer cannot be renamed there, and renamed files of it become others.

#[path = "support/lists.rs"]
mod lists;
mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lists::{get, list_of, set};
use osderive_lints::model::acl::{ACCESS, DEFAULT};
use rustix::fs::{CWD, IFlags, Mode, OFlags, ioctl_setflags, mkdirat, openat};
use support::{Run, TOOL, commit};

/// A layer above `$LOWER`, mounted at `$ROOT`.
const MOUNT: &str = r#"
mount -t overlay -o "lowerdir=$LOWER,upperdir=$UPPER,workdir=$WORK" overlay "$ROOT"
cd "$ROOT"
"#;

/// Brings what is there then to `$OUT`.
const COPY: &str = "cp -a . \"$OUT\"\n";

fn write(path: &Path) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, "content").expect("a file");
}

/// A bootable root with a link to software in /var, and a systemd-tmpfiles that can set lists.
fn bootable(root: &Path) {
    for directory in ["sysroot/ostree", "var/opt", "usr/lib"] {
        fs::create_dir_all(root.join(directory)).expect("directories");
    }
    symlink("sysroot/ostree", root.join("ostree")).expect("a link");
    symlink("var/opt", root.join("opt")).expect("a link");
    write(&root.join("usr/lib64/libacl.so.1"));
    fs::create_dir_all(root.join("usr/bin")).expect("directories");
    fs::write(root.join("usr/bin/systemd-tmpfiles"), "+PAM +ACL +BLKID").expect("a file");
}

/// Commits by hand a base image and a layer upon it, with a file in a directory of the base, and does some more.
fn in_layer(folder: &Path, prepare: impl FnOnce(&Path), directory: &str, more: &str) -> PathBuf {
    let path = |name: &str| folder.join(name);
    for name in ["lower", "upper", "work", "root", "out"] {
        fs::create_dir_all(path(name)).expect("directories");
    }
    bootable(&path("lower"));
    prepare(&path("lower"));
    let script = format!("{MOUNT}echo new > {directory}/new\n\"$TOOL\" commit --rootfs .\n{more}");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script])
        .env("TOOL", TOOL)
        .env("LOWER", path("lower"))
        .env("UPPER", path("upper"))
        .env("WORK", path("work"))
        .env("ROOT", path("root"))
        .env("OUT", path("out"))
        .stdin(Stdio::null())
        .output();
    Run::from(output.expect("unshare, of util-linux")).ended_with(0);
    path("out")
}

#[test]
fn software_of_a_lower_layer_moves_with_the_lists_and_attributes_of_its_directories() {
    let folder = tempfile::tempdir().expect("a directory");
    let prepare = |root: &Path| {
        let acme = root.join("var/opt/acme");
        for file in ["lib/file", "fresh/plain", "fresh/twin"] {
            write(&acme.join(file));
        }
        fs::hard_link(acme.join("fresh/twin"), acme.join("fresh/other")).expect("a link");
        for directory in ["lib", "fresh"] {
            set(&acme.join(directory), DEFAULT, &list_of(1));
            set(&acme.join(directory), "user.component", b"acme");
        }
        set(&acme.join("lib/file"), ACCESS, &list_of(1));
        // An older part of it has moved already, with what the new one has no more.
        let older = root.join("usr/lib/opt/acme/lib");
        write(&older.join("older"));
        set(&older, "user.old", b"old");
    };
    let out = in_layer(folder.path(), prepare, "var/opt/acme", COPY);
    let acme = out.join("usr/lib/opt/acme");
    for directory in ["lib", "fresh"] {
        let directory = acme.join(directory);
        assert_eq!(get(&directory, DEFAULT), Some(list_of(1)));
        assert_eq!(
            get(&directory, "user.component").as_deref(),
            Some(&b"acme"[..])
        );
        assert_eq!(get(&directory, ACCESS), None);
        assert_eq!(get(&directory, "user.old"), None);
    }
    assert!(acme.join("lib/older").exists());
    assert_eq!(get(&acme.join("lib/file"), ACCESS), Some(list_of(1)));
    // It does not get what its directory hands down to new files.
    assert_eq!(get(&acme.join("fresh/plain"), ACCESS), None);
    let inode = |name: &str| fs::metadata(acme.join(name)).expect("looks").ino();
    assert_eq!(inode("fresh/twin"), inode("fresh/other"));
}

#[test]
fn state_of_a_lower_layer_keeps_its_links_and_attributes_in_the_factory() {
    let folder = tempfile::tempdir().expect("a directory");
    let prepare = |root: &Path| {
        let app = root.join("var/lib/app");
        write(&app.join("a"));
        fs::create_dir(app.join("sub")).expect("a directory");
        fs::hard_link(app.join("a"), app.join("sub/b")).expect("a link");
        write(&app.join("c"));
        fs::create_dir_all(root.join("etc")).expect("a directory");
        fs::hard_link(app.join("c"), root.join("etc/c")).expect("a link");
        set(&app.join("sub"), "user.component", b"app");
        set(&app.join("a"), ACCESS, &list_of(1));
        set(&app.join("sub"), DEFAULT, &list_of(1));
    };
    let out = in_layer(folder.path(), prepare, "var/lib/app", COPY);
    let app = out.join("usr/share/factory/var/lib/app");
    let meta = |name: &str| fs::metadata(app.join(name)).expect("looks");
    assert_eq!(meta("a").ino(), meta("sub/b").ino());
    assert_eq!(meta("a").mode() & 0o777, 0o750);
    assert_eq!(get(&app.join("a"), ACCESS), None);
    assert_eq!(
        get(&app.join("sub"), "user.component").as_deref(),
        Some(&b"app"[..])
    );
    assert_eq!(fs::read(out.join("etc/c")).expect("a file"), b"content");
    assert_eq!(fs::read(app.join("c")).expect("a file"), b"content");
    assert!(!out.join("var/lib/app").exists());
    let lines = fs::read_dir(out.join("usr/lib/tmpfiles.d")).expect("lists");
    let lines: String = lines
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("reads"))
        .collect();
    for name in [r"\\a", r"sub/\\b", r"\\sub"] {
        let line = format!("a+ \"/var/lib/app/{name}\" ");
        assert!(lines.contains(&line), "{name}: {lines}");
    }
}

#[test]
fn software_with_paths_longer_than_linux_takes_at_once_moves() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path();
    bootable(root);
    let acme = root.join("var/opt/acme");
    write(&acme.join("bin/acme"));
    fs::set_permissions(acme.join("bin/acme"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let name = "n".repeat(200);
    let deep = |top: &Path, make: bool| {
        let mut directory = openat(CWD, top, OFlags::RDONLY, Mode::empty()).expect("opens");
        for _ in 0..30 {
            if make {
                mkdirat(&directory, &name, Mode::RWXU).expect("a directory");
            }
            directory = openat(&directory, &name, OFlags::RDONLY, Mode::empty()).expect("opens");
        }
        let flags = if make {
            OFlags::CREATE
        } else {
            OFlags::empty()
        };
        openat(&directory, "deep", OFlags::RDONLY | flags, Mode::RUSR).expect("a file");
    };
    deep(&acme, true);
    commit(root, &[]).ended_with(0);
    deep(&root.join("usr/lib/opt/acme"), false);
    assert!(fs::symlink_metadata(&acme).expect("looks").is_symlink());
}

/// The same of a lower layer, where it has to be copied.
#[test]
fn software_with_such_paths_is_copied_from_a_lower_layer() {
    let folder = tempfile::tempdir().expect("a directory");
    let name = "n".repeat(200);
    let prepare = |root: &Path| {
        let acme = root.join("var/opt/acme");
        write(&acme.join("bin/acme"));
        let mut directory = openat(CWD, &acme, OFlags::RDONLY, Mode::empty()).expect("opens");
        for _ in 0..30 {
            mkdirat(&directory, &name, Mode::RWXU).expect("a directory");
            directory = openat(&directory, &name, OFlags::RDONLY, Mode::empty()).expect("opens");
        }
        let flags = OFlags::CREATE | OFlags::RDONLY;
        openat(&directory, "deep", flags, Mode::RUSR).expect("a file");
    };
    in_layer(folder.path(), prepare, "var/opt/acme", "");
    let acme = folder.path().join("upper/usr/lib/opt/acme");
    let mut directory = openat(CWD, acme, OFlags::RDONLY, Mode::empty()).expect("opens");
    for _ in 0..30 {
        directory = openat(&directory, &name, OFlags::RDONLY, Mode::empty()).expect("opens");
    }
    openat(&directory, "deep", OFlags::RDONLY, Mode::empty()).expect("a file");
}

#[test]
fn software_with_an_immutable_file_stays_and_is_told_and_the_rest_moves() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path();
    bootable(root);
    for software in ["frozen", "free"] {
        write(&root.join("var/opt").join(software).join("bin/tool"));
    }
    let fixed = root.join("var/opt/frozen/fixed");
    write(&fixed);
    let file = fs::File::open(&fixed).expect("opens");
    ioctl_setflags(&file, IFlags::IMMUTABLE).expect("a file system with flags");
    let run = commit(root, &[]);
    ioctl_setflags(&file, IFlags::empty()).expect("takes it back");
    assert!(
        run.ended_with(0).stderr.contains("/var/opt/frozen"),
        "{run:?}"
    );
    assert!(run.stderr.contains("immutable"), "{run:?}");
    assert!(root.join("var/opt/frozen/bin/tool").exists() && fixed.exists());
    assert!(root.join("usr/lib/opt/free/bin/tool").exists());
}

/// As a rootless build sees it: an id that its user namespace does not have is no id.
#[test]
fn a_list_that_names_an_id_unknown_to_a_rootless_build_stays_and_is_told() {
    let folder = tempfile::tempdir().expect("a directory");
    let root = folder.path();
    bootable(root);
    write(&root.join("var/lib/app/free"));
    write(&root.join("var/lib/app/listed"));
    set(&root.join("var/lib/app/listed"), ACCESS, &list_of(1));
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", TOOL, "commit", "--rootfs"])
        .arg(root)
        .stdin(Stdio::null())
        .output();
    let run = Run::from(output.expect("unshare, of util-linux"));
    let told = &run.ended_with(0).stderr;
    assert!(told.contains("/var/lib/app/listed"), "{told}");
    assert!(told.contains("id that this build does not have"), "{told}");
    assert_eq!(
        get(&root.join("var/lib/app/listed"), ACCESS),
        Some(list_of(1))
    );
    assert!(root.join("usr/share/factory/var/lib/app/free").exists());
}
