//! Moves on real trees: what a step put into /opt and /usr/local is in the image afterwards, with
//! links to it, whatever it is called and wherever the commit is killed.

use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    },
    path::{Path, PathBuf},
};

use osderive_lints::Change;
use proptest::prelude::*;
use rustix::fd::AsFd as _;

use super::*;
use crate::{
    base::{Base, testing::base_like},
    commit::{
        self,
        testing::{settle_alone, upon},
    },
    domain::Phase,
    handle::read_in_root,
    mounts::Mounts,
    settings::Settings,
    trees::tree,
};

mod at_run_time;
mod interrupted;

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nacme:x:901:901::/:/bin/false\n";
const SHARED: &str = "d /var/opt\nd /var/usrlocal/bin\nd /var/usrlocal/lib\n";

/// An image with both areas as links into /var, as ostree bases have them.
fn image() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "etc/passwd", PASSWD);
    write(root.path(), "etc/group", "root:x:0:\nacme:x:901:\n");
    write(root.path(), "usr/lib/tmpfiles.d/base.conf", SHARED);
    fs::create_dir(root.path().join("var")).expect("a directory");
    symlink("var/opt", root.path().join("opt")).expect("a link");
    symlink("../var/usrlocal", root.path().join("usr/local")).expect("a link");
    root
}

fn write(root: &Path, path: impl AsRef<Path>, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, content).expect("a file");
}

/// Runs a step as `step` does: /var is made, the command runs, the commit follows.
fn step(root: &Path, settings: &Settings, command: impl FnOnce(&Path)) -> DomainOutcome {
    let rootfs = Rootfs::open(root).expect("opens");
    let before = commit::Snapshot::of_step(&rootfs, None).expect("looks");
    command(root);
    settle_alone(|known| known.opt(), &rootfs, Some(&before), settings)
}

/// Ends a build upon a base image.
fn end(root: &Path, base: &Path, settings: &Settings) -> DomainOutcome {
    let rootfs = Rootfs::open(root).expect("opens");
    let before = upon(&rootfs, Base::open(base).expect("opens"));
    settle_alone(|known| known.opt(), &rootfs, Some(&before), settings)
}

/// A whole build of one RUN: what the end of it did.
fn build(root: &Path, settings: &Settings, command: impl FnOnce(&Path)) -> DomainOutcome {
    let (base, _) = base_like(root);
    step(root, settings, command);
    end(root, base.path(), settings)
}

fn plain_step(root: &Path, command: impl FnOnce(&Path)) -> DomainOutcome {
    step(root, &Settings::default(), command)
}

/// A commit by hand.
fn bare(root: &Path) -> DomainOutcome {
    let rootfs = Rootfs::open(root).expect("opens");
    settle_alone(|known| known.opt(), &rootfs, None, &Settings::default())
}

/// The lines of all files of ours.
fn own_lines(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(root.join("usr/lib/tmpfiles.d")).expect("lists") {
        let entry = entry.expect("an entry");
        if entry.file_name().as_bytes().starts_with(b"00-osderive-") {
            let content = fs::read_to_string(entry.path()).expect("reads");
            let own = content.lines().filter(|line| !line.starts_with('#'));
            lines.extend(own.map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

fn target(root: &Path, path: &str) -> PathBuf {
    fs::read_link(root.join(path)).expect("a link")
}

fn rules(outcome: &DomainOutcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| &finding.rule[..])
        .collect()
}

#[test]
fn software_moves_to_the_image_and_links_lead_to_it() {
    let root = image();
    let outcome = plain_step(root.path(), |root| {
        write(root, "var/opt/acme/bin/run", "1");
        write(root, "var/opt/single", "2");
        write(root, "var/usrlocal/bin/tool", "3");
        write(root, "var/usrlocal/lib/node/index", "4");
        write(root, "var/usrlocal/games/chess", "5");
        symlink("acme", root.join("var/opt/current")).expect("a link");
    });
    for (path, content) in [
        ("usr/lib/opt/acme/bin/run", "1"),
        ("usr/lib/opt/single", "2"),
        ("usr/lib/usrlocal/bin/tool", "3"),
        ("usr/lib/usrlocal/lib/node/index", "4"),
        ("usr/lib/usrlocal/games/chess", "5"),
    ] {
        assert_eq!(
            fs::read_to_string(root.path().join(path)).expect("a file"),
            content
        );
    }
    assert_eq!(
        own_lines(root.path()),
        [
            "L+ /var/opt/acme - - - - /usr/lib/opt/acme",
            "L+ /var/opt/current - - - - acme",
            "L+ /var/opt/single - - - - /usr/lib/opt/single",
            "L+ /var/usrlocal/bin/tool - - - - /usr/lib/usrlocal/bin/tool",
            "L+ /var/usrlocal/games/chess - - - - /usr/lib/usrlocal/games/chess",
            "L+ /var/usrlocal/lib/node - - - - /usr/lib/usrlocal/lib/node",
        ]
    );
    for line in own_lines(root.path()) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(target(root.path(), &fields[1][1..]), Path::new(fields[6]));
    }
    assert!(outcome.findings.is_empty(), "{outcome:?}");
    let moves = outcome
        .changed
        .iter()
        .filter(|file| file.change == Change::Moved);
    assert_eq!(moves.count(), 5);
}

#[test]
fn a_step_that_leaves_software_alone_changes_nothing() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/log/first", "1");
    });
    // As in a base whose /var was emptied.
    fs::remove_dir_all(root.path().join("var")).expect("removes");
    fs::create_dir(root.path().join("var")).expect("a directory");
    let before = tree(root.path());
    let outcome = plain_step(root.path(), |_| ());
    assert!(outcome.changed.is_empty(), "{outcome:?}");
    assert_eq!(tree(root.path()), before);
}

