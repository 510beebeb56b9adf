//! The frontend binary in the hands of a person.

use std::process::Command;

#[test]
fn a_person_who_starts_it_learns_how_it_is_meant_to_be_started() {
    let output = Command::new(env!("CARGO_BIN_EXE_osderive-frontend"))
        .env_remove("BUILDKIT_SESSION_ID")
        .output()
        .expect("the frontend starts");
    assert!(!output.status.success());
    assert!(
        output.stdout.is_empty(),
        "stdout belongs to the engine's protocol"
    );
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("# syntax="), "{message}");
}

#[test]
fn an_engine_that_is_not_there_is_an_error_and_no_hang() {
    let output = Command::new(env!("CARGO_BIN_EXE_osderive-frontend"))
        .env("BUILDKIT_SESSION_ID", "none")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the frontend starts");
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.starts_with("osderive-frontend: the engine broke off"),
        "{message}"
    );
}
