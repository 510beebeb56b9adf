//! The README's first command does what the README says.

use std::error::Error;
use std::process::{Command, Stdio};

use osderive_tests::engine::Kind;
use osderive_tests::product::Profile;

#[test]
fn the_demo_builds_an_image_without_leftovers() -> Result<(), Box<dyn Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "--engine", Kind::DEFAULT.name()])
        .args(["--profile", Profile::Test.name()])
        // It has minutes of set-up where it is the first.
        .stderr(Stdio::inherit())
        .output()?;
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{shown}");
    assert!(
        shown.contains("with osderive     0 entries, 0 bytes"),
        "{shown}"
    );
    let plain = shown.lines().find(|line| line.contains("without osderive"));
    let plain = plain.ok_or("nothing of the plain build")?;
    assert!(!plain.contains(" 0 entries"), "{shown}");
    let nginx = shown.lines().find(|line| line.contains("nginx.service"));
    let states: Vec<_> = nginx
        .map(|line| line.split_whitespace().skip(1).collect())
        .unwrap_or_default();
    assert_eq!(states, ["failed", "active"], "{shown}");
    Ok(())
}