#[test]
fn an_upgrade_writes_through_the_links() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/run", "1");
        write(root, "var/opt/acme/old", "1");
        write(root, "var/usrlocal/bin/tool", "1");
        write(root, "var/usrlocal/bin/copied", "1");
    });
    let lines = own_lines(root.path());
    let outcome = plain_step(root.path(), |root| {
        let opt = root.join("usr/lib/opt/acme");
        fs::write(opt.join("run.dpkg-new"), "2").expect("writes");
        fs::rename(opt.join("run.dpkg-new"), opt.join("run")).expect("renames");
        fs::remove_file(opt.join("old")).expect("removes");
        // As install(1) does, which takes away the link.
        fs::remove_file(root.join("var/usrlocal/bin/tool")).expect("removes");
        fs::write(root.join("var/usrlocal/bin/tool"), "2").expect("writes");
        fs::write(root.join("usr/lib/usrlocal/bin/copied"), "2").expect("writes");
    });
    let read = |path: &str| fs::read_to_string(root.path().join(path)).expect("reads");
    assert_eq!(read("usr/lib/opt/acme/run"), "2");
    assert_eq!(read("usr/lib/usrlocal/bin/tool"), "2");
    assert_eq!(read("usr/lib/usrlocal/bin/copied"), "2");
    assert!(!root.path().join("usr/lib/opt/acme/old").exists());
    assert_eq!(
        target(root.path(), "var/usrlocal/bin/tool"),
        Path::new("/usr/lib/usrlocal/bin/tool")
    );
    assert_eq!(own_lines(root.path()), lines);
    assert!(outcome.findings.is_empty(), "{outcome:?}");
}

#[test]
fn a_removal_takes_the_rest_and_the_line_away() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/bin/run", "1");
        write(root, "var/opt/acme/log/first", "1");
        write(root, "var/opt/other", "1");
    });
    // As dpkg does: the files through the link, then the links in place of directories.
    plain_step(root.path(), |root| {
        fs::remove_dir_all(root.join("usr/lib/opt/acme/bin")).expect("removes");
        fs::remove_dir_all(root.join("usr/lib/opt/acme/log")).expect("removes");
        fs::remove_file(root.join("var/opt/acme")).expect("removes");
        fs::remove_file(root.join("opt")).expect("removes");
    });
    assert_eq!(target(root.path(), "opt"), Path::new("var/opt"));
    assert!(!root.path().join("usr/lib/opt/acme").exists());
    assert_eq!(
        own_lines(root.path()),
        ["L+ /var/opt/other - - - - /usr/lib/opt/other"]
    );
}

#[test]
fn a_link_that_stays_after_a_removal_goes_with_the_rest() {
    let root = image();
    plain_step(root.path(), |root| write(root, "var/opt/acme/run", "1"));
    plain_step(root.path(), |root| {
        fs::remove_file(root.join("usr/lib/opt/acme/run")).expect("removes");
    });
    assert!(!root.path().join("usr/lib/opt/acme").exists());
    assert!(fs::symlink_metadata(root.path().join("var/opt/acme")).is_err());
    assert_eq!(own_lines(root.path()), [""; 0]);
}

