//! What a look at a tree, and a question about its packages, takes in memory at most: measured in a process of its own,
//! by the kernel.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use osderive_lints::packages::PackageDb;
use osderive_lints::tree::Rootfs;
use osderive_lints::{Input, Selection, lint};

#[path = "../src/model/sqlite/testing.rs"]
mod sqlite;

/// Where the measured process finds the tree.
const TREE: &str = "OSDERIVE_TEST_TREE";

const ACCOUNTS: u32 = 300_000;

/// Packages whose headers have about 100 million bytes, and the files of each.
const PACKAGES: u64 = 1000;
const FILES: u32 = 700;

#[test]
fn three_hundred_thousand_accounts_take_less_than_100_mib() {
    let root = tempfile::tempdir().expect("a folder");
    let (mut passwd, mut group) = (String::new(), String::new());
    for id in 1000..1000 + ACCOUNTS {
        let _ = writeln!(passwd, "user{id}:x:{id}:{id}::/home/user{id}:/bin/sh");
        let _ = writeln!(group, "user{id}:x:{id}:");
    }
    fs::create_dir(root.path().join("etc")).expect("a directory");
    fs::write(root.path().join("etc/passwd"), passwd).expect("a file");
    fs::write(root.path().join("etc/group"), group).expect("a file");
    assert!(peak_of("the_look_that_is_measured", root.path()) < 100 << 20);
}

#[test]
fn a_database_of_packages_of_100_mb_takes_less_than_64_mib() {
    let root = tempfile::tempdir().expect("a folder");
    let rows: Vec<_> = (1..=PACKAGES).map(|key| (key, header(key))).collect();
    let database = sqlite::Written::with(4096, "Packages", &rows);
    assert!(database.len() > 100_000_000, "{}", database.len());
    let place = root.path().join("usr/lib/sysimage/rpm");
    fs::create_dir_all(&place).expect("directories");
    fs::write(place.join("rpmdb.sqlite"), database).expect("a file");
    assert!(peak_of("the_query_that_is_measured", root.path()) < 64 << 20);
}

/// A header as rpm has them in its database: a directory in /var, and many files with long digests.
fn header(number: u64) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    let mut add = |tag: u32, kind: u32, count: u32, bytes: &[u8]| {
        let place = u32::try_from(data.len()).expect("a header");
        index.extend([tag, kind, place, count].map(u32::to_be_bytes).concat());
        data.extend_from_slice(bytes);
    };
    let many = |text: &str| text.repeat(FILES as usize).into_bytes();
    let of_files: Vec<u8> = (1..FILES).flat_map(|_| 1_u32.to_be_bytes()).collect();
    add(1116, 4, FILES, &[&[0; 4][..], &of_files].concat());
    add(1030, 3, FILES, &[0x41, 0xe8].repeat(FILES as usize));
    add(1000, 6, 1, format!("package-{number}\0").as_bytes());
    add(1035, 8, FILES, &many(&format!("{number:0128x}\0")));
    add(1039, 8, FILES, &many("root\0"));
    add(1040, 8, FILES, &many("root\0"));
    let mut names = format!("package-{number}\0");
    for file in 1..FILES {
        let _ = write!(names, "file-{file}\0");
    }
    add(1117, 8, FILES, names.as_bytes());
    add(1118, 8, 2, b"/var/lib/\0/usr/share/acme/\0");
    let sizes = [index.len() / 16, data.len()].map(|size| u32::try_from(size).expect("a header"));
    [sizes.map(u32::to_be_bytes).concat(), index, data].concat()
}

/// The most memory, in bytes, that an ignored test of this file takes in a process of its own.
fn peak_of(test: &str, root: &Path) -> u64 {
    let measured = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env(TREE, root)
        .output()
        .expect("runs");
    let output = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{output}");
    let peak = output.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()
    });
    println!("{test}: {output}");
    peak.expect("a peak") << 10
}

fn tell_peak() {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    println!("{}", peak.expect("a peak"));
}

#[test]
#[ignore = "another test runs it in a process of its own"]
fn the_query_that_is_measured() {
    let tree = std::env::var(TREE).expect("a tree");
    let tree = Rootfs::open(tree.as_ref()).expect("a root");
    let (mut found, start) = (0, Instant::now());
    let unread = PackageDb::of(&tree).owned(&[b"/var"], &mut |_, _| found += 1);
    println!("{:?}", start.elapsed());
    assert_eq!((found, unread.len()), (PACKAGES, 0));
    tell_peak();
}

#[test]
#[ignore = "another test runs it in a process of its own"]
fn the_look_that_is_measured() {
    let tree = std::env::var(TREE).expect("a tree");
    let opened = Input::named(&format!("rootfs:{tree}"))
        .open()
        .expect("a root");
    let found = lint(&*opened.tree, None, &Selection::default()).findings;
    assert!(found.iter().any(|one| one.rule == "account-not-declared"));
    tell_peak();
}
