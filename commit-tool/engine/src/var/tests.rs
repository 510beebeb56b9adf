//! Steps and ends of builds on real trees: what is declared of /var, what is kept, what goes.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use osderive_lints::model::tmpfiles::{Line, Mode, Owner};
use proptest::prelude::*;

use super::*;
use crate::{
    base::{Base, testing::base_like},
    commit::{
        Snapshot,
        testing::{settle_alone, upon},
    },
    mounts::Mounts,
    rootfs::Rootfs,
    settings::Settings,
    trees::tree,
};

mod attributes;
mod brought;
mod prelude;

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nweb:x:901:902::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:902:\n";

/// A root with an empty /var and one snippet.
fn root_with(snippet: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    fs::create_dir(root.path().join("var")).expect("a directory");
    write("etc/passwd", PASSWD.as_bytes());
    write("etc/group", GROUP.as_bytes());
    write("usr/lib/tmpfiles.d/test.conf", snippet);
    write("usr/share/factory/var/lib/app/db/data", b"data");
    write("usr/share/factory/var/lib/app/conf", b"conf");
    symlink(
        "conf",
        root.path().join("usr/share/factory/var/lib/app/link"),
    )
    .expect("a link");
    root
}

/// The same with a snippet of ours.
fn root_with_own(snippet: &[u8]) -> tempfile::TempDir {
    let root = root_with(snippet);
    let folder = root.path().join("usr/lib/tmpfiles.d");
    let own = folder.join("00-osderive-0123456789ab.conf");
    fs::rename(folder.join("test.conf"), own).expect("a name");
    root
}

fn prelude_in(root: &Path) -> (Rootfs, Prelude) {
    let rootfs = Rootfs::open(root).expect("opens");
    let prelude = Prelude::make(&rootfs)
        .expect("works")
        .expect("/var is open");
    (rootfs, prelude)
}

/// Runs this machine's systemd-tmpfiles as boot does.
fn systemd_tmpfiles(root: &Path) {
    let mut root_option = OsString::from("--root=");
    root_option.push(root);
    let mut command = Command::new("systemd-tmpfiles");
    command
        .args(["--create", "--boot", "--prefix=/var"])
        .arg(root_option);
    // Lines that it skips make it end with an error, here as at boot.
    let ran = command.output();
    ran.expect("systemd-tmpfiles, of Debian's systemd or systemd-standalone-tmpfiles");
}

/// Runs a step as `step` does.
fn step(root: &Path, command: &str) {
    let rootfs = Rootfs::open(root).expect("opens");
    let before = Snapshot::of_step(&rootfs, None).expect("looks");
    let mut shell = Command::new("sh");
    let ended = shell.args(["-ec", command]).current_dir(root).status();
    assert!(ended.expect("runs").success(), "{command}");
    settle_alone(
        |known| known.var(),
        &rootfs,
        Some(&before),
        &Settings::default(),
    );
}

/// Ends a build upon a base image; answers whether something changed.
fn end(root: &Path, base: &Path) -> bool {
    ended(root, base).is_changed()
}

/// The same; answers with what was done.
fn ended(root: &Path, base: &Path) -> DomainOutcome {
    let rootfs = Rootfs::open(root).expect("opens");
    let before = upon(&rootfs, Base::open(base).expect("opens"));
    settle_alone(
        |known| known.var(),
        &rootfs,
        Some(&before),
        &Settings::default(),
    )
}