#[test]
fn software_that_a_command_removes_beside_other_software_goes_with_its_line() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/mine", "1");
        write(root, "var/opt/other/mine", "1");
    });
    let outcome = plain_step(root.path(), |root| {
        fs::remove_file(root.join("var/opt/acme")).expect("removes");
    });
    assert!(!root.path().join("usr/lib/opt/acme").exists());
    assert!(fs::symlink_metadata(root.path().join("var/opt/acme")).is_err());
    assert!(root.path().join("usr/lib/opt/other/mine").exists());
    assert_eq!(
        own_lines(root.path()),
        ["L+ /var/opt/other - - - - /usr/lib/opt/other"]
    );
    assert_eq!(rules(&outcome), [""; 0]);
}

#[test]
fn software_stays_for_the_machine_where_all_links_go_and_no_later_run_finds_it() {
    for (gone, told) in [("var/opt/acme", &["opt-left-over"][..]), ("var/opt", &[])] {
        let root = image();
        plain_step(root.path(), |root| write(root, "var/opt/acme/mine", "1"));
        let outcome = plain_step(root.path(), |root| {
            let path = root.join(gone);
            let removed = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
            removed.expect("removes");
        });
        assert_eq!(rules(&outcome), told, "{gone}");
        assert!(root.path().join("usr/lib/opt/acme/mine").exists());
        assert_eq!(own_lines(root.path()).len(), 1);
    }
}

/// What a command does in a root.
type Command<'a> = &'a dyn Fn(&Path);

#[test]
fn software_goes_with_its_last_link_where_its_package_is_removed() {
    let status = "var/lib/dpkg/status";
    let database = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../lints/tests/rpmdb/rpmdb.sqlite.gz"
    );
    let unpack = |root: &Path| {
        let database = std::process::Command::new("gzip")
            .args(["-dc", database])
            .output();
        let database = database.expect("runs gzip").stdout;
        fs::create_dir_all(root.join("usr/share/rpm")).expect("directories");
        fs::write(root.join("usr/share/rpm/rpmdb.sqlite"), database).expect("a file");
    };
    // The package acme-agent of the database owns /usr/local/bin/acme.
    let cases: [(&str, Command<'_>, bool); 4] = [
        ("tool", &|root| write(root, status, "1"), false),
        ("tool", &unpack, false),
        ("tool", &|_| (), true),
        ("acme", &unpack, true),
    ];
    for (name, change, stays) in cases {
        let root = image();
        let link = Path::new("var/usrlocal/bin").join(name);
        plain_step(root.path(), |root| write(root, &link, "1"));
        let outcome = plain_step(root.path(), |root| {
            fs::remove_file(root.join(&link)).expect("removes");
            change(root);
        });
        let software = root.path().join("usr/lib/usrlocal/bin").join(name);
        assert_eq!(software.exists(), stays, "{name}");
        assert_eq!(own_lines(root.path()).len(), usize::from(stays));
        let told: &[&str] = if stays { &["opt-left-over"] } else { &[] };
        assert_eq!(rules(&outcome), told);
    }
}

#[test]
fn what_copy_puts_in_place_of_a_link_is_merged_before_the_next_command() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/bin/run", "1");
        write(root, "var/opt/acme/conf", "1");
    });
    fs::remove_file(root.path().join("var/opt/acme")).expect("removes");
    write(root.path(), "var/opt/acme/conf", "copied");
    write(root.path(), "var/opt/acme/bin/more", "copied");
    plain_step(root.path(), |root| {
        assert_eq!(target(root, "var/opt/acme"), Path::new("/usr/lib/opt/acme"));
        let read = |path: &str| fs::read_to_string(root.join("usr/lib/opt/acme").join(path));
        assert_eq!(read("bin/run").expect("reads"), "1");
        assert_eq!(read("bin/more").expect("reads"), "copied");
        assert_eq!(read("conf").expect("reads"), "copied");
    });
}

