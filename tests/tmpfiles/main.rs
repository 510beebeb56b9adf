//! What the commit makes of a /var, read back by systemd itself: generated trees, and what the
//! systemd-tmpfiles of Debian 12 (252) and Debian 13 (257) makes on a machine with other ids.

#[path = "../../commit-tool/tests/support/lists.rs"]
mod lists;
#[path = "../../commit-tool/engine/src/trees.rs"]
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use osderive_lints::model::acl::{ACCESS, Acl, DEFAULT, Who};
use osderive_tests::Places;
use osderive_tests::machine::Systemd;
use osderive_tests::product::{self, Profile};
use osderive_tests::roots::Suite;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use lists::{GROUP, MASK, OTHER, OTHER_GROUP, OWNER, USER};
use trees::{Tree, tree};

const CASES: u32 = 96;

const IMAGE_PASSWD: &str =
    "root:x:0:0::/:/bin/sh\nweb:x:901:902::/:/bin/sh\ndb:x:903:904::/:/bin/sh\n";
const IMAGE_GROUP: &str = "root:x:0:\nweb:x:902:\ndb:x:904:\n";
/// Here the ids of the image's service belong to a person.
const MACHINE_PASSWD: &str = "\
root:x:0:0::/:/bin/sh
me:x:901:902::/:/bin/sh
web:x:911:912::/:/bin/sh
db:x:903:904::/:/bin/sh
";
const MACHINE_GROUP: &str = "root:x:0:\nme:x:902:\nweb:x:912:\ndb:x:904:\n";

/// What a package of the base brings.
const PACKAGE: &str = "\
d /var/lib 0755 root root -
d /var/spool
d /var/lib/base 0750 web web -
d /var/lib/bare
L /var/lib/link - - - - target
f /var/lib/file 0640 web root - content
C /var/lib/copied - - - - /usr/share/package
";

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File(Vec<u8>),
    Link(OsString),
    Fifo,
}

#[derive(Clone, Debug)]
struct Made {
    path: PathBuf,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    /// Access control lists of its own, and one to hand down.
    lists: (Option<Vec<u8>>, Option<Vec<u8>>),
    /// An attribute of users.
    note: Option<Vec<u8>>,
}

/// A list that names accounts of the image and strangers, as Linux has it.
fn list() -> impl Strategy<Value = Vec<u8>> {
    let bits = || 0..8u16;
    let users =
        prop::collection::btree_map(prop::sample::select(vec![901u32, 903, 4321]), bits(), 0..3);
    let groups =
        prop::collection::btree_map(prop::sample::select(vec![902u32, 904, 4321]), bits(), 1..3);
    let classes = (bits(), bits(), bits(), bits());
    (classes, users, groups).prop_map(|((owner, group, mask, other), users, groups)| {
        let named = |tag: u16, ids: BTreeMap<u32, u16>| {
            let entries = ids.into_iter();
            entries.map(move |(id, bits)| (tag, bits, id))
        };
        let entries = [(OWNER, owner, u32::MAX)].into_iter();
        let entries = entries
            .chain(named(USER, users))
            .chain([(GROUP, group, u32::MAX)]);
        let entries = entries.chain(named(OTHER_GROUP, groups));
        let entries = entries.chain([(MASK, mask, u32::MAX), (OTHER, other, u32::MAX)]);
        lists::list(&entries.collect::<Vec<_>>())
    })
}

fn lists() -> impl Strategy<Value = (Option<Vec<u8>>, Option<Vec<u8>>)> {
    let maybe = || prop::option::weighted(0.3, list());
    (maybe(), maybe())
}

fn name() -> impl Strategy<Value = OsString> {
    let odd: Vec<&[u8]> = vec![
        b"a",
        b"b",
        b"c",
        b"base",
        b"bare",
        b"link",
        b"file",
        b"copied",
        b"with space",
        b"\"",
        b"'q'",
        b"back\\slash",
        b"\\x20",
        b"100%",
        b"%m",
        b"*",
        b"[a]",
        b"{a,b}",
        b"line\nbreak",
        b"tab\tin",
        b"#",
        b"-",
        "größe".as_bytes(),
        b"gr\xf6\xdfe",
    ];
    prop::sample::select(odd).prop_map(|name| OsStr::from_bytes(name).to_owned())
}

fn made() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        4 => Just(Kind::Directory),
        3 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Kind::File),
        2 => name().prop_map(Kind::Link),
        1 => Just(Kind::Fifo),
    ];
    let top = prop::sample::select(vec!["lib", "lib", "lib", "spool", "www"]);
    let owner = prop::sample::select(vec![
        (0, 0),
        (0, 0),
        (901, 902),
        (903, 904),
        (0, 902),
        (1234, 4321),
    ]);
    (
        top,
        prop::collection::vec(name(), 1..5),
        kind,
        0..=0o7777u32,
        owner,
        lists(),
        prop::option::weighted(0.2, prop::collection::vec(any::<u8>(), 0..4)),
    )
        .prop_map(|(top, names, kind, mode, owner, lists, note)| Made {
            path: names
                .iter()
                .fold(Path::new("var").join(top), |path, name| path.join(name)),
            // What many share is never copied, and only a copy has such attributes.
            note: note.filter(|_| names.len() > 1),
            kind,
            mode,
            owner,
            lists,
        })
}