/// The lines of our files.
fn own_lines(root: &Path) -> Vec<String> {
    let folder = root.join("usr/lib/tmpfiles.d");
    let names = fs::read_dir(folder).expect("lists");
    let paths = names.map(|entry| entry.expect("an entry").path());
    let own = paths.filter(|path| path.to_string_lossy().contains("00-osderive-"));
    let mut lines: Vec<String> = own
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("reads");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_link_that_leads_into_run_leads_to_a_directory_while_a_command_runs() {
    let root = root_with(b"L /var/lock - - - - ../run/lock\nL /var/run - - - - ../run\n");
    let path = |path: &str| root.path().join(path);
    fs::create_dir(path("run")).expect("a directory");
    symlink("../run/deep/app", path("var/app")).expect("a link");
    symlink("../etc/none", path("var/elsewhere")).expect("a link");
    let meta = || fs::metadata(path("run")).expect("looks");
    let before = meta().modified().expect("a time");
    step(
        root.path(),
        "test -d var/lock/. && test -d var/app/. && test ! -e etc/none && echo 1 >var/app/pid",
    );
    assert!(!path("run/lock").exists());
    assert_ne!(meta().modified().expect("a time"), before);
    // What a command has put there stays for the next one.
    step(root.path(), "rm var/app/pid && rmdir run/deep/app run/deep");
    let before = meta().modified().expect("a time");
    step(root.path(), "test -d var/lock/. && test -d var/app/.");
    assert_eq!(fs::read_dir(path("run")).expect("lists").count(), 0);
    assert_eq!(meta().modified().expect("a time"), before);
}

#[test]
fn nothing_is_made_in_a_run_that_is_mounted_or_a_link() {
    let root = root_with(b"L /var/lock - - - - ../run/lock\n");
    let path = |path: &str| root.path().join(path);
    let (rootfs, prelude) = prelude_in(root.path());
    prelude.take_away(&rootfs).expect("takes away");
    assert!(!path("run").exists());
    fs::create_dir(path("elsewhere")).expect("a directory");
    symlink("elsewhere", path("run")).expect("a link");
    let _ = prelude_in(root.path());
    assert!(!path("elsewhere/lock").exists());
    fs::remove_file(path("run")).expect("removes");
    fs::create_dir(path("run")).expect("a directory");
    let mounts = Mounts::parse(b"1 1 0:1 / /run rw - x x rw", b"/");
    let place = Place::with_mounts(&rootfs, mounts);
    let _ = Prelude::make_in(&place, &rootfs).expect("makes");
    assert!(!path("run/lock").exists());
}

#[test]
fn what_is_known_to_go_stays_for_later_runs_and_goes_at_the_end() {
    let root = root_with(b"d /var/lib/apt/lists/partial 0700\n");
    let path = |path: &str| root.path().join(path);
    let (base, _) = base_like(root.path());
    step(
        root.path(),
        "mkdir -p var/lib/apt/lists/partial var/log/app var/lib/rabbitmq/mnesia
         echo 1 >var/lib/apt/lists/x_Packages
         echo 1 >var/lib/apt/extended_states
         echo 1 >var/log/build.log
         echo 1 >var/log/app/app.log
         chown -R 901:902 var/log/app
         echo 1 >var/lib/rabbitmq/mnesia/db
         echo 1 >var/lib/rabbitmq/conf",
    );
    step(
        root.path(),
        "cat var/lib/apt/lists/x_Packages var/log/build.log var/log/app/app.log
         cat var/lib/rabbitmq/mnesia/db var/lib/rabbitmq/conf
         echo 2 >>var/lib/apt/extended_states",
    );
    assert!(path("var/log/build.log").exists());
    assert!(end(root.path(), base.path()));
    assert_eq!(tree(&path("var")).len(), 1, "{:?}", tree(&path("var")));
    let factory = path("usr/share/factory/var/lib");
    assert!(!factory.join("rabbitmq/mnesia/db").exists());
    assert!(factory.join("rabbitmq/conf").exists());
    assert!(!factory.join("apt/lists/x_Packages").exists());
    prelude_in(root.path());
    let read = |file: &str| fs::read_to_string(path(file)).expect("a file");
    assert_eq!(read("var/lib/apt/extended_states"), "1\n2\n");
    assert_eq!(read("var/log/app/app.log"), "");
    assert!(!path("var/log/build.log").exists());
}

#[test]
fn the_scratch_space_of_package_managers_is_not_declared_and_that_of_services_is() {
    let root = root_with(b"");
    let command = "mkdir -p var/cache/debconf/tmp.ci var/cache/libdnf5/repo-1 var/cache/app";
    step(root.path(), command);
    let lines = own_lines(root.path());
    assert_eq!(lines, ["d /var/cache/app 0755 root root -"]);
}

#[test]
fn what_a_unit_asks_for_is_no_cache() {
    let root = root_with(b"");
    let base = root_with(b"");
    let path = |path: &str| root.path().join(path);
    let unit = "[Service]\nEnvironmentFile=/var/cache/app/app.env\nEnvironmentFile=-/var/cache/app/may.env\n";
    fs::create_dir_all(path("usr/lib/systemd/system")).expect("directories");
    fs::write(path("usr/lib/systemd/system/app.service"), unit).expect("a unit");
    let command = "mkdir -p var/cache/app && cd var/cache/app && echo A=1 >app.env && echo x >may.env && echo x >large";
    step(root.path(), command);
    // Later RUNs find all of it.
    assert!(path("var/cache/app/large").exists());
    end(root.path(), base.path());
    let factory = path("usr/share/factory/var/cache/app");
    assert_eq!(
        fs::read_to_string(factory.join("app.env")).expect("a file"),
        "A=1\n"
    );
    assert!(!factory.join("may.env").exists() && !factory.join("large").exists());
    let lines = own_lines(root.path());
    assert_eq!(
        lines,
        [
            "C /var/cache/app/app.env 0644 root root -",
            "d /var/cache/app 0755 root root -",
        ]
    );
}

#[test]
fn emptying_what_many_share_is_no_wish_to_undo_what_earlier_runs_declared() {
    for command in ["rm -rf var/*", "rm -rf var/lib/*", "rm -rf var/lib"] {
        let root = root_with(b"d /var/lib/other\nd /var/log\n");
        let path = |path: &str| root.path().join(path);
        step(
            root.path(),
            "mkdir -p var/lib/app var/lib/empty && echo 1 >var/lib/app/conf",
        );
        let lines = own_lines(root.path());
        step(root.path(), command);
        assert_eq!(own_lines(root.path()), lines, "{command}");
        assert!(path("usr/share/factory/var/lib/app/conf").exists());
        // What a RUN removed does not come back for the next one.
        step(
            root.path(),
            "test ! -e var/lib/app && test ! -e var/lib/other",
        );
        step(
            root.path(),
            "mkdir -p var/lib/mine && echo 2 >var/lib/mine/conf",
        );
        step(
            root.path(),
            "test -s var/lib/mine/conf && test ! -e var/lib/app",
        );
        let (base, _) = base_like(root.path());
        end(root.path(), base.path());
        assert!(!path("usr/lib/sysimage").join("osderive-unmade").exists());
        prelude_in(root.path());
        for made in ["app/conf", "empty", "other", "mine/conf"] {
            assert!(path("var/lib").join(made).exists(), "{command}: {made}");
        }
    }
}

#[test]
fn a_private_key_is_not_kept_in_the_factory_silently() {
    let root = root_with(b"");
    let (base, _) = base_like(root.path());
    let key = "-----BEGIN PRIVATE KEY-----";
    step(
        root.path(),
        &format!(
            "mkdir -p var/lib/app var/lib/other && umask 077
             echo '{key}' >var/lib/app/a.key && echo text >var/lib/app/b && echo '{key}' >var/lib/other/c"
        ),
    );
    let copied = root.path().join("var/lib/copied.key");
    fs::create_dir_all(copied.parent().expect("a parent")).expect("directories");
    fs::write(&copied, format!("{key}\n")).expect("a file");
    fs::set_permissions(&copied, fs::Permissions::from_mode(0o600)).expect("a mode");
    let outcome = ended(root.path(), base.path());
    let [finding] = &outcome.findings[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(finding.rule, "secret-in-image");
    let factory = |path: &str| format!("/usr/share/factory/var/lib/{path}");
    assert_eq!(
        finding.paths,
        ["app/a.key", "copied.key", "other/c"].map(factory)
    );
}

#[test]
fn what_a_run_removes_beside_its_kin_is_not_wanted_any_more() {
    let root = root_with(b"d /var/lib/other\n");
    let path = |path: &str| root.path().join(path);
    step(
        root.path(),
        "mkdir -p var/lib/app var/lib/empty var/lib/tree
         echo 1 >var/lib/app/conf; echo 1 >var/lib/tree/a; echo 1 >var/lib/tree/b",
    );
    step(
        root.path(),
        "rm -r var/lib/app var/lib/empty var/lib/tree/a",
    );
    assert!(!path("usr/share/factory/var/lib/app/conf").exists());
    assert!(!path("usr/share/factory/var/lib/tree/a").exists());
    assert_eq!(own_lines(root.path()), ["C /var/lib/tree 0755 root root -"]);
    assert!(!path("usr/lib/sysimage/osderive-unmade").exists());
}

#[test]
fn what_stands_in_a_layer_where_a_line_makes_it_does_not_come_back_either() {
    let root = root_with(b"d /var/log 0755\n");
    let path = |path: &str| root.path().join(path);
    // A log keeps its directory in the layer.
    step(
        root.path(),
        "mkdir -p var/log/app var/log/other && echo 1 >var/log/app/log && echo 1 >var/log/other/log",
    );
    assert!(path("var/log/app/log").exists());
    assert_eq!(own_lines(root.path()).len(), 2);
    step(root.path(), "rm -r var/log/app");
    assert_eq!(
        own_lines(root.path()),
        ["d /var/log/other 0755 root root -"]
    );
    step(root.path(), "test ! -e var/log/app && rm -rf var/*");
    assert_eq!(
        own_lines(root.path()),
        ["d /var/log/other 0755 root root -"]
    );
    step(root.path(), "test ! -e var/log");
}

#[test]
fn what_a_run_removed_of_the_base_can_be_made_by_the_next_one() {
    let root = root_with(b"d /var/lib/private 0700\nd /var/lib/other\nC /var/lib/app\n");
    let path = |path: &str| root.path().join(path);
    step(root.path(), "rm -r var/lib/private var/lib/app/db");
    step(
        root.path(),
        "test ! -e var/lib/app/db && test -e var/lib/app/conf",
    );
    step(root.path(), "mkdir -m 0700 var/lib/private");
    step(
        root.path(),
        "test -d var/lib/private && test ! -e var/lib/app/db",
    );
    assert!(!path("var/lib/private").exists());
    prelude_in(root.path());
    assert!(path("var/lib/private").exists());
}

#[test]
fn at_the_end_what_copy_brought_is_kept_and_what_the_base_has_stays() {
    let root = root_with(b"d /var/lib/declared\n");
    let path = |path: &str| root.path().join(path);
    let kept = |file: &str| fs::read_to_string(path("usr/share/factory/var").join(file)).ok();
    let copy = |file: &str| {
        fs::create_dir_all(path(file).parent().expect("a parent")).expect("directories");
        fs::write(path(file), "copied").expect("a file");
    };
    copy("var/lib/base/x");
    let (base, _) = base_like(root.path());
    step(
        root.path(),
        "mkdir var/lib/made && echo 1 >var/lib/made/conf",
    );
    for file in ["var/lib/new/conf", "var/srv/www/index", "var/lib/made/more"] {
        copy(file);
    }
    fs::create_dir(path("var/lib/made/empty")).expect("a directory");
    step(
        root.path(),
        "test -s var/lib/made/conf && test -s var/lib/made/more",
    );
    assert!(path("var/lib/new/conf").exists());
    assert!(end(root.path(), base.path()));
    for file in ["lib/new/conf", "srv/www/index", "lib/made/more"] {
        assert_eq!(kept(file).as_deref(), Some("copied"), "{file}");
        assert!(!path("var").join(file).exists(), "{file}");
    }
    assert!(path("usr/share/factory/var/lib/made/empty").exists());
    assert!(path("var/lib/base/x").exists());
    assert!(!end(root.path(), base.path()));
}

/// A step made them; WORKDIR, and COPY for one of them, made the directories anew.
#[test]
fn a_directory_of_a_lower_layer_is_completed_with_what_earlier_steps_had_in_it() {
    let root = root_with_own(b"C /var/lib/app 0700 web web\n");
    let path = |path: &str| root.path().join(path);
    fs::create_dir_all(path("var/lib/app/db")).expect("directories");
    fs::write(path("var/lib/app/conf"), "copied").expect("a file");
    let (rootfs, prelude) = prelude_in(root.path());
    let read = |file: &str| fs::read_to_string(path(file)).expect("a file");
    assert_eq!(read("var/lib/app/db/data"), "data");
    assert_eq!(read("var/lib/app/conf"), "copied");
    let app = fs::metadata(path("var/lib/app")).expect("a directory");
    assert_eq!(
        (app.uid(), app.gid(), app.mode() & 0o7777),
        (901, 902, 0o700)
    );
    let data = fs::metadata(path("var/lib/app/db/data")).expect("a file");
    assert_eq!((data.uid(), data.gid()), (901, 902));
    let prelude_state = prelude.take_away(&rootfs).expect("works");
    prelude.finish(&rootfs, &prelude_state).expect("works");
    assert!(prelude_state.gone.is_empty());
    assert_eq!(prelude_state.lower[Path::new("var/lib/app")].look.uid, 901);
    assert!(!path("var/lib/app/db/data").exists() && !path("var/lib/app/link").exists());
    assert_eq!(read("var/lib/app/conf"), "copied");
}

#[test]
fn a_directory_where_a_file_was_is_left_as_it_is() {
    let root = root_with_own(b"f /var/lib/file 0640 web web\nC /var/lib/app/conf 0640 web web\n");
    let path = |path: &str| root.path().join(path);
    for directory in ["var/lib/file", "var/lib/app/conf"] {
        fs::create_dir_all(path(directory)).expect("directories");
    }
    let before = tree(&path("var"));
    prelude_in(root.path());
    assert_eq!(tree(&path("var")), before);
}

#[test]
fn lines_of_others_leave_a_directory_of_a_lower_layer_as_it_is() {
    let root = root_with(
        b"C /var/lib/app 0700 web web\nd /var/lib/db 0700 web web\nd /var/lib/way 0755 root root\n",
    );
    for directory in ["var/lib/app", "var/lib/db", "var/lib/way"] {
        fs::create_dir_all(root.path().join(directory)).expect("directories");
    }
    fs::write(root.path().join("var/lib/app/x"), "").expect("a file");
    let before = tree(&root.path().join("var"));
    prelude_in(root.path());
    assert_eq!(tree(&root.path().join("var")), before);
    // As WORKDIR makes it when a user builds.
    let way = root.path().join("var/lib/way");
    std::os::unix::fs::chown(&way, Some(901), Some(902)).expect("an owner");
    prelude_in(root.path());
    let way = fs::metadata(way).expect("a directory");
    assert_eq!((way.uid(), way.gid()), (0, 0));
}

#[test]
fn what_a_transaction_of_rpm_leaves_goes_with_its_directories() {
    let root = root_with(b"d /var/lib\n");
    let command =
        "mkdir -p var/lib/rpm-state/app var/lib/dnf/repos/x && touch var/lib/rpm-state/app/state";
    step(root.path(), command);
    assert_eq!(own_lines(root.path()), [""; 0]);
    let path = |path: &str| root.path().join(path);
    assert!(path("var/lib/rpm-state/app/state").exists());
    assert!(!path("usr/share/factory/var/lib/rpm-state").exists());
    assert!(!path("usr/lib/sysimage").exists());
}

#[test]
fn the_history_of_dnf_is_a_database() {
    let root = root_with(b"d /var/lib\n");
    step(
        root.path(),
        "mkdir -p var/lib/dnf && echo 1 >var/lib/dnf/history.sqlite",
    );
    let lines = own_lines(root.path());
    assert_eq!(lines, ["L /var/lib/dnf - - - - ../../usr/lib/sysimage/dnf"]);
    assert!(
        root.path()
            .join("usr/lib/sysimage/dnf/history.sqlite")
            .exists()
    );
}

#[test]
fn records_of_alternatives_come_beside_those_that_the_image_has_in_etc() {
    let root = root_with(b"d /var/lib\n");
    let path = |path: &str| root.path().join(path);
    fs::create_dir(path("etc/alternatives-admindir")).expect("a directory");
    fs::write(path("etc/alternatives-admindir/awk"), "auto").expect("a file");
    let link = ["L /var/lib/alternatives - - - - ../../etc/alternatives-admindir"];
    step(root.path(), "mkdir -p var/lib/alternatives");
    assert_eq!(own_lines(root.path()), link);
    step(
        root.path(),
        "mkdir -p var/lib/alternatives && echo auto >var/lib/alternatives/vi",
    );
    assert_eq!(own_lines(root.path()), link);
    assert!(path("etc/alternatives-admindir/vi").exists());
    assert!(path("etc/alternatives-admindir/awk").exists());
}