#[test]
fn copy_goes_on_in_directories_that_stand_for_links() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/bin/run", "1");
        symlink("bin", root.join("var/opt/acme/current")).expect("a link");
        write(root, "var/opt/other/run", "1");
        write(root, "var/usrlocal/lib/node/index", "1");
    });
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let linked = linked_directories(&rootfs).expect("looks");
    assert!(
        linked.contains(&"/opt/acme".to_owned()) && linked.contains(&"/var/opt/acme".to_owned())
    );
    unfold(&rootfs, &["/opt".into()]).expect("unfolds");
    let is_link = |path: &str| root.path().join(path).is_symlink();
    assert!(
        !is_link("var/opt/acme") && !is_link("var/opt/other") && is_link("var/usrlocal/lib/node")
    );
    assert!(is_link("var/opt/acme/current"));
    assert!(!root.path().join("var/opt/acme/bin/run").exists());
    write(root.path(), "var/opt/acme/bin/more", "copied");
    fold(&rootfs).expect("folds");
    assert_eq!(
        target(root.path(), "var/opt/acme"),
        Path::new("/usr/lib/opt/acme")
    );
    for path in ["acme/bin/run", "acme/bin/more", "acme/current", "other/run"] {
        assert!(
            root.path().join("usr/lib/opt").join(path).exists(),
            "{path}"
        );
    }
}

#[test]
fn at_the_end_what_the_base_has_stays_and_all_else_moves() {
    let root = image();
    write(root.path(), "var/opt/of-base/run", "1");
    let (base, _) = base_like(root.path());
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/bin/run", "1");
        write(root, "var/opt/acme/log/first", "1");
    });
    write(root.path(), "var/opt/copied/run", "1");
    write(root.path(), "var/usrlocal/bin/tool", "1");
    let outcome = end(root.path(), base.path(), &Settings::default());
    assert!(root.path().join("var/opt/of-base/run").exists());
    for path in ["opt/acme/bin/run", "opt/copied/run", "usrlocal/bin/tool"] {
        assert!(root.path().join("usr/lib").join(path).exists(), "{path}");
    }
    assert!(root.path().join("var/lib/opt/acme/log/first").exists());
    assert_eq!(
        own_lines(root.path()),
        [
            "L+ /var/opt/acme - - - - /usr/lib/opt/acme",
            "L+ /var/opt/copied - - - - /usr/lib/opt/copied",
            "L+ /var/usrlocal/bin/tool - - - - /usr/lib/usrlocal/bin/tool",
        ]
    );
    assert!(outcome.is_changed());
    let again = end(root.path(), base.path(), &Settings::default());
    assert!(!again.is_changed(), "{again:?}");
}

#[test]
fn a_new_tree_in_place_of_the_link_wins_and_loses_nothing() {
    let root = image();
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/run", "1");
        write(root, "var/opt/acme/lib/old", "1");
    });
    let outcome = plain_step(root.path(), |root| {
        fs::remove_file(root.join("var/opt/acme")).expect("removes");
        write(root, "var/opt/acme/run", "2");
        write(root, "var/opt/acme/lib/new", "2");
        fs::set_permissions(root.join("var/opt/acme"), fs::Permissions::from_mode(0o750))
            .expect("a mode");
    });
    let acme = root.path().join("usr/lib/opt/acme");
    assert_eq!(fs::read_to_string(acme.join("run")).expect("reads"), "2");
    assert!(acme.join("lib/old").exists() && acme.join("lib/new").exists());
    assert_eq!(fs::metadata(&acme).expect("looks").mode() & 0o7777, 0o750);
    assert_eq!(
        target(root.path(), "var/opt/acme"),
        Path::new("/usr/lib/opt/acme")
    );
    assert_eq!(rules(&outcome), ["opt-left-over"]);
}

#[test]
fn what_an_instruction_copied_over_a_missing_link_is_not_lost_at_boot() {
    let root = image();
    plain_step(root.path(), |root| write(root, "var/opt/acme/run", "1"));
    // COPY runs no step; in an image whose /var was emptied there is no link to follow.
    fs::remove_file(root.path().join("var/opt/acme")).expect("removes");
    write(root.path(), "var/opt/acme/config", "1");
    plain_step(root.path(), |_| ());
    let acme = root.path().join("usr/lib/opt/acme");
    assert!(acme.join("run").exists() && acme.join("config").exists());
    assert_eq!(
        target(root.path(), "var/opt/acme"),
        Path::new("/usr/lib/opt/acme")
    );
}

