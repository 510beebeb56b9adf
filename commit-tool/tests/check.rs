//! `lint` as the build frontend calls it.

use std::{
    fs,
    process::{Command, Output},
};

use osderive_lints::{CHECK_FILE, CheckReport};

fn lint(words: &[&str]) -> Output {
    let tool = env!("CARGO_BIN_EXE_ostree-container");
    Command::new(tool)
        .arg("lint")
        .args(words)
        .output()
        .expect("the tool runs")
}

#[test]
fn a_report_is_written_and_nothing_said_whatever_is_found() {
    let root = tempfile::tempdir().expect("a directory");
    let out = tempfile::tempdir().expect("a directory");
    let [root, out] = [&root, &out].map(|dir| dir.path().to_str().expect("text"));
    assert_eq!(lint(&[root]).status.code(), Some(1), "there is no kernel");

    let run = lint(&[root, "--report", out]);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert!(run.stdout.is_empty() && run.stderr.is_empty(), "{run:?}");
    let json = fs::read(format!("{out}/{CHECK_FILE}")).expect("a report");
    let report = CheckReport::from_json(&json).expect("a valid report");
    let rules: Vec<_> = report.findings.iter().map(|found| &found.rule).collect();
    assert!(rules.contains(&&"kernel-count".to_owned()), "{rules:?}");
}

#[test]
fn a_report_that_cannot_be_written_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let root = root.path().to_str().expect("text");
    let run = lint(&[root, "--report", "/nowhere/at/all"]);
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stderr).contains("/nowhere/at/all/lint.json"));
}
