//! Names and numbers: whatever a file in /var or /opt is called and however many there are, none is
//! lost, and what is said about them stays short.

#[path = "support/lists.rs"]
mod lists;
mod support;
#[path = "../engine/src/trees.rs"]
mod trees;

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
};

use osderive_lints::PlanReport;
use support::commit;
use trees::tree;

const MANY: usize = 10_000;

/// As much as a commit may say on a screen.
const SHORT: usize = 4 << 10;

const ODD_NAMES: [&[u8]; 14] = [
    b"plain",
    b"with space",
    b" leading and trailing ",
    b"\"quoted\"",
    b"'single'",
    b"100%",
    b"%m",
    b"back\\slash",
    b"\\x20",
    b"line\nbreak",
    b"tab\there",
    b"*?[a]{b,c}",
    b"-rf",
    "größe".as_bytes(),
];

const LATIN: &[u8] = b"gr\xf6\xdfe";

/// A bootable root in memory with /opt as ostree has it.
fn root() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let root = tempfile::tempdir_in(place).expect("a directory");
    for path in ["sysroot", "usr/lib/bootc", "etc", "var/lib", "var/opt"] {
        fs::create_dir_all(root.path().join(path)).expect("directories");
    }
    symlink("var/opt", root.path().join("opt")).expect("a link");
    root
}

fn write(root: &Path, directory: &str, name: &[u8], content: &[u8]) {
    let directory = root.join(directory);
    fs::create_dir_all(&directory).expect("directories");
    fs::write(directory.join(OsStr::from_bytes(name)), content).expect("a file");
}

/// Every content below a root, so that what is lost shows.
fn contents(root: &Path) -> Vec<Vec<u8>> {
    let tree = tree(root);
    let files = tree
        .into_values()
        .filter(|(mode, ..)| mode & 0o170_000 == 0o100_000);
    let mut contents: Vec<Vec<u8>> = files.map(|(.., content, _)| content).collect();
    contents.retain(|content| content.starts_with(b"mine "));
    contents.sort();
    contents
}

#[test]
fn no_name_is_too_odd_to_be_kept() {
    let root = root();
    for (number, name) in ODD_NAMES.iter().enumerate() {
        let own = |what: &str| format!("mine {what} {number}").into_bytes();
        write(root.path(), "var/lib/app", name, &own("in a tree"));
        write(
            root.path(),
            "var/lib",
            &[b"loose-", *name].concat(),
            &own("loose"),
        );
        write(root.path(), "var/opt/app/lib", name, &own("in opt"));
        let directory = Path::new("var/lib").join(OsStr::from_bytes(&[b"dir-", *name].concat()));
        fs::create_dir(root.path().join(directory)).expect("a directory");
    }
    let before = contents(root.path());
    let run = commit(root.path(), &[]);
    assert_eq!(contents(root.path()), before);
    let said = &run.ended_with(0).stderr;
    // No line can hold a line break: these two stay where they are, and a tree brings its own.
    let told = "var-not-kept";
    assert!(
        said.contains(told) && said.contains("line\\x0abreak"),
        "{said}"
    );
    let left: Vec<PathBuf> = tree(&root.path().join("var/lib")).into_keys().collect();
    let breaks = |path: &&PathBuf| path.as_os_str().as_bytes().contains(&b'\n');
    assert_eq!(left.iter().filter(breaks).count(), 2, "{left:?}");
    let factory = root.path().join("usr/share/factory/var/lib/app");
    assert_eq!(
        fs::read_dir(factory).expect("lists").count(),
        ODD_NAMES.len()
    );
    assert!(!said.contains("name-not-utf8"), "{said}");
}

#[test]
fn a_name_that_an_import_refuses_is_kept_and_told() {
    let root = root();
    write(root.path(), "var/lib/app", LATIN, b"mine in a tree");
    write(root.path(), "var/lib", LATIN, b"mine loose");
    write(root.path(), "var/opt/app", LATIN, b"mine in opt");
    // Caches and logs go whatever they are called.
    write(root.path(), "var/cache/app", LATIN, b"a cache");
    let before = contents(root.path());
    let run = commit(root.path(), &[]);
    assert_eq!(contents(root.path()), before);
    let said = &run.ended_with(0).stderr;
    for told in [
        r"2 names are not UTF-8, which stops the import of the image: /var/lib/app/gr\xf6\xdfe",
        r"1 name is not UTF-8, which stops the import of the image: /var/opt/app/gr\xf6\xdfe",
    ] {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn ten_thousand_of_each_are_kept_and_told_in_a_few_lines() {
    let root = root();
    for number in 0..MANY {
        let name = number.to_string();
        let own = |what: &str| format!("mine {what} {number}").into_bytes();
        write(
            root.path(),
            "var/lib/app/data",
            name.as_bytes(),
            &own("in var"),
        );
        write(
            root.path(),
            "var/opt/app/lib",
            name.as_bytes(),
            &own("in opt"),
        );
        fs::create_dir(root.path().join(format!("var/lib/d{number}"))).expect("a directory");
    }
    let before = contents(root.path());
    let plan = commit(root.path(), &["--dry-run", "--json"]);
    let plan: PlanReport = serde_json::from_str(&plan.ended_with(0).stdout).expect("a plan");
    assert_eq!(plan.findings, []);

    let run = commit(root.path(), &[]);
    let said = &run.ended_with(0).stderr;
    assert!(said.len() < SHORT, "{said}");
    assert!(
        said.contains("kept 10000 files in /usr/share/factory"),
        "{said}"
    );
    assert_eq!(contents(root.path()), before);
    let lines = fs::read_dir(root.path().join("usr/lib/tmpfiles.d")).expect("lists");
    let lines = lines.map(|entry| fs::read_to_string(entry.expect("one").path()).expect("reads"));
    let lines: String = lines.collect();
    let of = |kind: &str| lines.lines().filter(|line| line.starts_with(kind)).count();
    // A tree is one line, and a directory of its own one each, /var/lib among them.
    assert_eq!((of("d "), of("C "), of("L+ ")), (MANY + 1, 1, 1));
}