impl Made {
    /// Makes it unless something else is in its way.
    fn make_in(&self, root: &Path) {
        let path = root.join(&self.path);
        let parent = path.parent().expect("a parent");
        if fs::create_dir_all(parent).is_err() || fs::symlink_metadata(&path).is_ok() {
            return;
        }
        match &self.kind {
            Kind::Directory => fs::create_dir(&path).expect("a directory"),
            Kind::File(content) => fs::write(&path, content).expect("a file"),
            Kind::Link(target) => symlink(target, &path).expect("a link"),
            Kind::Fifo => {
                let path = CString::new(path.as_os_str().as_bytes()).expect("no zero");
                let fifo = rustix::fs::FileType::Fifo;
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).expect("a FIFO");
            }
        }
        lchown(&path, Some(self.owner.0), Some(self.owner.1)).expect("an owner");
        if !matches!(self.kind, Kind::Link(_)) {
            fs::set_permissions(&path, fs::Permissions::from_mode(self.mode)).expect("a mode");
            self.set_attributes(&path);
        }
    }

    fn set_attributes(&self, path: &Path) {
        let set = |name: &str, value: &Option<Vec<u8>>| {
            if let Some(value) = value {
                lists::set(path, name, value);
            }
        };
        set(ACCESS, &self.lists.0);
        let is_directory = matches!(self.kind, Kind::Directory);
        if is_directory {
            set(DEFAULT, &self.lists.1);
        }
        if is_directory || matches!(self.kind, Kind::File(_)) {
            set("user.note", &self.note);
        }
    }
}

/// The tree with the machine's ids for the image's names, but for what is not declared.
fn on_the_machine(tree: Tree, undeclared: &BTreeSet<PathBuf>) -> Tree {
    let other = |id: u32, image: u32, machine: u32| if id == image { machine } else { id };
    let translated = tree.into_iter().map(|(path, entry)| {
        if undeclared.contains(&path) {
            return (path, entry);
        }
        let (mode, uid, gid, content, [access, default, note]) = entry;
        let (uid, gid) = (other(uid, 901, 911), other(gid, 902, 912));
        let list = |list: Option<Vec<u8>>| {
            let list = Acl::read(&list?).expect("a list");
            let list = list.with_ids(|who| match who {
                Who::User(id) => Who::User(other(id, 901, 911)),
                Who::OtherGroup(id) => Who::OtherGroup(other(id, 902, 912)),
                who => who,
            });
            Some(list.expect("other ids").to_attribute())
        };
        (
            path,
            (mode, uid, gid, content, [list(access), list(default), note]),
        )
    });
    translated.collect()
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, content).expect("a file");
}

fn tmpfiles(systemd: &Systemd, root: &Path) -> String {
    let mut tool = systemd.tool("systemd-tmpfiles", root);
    tool.args(["--create", "--boot", "--prefix=/var"]);
    let output = tool.output().expect("runs");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A /var as the machine should have it and what a machine makes of the commit, with all that
/// could explain a difference.
fn made_anew(all: &[Made], systemd: &Systemd, tool: &Path) -> (Tree, Tree, String) {
    let folder = tempfile::tempdir_in(systemd.folder()).expect("a directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let (image, machine) = (folder.path().join("image"), folder.path().join("machine"));
    write(&image, "etc/passwd", IMAGE_PASSWD);
    write(&image, "etc/group", IMAGE_GROUP);
    write(&image, "usr/lib/tmpfiles.d/package.conf", PACKAGE);
    write(&image, "usr/share/package/x", "x");
    write(&image, "usr/lib/bootc/x", "");
    systemd.put_tmpfiles_in(&image).expect("copies");
    fs::create_dir(image.join("sysroot")).expect("a directory");
    // As in a build: boot's own things are there first.
    fs::create_dir(image.join("var")).expect("a directory");
    let mut log = tmpfiles(systemd, &image);
    let of_package = tree(&image.join("var"));
    for made in all {
        made.make_in(&image);
    }
    let before = tree(&image.join("var"));
    let output = Command::new(tool)
        .args(["commit", "--rootfs"])
        .arg(&image)
        .output()
        .expect("runs");
    log += &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");

    write(&machine, "etc/passwd", MACHINE_PASSWD);
    write(&machine, "etc/group", MACHINE_GROUP);
    fs::rename(image.join("usr"), machine.join("usr")).expect("moves");
    // What is left in the layer a new machine gets as it is.
    let left = tree(&image.join("var")).into_keys();
    let undeclared = left.filter(|path| !of_package.contains_key(path)).collect();
    writeln!(log, "left: {undeclared:?}").expect("a text");
    fs::rename(image.join("var"), machine.join("var")).expect("moves");
    for entry in fs::read_dir(machine.join("usr/lib/tmpfiles.d")).expect("lists") {
        log += &String::from_utf8_lossy(&fs::read(entry.expect("one").path()).expect("reads"));
    }
    // At the first boot and at each one after it.
    for _ in 0..2 {
        log += &tmpfiles(systemd, &machine);
    }
    (
        on_the_machine(before, &undeclared),
        tree(&machine.join("var")),
        log,
    )
}

fn every_var_comes_back(suite: Suite) {
    let places = Places::of_workspace().expect("places");
    let systemd = Systemd::of(suite, &places).expect("a root with systemd-tmpfiles");
    let tool = product::tool(Profile::Test, &places).expect("the tool");
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(CASES)
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let states = prop::collection::vec(made(), 0..12);
    let outcome = TestRunner::new_with_rng(config, random).run(&states, |state| {
        let (image, machine, log) = made_anew(&state, &systemd, &tool);
        prop_assert_eq!(image, machine, "{}", log);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn debian_12_makes_the_same_var_from_our_lines() {
    every_var_comes_back(Suite::Bookworm);
}

#[test]
fn debian_13_makes_the_same_var_from_our_lines() {
    every_var_comes_back(Suite::Trixie);
}
