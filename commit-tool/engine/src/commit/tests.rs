//! Whole commits: what they do is told, and a report stays small enough to be read.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt as _, path::Path};

use super::*;

/// A file with some content, and the directories above it.
fn write(root: &Path, path: impl AsRef<Path>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, "content").expect("a file");
}

#[test]
fn a_commit_tells_what_it_removed() {
    let root = tempfile::tempdir().expect("a directory");
    for (top, name) in [("tmp", "a"), ("var/cache", "b\n")] {
        write(root.path(), Path::new(top).join("d").join(name));
    }
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mut heard = Vec::new();
    let committed = commit(
        &rootfs,
        None,
        &Settings::default(),
        Some(&mut |done: &str, _: &str| heard.push(done.to_owned())),
    )
    .expect("commits");
    let report = &committed.report;
    assert_eq!((report.removed_entries, report.removed_bytes), (4, 14));
    let listed: Vec<&String> = report.removed.iter().map(|entry| &entry.path).collect();
    assert_eq!(
        listed,
        ["/tmp/d", "/tmp/d/a", "/var/cache/d", r"/var/cache/d/b\x0a"]
    );
    let told: Vec<String> = listed
        .iter()
        .map(|path| format!("removed {path}"))
        .collect();
    // The cache's directory has a line now, so that its service finds it.
    assert!(
        heard[0].starts_with("wrote /usr/lib/tmpfiles.d/"),
        "{heard:?}"
    );
    assert_eq!(heard[1..], told);
    assert_eq!(committed.areas, ["tmp", "var/cache"]);
    assert_eq!(committed.summaries, ["/var: declared 1 directory or link"]);
}

#[test]
fn what_a_first_start_makes_is_not_kept() {
    let root = tempfile::tempdir().expect("a directory");
    let in_root = |path: &str| root.path().join(path);
    for path in ["var/lib/sql/main/deep", "var/lib/sql/other", "var/lib/app"] {
        std::fs::create_dir_all(in_root(path)).expect("directories");
    }
    for path in ["sql/main/deep/data", "sql/other/data", "app/id", "app/kept"] {
        std::fs::write(in_root("var/lib").join(path), "x").expect("a file");
    }
    let settings = Settings {
        first_start: vec!["/var/lib/sql/main".into(), "/var/lib/app/id".into()],
        ..Settings::default()
    };
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let committed = commit(&rootfs, None, &settings, None).expect("commits");
    let removed = committed.report.changed.iter();
    let removed = removed.filter(|file| file.reason.contains("--first-start"));
    let mut removed: Vec<&str> = removed.map(|file| file.path.as_str()).collect();
    removed.sort_unstable();
    assert_eq!(removed, ["/var/lib/app/id", "/var/lib/sql/main/deep/data"]);
    let factory = |path: &str| in_root("usr/share/factory/var/lib").join(path);
    assert!(factory("app/kept").exists() && factory("sql/other/data").exists());
    assert!(factory("sql/main").is_dir() && !factory("sql/main/deep").exists());
    assert!(!factory("app/id").exists() && !in_root("var/lib/sql").exists());
}

#[test]
fn the_report_of_a_huge_step_stays_small_enough_to_be_read() {
    let root = tempfile::tempdir().expect("a directory");
    for index in 0..MAX_LISTED_ENTRIES + 100 {
        let name = OsString::from_vec([format!("{index:03}").as_bytes(), &[0xff; 250]].concat());
        let directory = Path::new("tmp").join(OsString::from_vec(vec![0xfe; 255]));
        write(root.path(), directory.join(name));
    }
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let report = commit(&rootfs, None, &Settings::default(), None)
        .expect("commits")
        .report;
    assert_eq!(report.removed.len(), MAX_LISTED_ENTRIES);
    assert_eq!(report.removed_entries, MAX_LISTED_ENTRIES as u64 + 101);
    let json = serde_json::to_vec(&report).expect("serialises");
    assert!(StepReport::from_json(&json).is_ok());
}

#[test]
fn nothing_removed_and_found_is_nothing_to_say() {
    let root = tempfile::tempdir().expect("a directory");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let committed = commit(&rootfs, None, &Settings::default(), None).expect("commits");
    assert!(committed.areas.is_empty() && committed.summaries.is_empty());
    assert!(committed.report.changed.is_empty() && committed.report.findings.is_empty());
}