#[test]
fn what_layers_below_have_moves_only_when_the_step_changes_it() {
    let root = image();
    write(root.path(), "var/opt/app/run", "1");
    write(root.path(), "var/opt/app/data.txt", "1");
    plain_step(root.path(), |_| ());
    assert!(root.path().join("var/opt/app/run").exists());
    plain_step(root.path(), |root| {
        fs::set_permissions(
            root.join("var/opt/app/run"),
            fs::Permissions::from_mode(0o755),
        )
        .expect("a mode");
    });
    assert!(root.path().join("usr/lib/opt/app/data.txt").exists());
    assert_eq!(
        target(root.path(), "var/opt/app"),
        Path::new("/usr/lib/opt/app")
    );
}

#[test]
fn a_state_overlay_leaves_nothing_to_do() {
    for (link, unit) in [("", "opt"), ("usr/lib/opt", "usr-lib-opt")] {
        let root = image();
        fs::remove_file(root.path().join("opt")).expect("removes");
        if link.is_empty() {
            fs::create_dir(root.path().join("opt")).expect("a directory");
        } else {
            symlink(link, root.path().join("opt")).expect("a link");
        }
        let enabled = format!(
            "etc/systemd/system/local-fs.target.requires/ostree-state-overlay@{unit}.service"
        );
        write(root.path(), enabled, "");
        let real = if link.is_empty() { "opt" } else { link };
        let outcome = plain_step(root.path(), |root| {
            write(root, Path::new(real).join("acme/log/first"), "1");
        });
        assert!(root.path().join(real).join("acme/log/first").exists());
        assert!(outcome.changed.is_empty());
    }
}

#[test]
fn mounts_and_what_is_above_them_stay() {
    let root = image();
    write(root.path(), "var/opt/acme/run", "1");
    write(root.path(), "var/opt/acme/cache/x", "1");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mounts = Mounts::parse(b"1 1 0:1 / /var/opt/acme/cache rw - x x rw", b"/");
    rootfs.assume_mounts(mounts);
    settle_alone(|known| known.opt(), &rootfs, None, &Settings::default());
    assert!(root.path().join("var/opt/acme/cache/x").exists());
    assert_eq!(
        target(root.path(), "var/opt/acme/run"),
        Path::new("/usr/lib/opt/acme/run")
    );

    let mounts = Mounts::parse(b"1 1 0:1 / /usr/lib/opt/other/x rw - x x rw", b"/");
    rootfs.assume_mounts(mounts);
    write(root.path(), "var/opt/other/x", "1");
    let kept = settle_alone(|known| known.opt(), &rootfs, None, &Settings::default()).kept;
    assert!(root.path().join("var/opt/other/x").exists());
    assert!(
        kept.iter().any(|kept| kept.path == "/var/opt/other"),
        "{kept:?}"
    );
}

#[test]
fn a_large_file_keeps_its_inode() {
    let root = image();
    let mut inode = 0;
    plain_step(root.path(), |root| {
        write(root, "var/opt/acme/large", "begin");
        let path = root.join("var/opt/acme/large");
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_len(1 << 30).expect("a size");
        inode = file.metadata().expect("looks").ino();
    });
    let moved = fs::metadata(root.path().join("usr/lib/opt/acme/large")).expect("looks");
    assert_eq!((moved.ino(), moved.len()), (inode, 1 << 30));
}

#[test]
fn a_file_in_the_way_of_a_directory_with_content_stops_the_step() {
    let root = image();
    write(root.path(), "usr/lib/opt/acme/lib/precious", "1");
    write(root.path(), "var/opt/acme/lib", "2");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let outcome = commit::settle(
        &[|known| known.opt()],
        &rootfs,
        None,
        &Settings::default(),
        &mut |_| (),
    );
    assert!(
        outcome
            .expect_err("stops")
            .to_string()
            .contains("/usr/lib/opt/acme/lib")
    );
    assert!(root.path().join("usr/lib/opt/acme/lib/precious").exists());
    assert!(root.path().join("var/opt/acme/lib").exists());
}

fn name() -> impl Strategy<Value = OsString> {
    let hostile = prop::collection::vec(1..=255u8, 1..12).prop_map(|bytes| {
        let clean = bytes.into_iter().filter(|&byte| byte != b'/').collect();
        OsString::from_vec([vec![b'n'], clean].concat())
    });
    let odd = prop::sample::select(vec![
        "...", " ", "-", "-rf", "a\nb", "\\x0a", "\"", "'", "%m", "100%", "a b ", "#", "log",
        "bin", "data",
    ]);
    prop_oneof![hostile, odd.prop_map(OsString::from)]
}

