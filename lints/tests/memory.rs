//! What a look at a tree takes in memory at most: measured in a process of its own, by the kernel.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use osderive_lints::{Input, Selection, lint};

/// Where the measured process finds the tree.
const TREE: &str = "OSDERIVE_TEST_TREE";

const ACCOUNTS: u32 = 300_000;

/// Bytes at most.
const LIMIT: u64 = 100 << 20;

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
    let measured = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--ignored",
            "--exact",
            "the_look_that_is_measured",
            "--nocapture",
        ])
        .env(TREE, root.path())
        .output()
        .expect("runs");
    let output = String::from_utf8_lossy(&measured.stdout);
    assert!(measured.status.success(), "{output}");
    let peak = output.lines().find_map(|line| {
        let kilobytes = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
        kilobytes.parse::<u64>().ok()
    });
    let peak = peak.expect("a peak") << 10;
    assert!(peak < LIMIT, "{} MiB", peak >> 20);
}

#[test]
#[ignore = "the other test runs it in a process of its own"]
fn the_look_that_is_measured() {
    let tree = std::env::var(TREE).expect("a tree");
    let opened = Input::named(&format!("rootfs:{tree}"))
        .open()
        .expect("a root");
    let found = lint(&*opened.tree, None, &Selection::default()).findings;
    assert!(found.iter().any(|one| one.rule == "account-not-declared"));
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    println!("{}", peak.expect("a peak"));
}
