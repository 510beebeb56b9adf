//! osderive's own options: the syntax line and build arguments.

use std::fs;

use osderive_tests::scenario::Door;

use crate::Setup;

crate::tests![
    a_build_argument_turns_it_off,
    a_flag_turns_it_on_for_any_base,
    a_wrong_flag_points_at_the_syntax_line: BuildKit,
    verbose_names_each_removed_path,
    build_args_of_ours_are_not_reported_as_unused,
    what_is_done_is_logged_where_that_is_asked_for,
    a_syntax_build_argument_needs_no_syntax_line,
    a_given_dockerfile_frontend_that_commits_is_not_committed_again: BuildKit,
];

const LEAVES: &str = "RUN touch /tmp/left";

fn a_build_argument_turns_it_off(setup: &Setup) {
    let scenario = setup.derive("off", LEAVES);
    scenario
        .build(&["--build-arg", "OSDERIVE_BOOTABLE=off"])
        .unwrap()
        .expect_success();
    assert!(scenario.has("tmp/left").unwrap());
}

fn a_flag_turns_it_on_for_any_base(setup: &Setup) {
    let containerfile = format!("# syntax=osderive --bootable=on\nFROM debian-plain\n{LEAVES}\n");
    let scenario = setup.scenario("on", &containerfile);
    scenario.build(&[]).unwrap().expect_success();
    assert!(!scenario.has("tmp/left").unwrap());
}

fn a_wrong_flag_points_at_the_syntax_line(setup: &Setup) {
    let containerfile = format!("# syntax=osderive --bootabel=on\nFROM debian-plain\n{LEAVES}\n");
    let log = setup
        .scenario("wrong-flag", &containerfile)
        .build(&[])
        .unwrap()
        .expect_failure();
    assert!(log.contains("unknown option `--bootabel=on`"), "{log}");
    assert!(log.contains(">>> # syntax=osderive --bootabel=on"), "{log}");
}

fn verbose_names_each_removed_path(setup: &Setup) {
    let scenario = setup.derive("verbose", LEAVES);
    let log = scenario
        .build(&["--build-arg", "OSDERIVE_VERBOSE=1"])
        .unwrap()
        .expect_success();
    assert!(log.contains("/tmp/left"), "{log}");
    assert!(
        log.lines()
            .any(|line| line.contains("osderive: ") && line.contains("/tmp/left")),
        "{log}"
    );
}

fn what_is_done_is_logged_where_that_is_asked_for(setup: &Setup) {
    let scenario = setup.derive("logged", LEAVES);
    let Door::Docker = setup.door else {
        let mut command = scenario.command();
        command
            .args(["--build-arg", "TOKEN=hidden", "."])
            .env("OSDERIVE_LOG", "debug");
        let output = command.output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let told: Vec<&str> = log.lines().filter(|line| line.contains("DEBUG")).collect();
        assert!(
            told.iter().any(|line| line.contains("a build begins")),
            "{log}"
        );
        assert!(!told.iter().any(|line| line.contains("hidden")), "{log}");
        return;
    };
    let asked = ["--build-arg", "OSDERIVE_LOG=debug"];
    let log = scenario.build(&asked).unwrap().expect_success();
    assert!(!log.contains("OSDERIVE_LOG"), "{log}");
    if let Some(log) = setup.engine.log() {
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("the tool is spliced in runs=1"), "{log}");
    }
    let wrong = ["--build-arg", "OSDERIVE_LOG=a=b"];
    let log = scenario.build(&wrong).unwrap().expect_failure();
    assert!(log.contains("OSDERIVE_LOG is no list of levels"), "{log}");
}

fn build_args_of_ours_are_not_reported_as_unused(setup: &Setup) {
    let scenario = setup.derive("unused", LEAVES);
    let log = scenario
        .build(&["--build-arg", "OSDERIVE_BOOTABLE=auto"])
        .unwrap()
        .expect_success();
    assert!(!log.contains("not consumed"), "{log}");
}

fn a_syntax_build_argument_needs_no_syntax_line(setup: &Setup) {
    let scenario = setup.scenario(
        "syntax-arg",
        &format!("FROM debian-ostree-base\n{LEAVES}\n"),
    );
    scenario
        .build(&["--build-arg", "BUILDKIT_SYNTAX=osderive"])
        .unwrap()
        .expect_success();
    assert!(!scenario.has("tmp/left").unwrap());
}

fn a_given_dockerfile_frontend_that_commits_is_not_committed_again(setup: &Setup) {
    // Process 1 of a step is the tool, and its arguments show what it runs.
    let scenario = setup.derive(
        "given-frontend",
        "RUN tr '\\0' ' ' < /proc/1/cmdline > /usr/share/seen && touch /tmp/left",
    );
    let log = scenario
        .build(&["--build-arg", "OSDERIVE_DOCKERFILE_FRONTEND=osderive"])
        .unwrap()
        .expect_success();
    assert_eq!(log.matches("osderive: committed").count(), 1, "{log}");
    let image = scenario.saved(1).unwrap();
    assert!(!image.shipped().contains_key("tmp/left"), "{log}");
    let seen = String::from_utf8_lossy(&image.top()["usr/share/seen"].content);
    assert_eq!(seen.matches("ostree-container step").count(), 1, "{seen}");
}