/// Runs this machine's systemd-tmpfiles as boot does.
fn systemd_tmpfiles(root: &Path) {
    let mut root_option = OsString::from("--root=");
    root_option.push(root);
    let mut command = std::process::Command::new("systemd-tmpfiles");
    command.args(["--create", "--boot", "--prefix=/var"]);
    let ran = command.arg(root_option).output();
    ran.expect("systemd-tmpfiles, of Debian's systemd or systemd-standalone-tmpfiles");
}

/// All files below the directories by what is in them, wherever they are.
fn contents(root: &Path) -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> = ["var", "usr/lib/opt", "usr/lib/usrlocal"]
        .iter()
        .filter(|top| root.join(top).exists())
        .flat_map(|top| tree(&root.join(top)).into_values())
        .filter(|(mode, ..)| mode & 0o170_000 == 0o100_000)
        .map(|(.., content, _)| content)
        .collect();
    contents.sort();
    contents
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_names_every_file_is_found_under_its_old_path(
        paths in prop::collection::vec((any::<bool>(), prop::collection::vec(name(), 1..5)), 1..12),
    ) {
        let root = image();
        let mut made = Vec::new();
        build(root.path(), &Settings::default(), |root| {
            for (number, (is_opt, names)) in paths.iter().enumerate() {
                let top = Path::new(if *is_opt { "var/opt" } else { "var/usrlocal" });
                let path = names.iter().fold(top.to_owned(), |path, name| path.join(name));
                let parent = root.join(path.parent().expect("a parent"));
                let full = root.join(&path);
                if fs::create_dir_all(parent).is_ok() && fs::symlink_metadata(&full).is_err() {
                    fs::write(&full, number.to_string()).expect("a file");
                    made.push((path, number.to_string().into_bytes()));
                }
            }
        });
        let mut expected: Vec<Vec<u8>> = made.iter().map(|(_, content)| content.clone()).collect();
        expected.sort();
        prop_assert_eq!(contents(root.path()), expected);
        let rootfs = Rootfs::open(root.path()).expect("opens");
        for (path, content) in &made {
            let found = read_in_root(rootfs.as_fd(), path.as_os_str(), 100);
            prop_assert_eq!(found.as_ref(), Some(content), "{:?}", path);
        }
        let outcome = tree(root.path());
        bare(root.path());
        prop_assert_eq!(tree(root.path()), outcome);

        // On a machine, /var has none of the links.
        for top in ["var/opt", "var/usrlocal"] {
            let _ = fs::rename(root.path().join(top), root.path().join(top).with_extension("old"));
        }
        systemd_tmpfiles(root.path());
        let rootfs = Rootfs::open(root.path()).expect("opens");
        let has_break = |path: &Path| path.as_os_str().as_bytes().iter().any(|byte| b"\n\r".contains(byte));
        for (path, content) in made.iter().filter(|(path, _)| !has_break(path)) {
            let found = read_in_root(rootfs.as_fd(), path.as_os_str(), 100);
            prop_assert_eq!(found.as_ref(), Some(content), "{:?}", path);
        }
    }
}

#[test]
fn a_policy_of_selinux_learns_where_software_is() {
    let root = image();
    let settings = Settings::default();
    let add = |name: &'static str| move |root: &Path| write(root, format!("var/opt/{name}/x"), "x");
    step(root.path(), &settings, add("before"));
    assert!(!root.path().join("etc/selinux").exists());

    let folder = "etc/selinux/targeted/contexts/files";
    write(root.path(), "etc/selinux/config", "SELINUXTYPE=targeted\n");
    write(root.path(), format!("{folder}/file_contexts"), "");
    write(
        root.path(),
        format!("{folder}/file_contexts.subs"),
        "/usr/lib/usrlocal /usr/local\n",
    );
    let file = root.path().join(folder).join("file_contexts.subs_dist");
    fs::write(&file, "/run /var/run").expect("a file");
    for name in ["one", "two"] {
        step(root.path(), &settings, add(name));
        let content = fs::read_to_string(&file).expect("reads");
        assert_eq!(content, "/run /var/run\n/usr/lib/opt /opt\n");
    }
}
