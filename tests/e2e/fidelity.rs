//! What must be as it is without osderive: other images, builder stages, the cache, the config.

use std::path::Path;
use std::process::Command;

use osderive_tests::engine_output;
use osderive_tests::scenario::{Scenario, cached_steps, findings};
use serde_json::Value;

use crate::{SYNTAX, Setup};

crate::tests![
    an_image_that_is_not_bootable_is_the_same_to_the_last_bit,
    a_builder_stage_keeps_its_cache,
    a_rebuild_is_all_cached_and_gives_the_same_image,
    config_labels_and_history_are_those_of_a_plain_build,
    a_scratch_image_without_steps_is_the_same_to_the_last_bit,
    a_scratch_image_with_a_bootable_root_is_committed,
    a_scratch_image_with_another_root_is_not_committed,
    a_build_without_the_cache_runs_each_step_once,
    an_imported_cache_is_used_and_no_step_runs_again,
    an_empty_image_for_two_platforms_takes_no_engine_down,
    no_answer_takes_an_engine_down,
    what_a_step_leaves_in_a_cache_mount_outlives_a_build_without_the_cache,
    an_image_for_a_platform_without_a_tool_is_the_same_unless_it_is_bootable,
    started_as_an_image_it_follows_the_syntax_line_of_another_frontend,
    started_as_an_image_it_commits_once_what_its_own_syntax_line_commits,
];

/// Options that take the clock out of an image.
pub(crate) const TIMELESS: [&str; 2] = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];

fn build_both(setup: &Setup, name: &str, containerfile: &str) -> (Value, Value, String) {
    let plain = setup.scenario(&format!("{name}-plain"), containerfile);
    plain.build(&TIMELESS).unwrap().expect_success();
    let ours = setup.scenario(name, &format!("{SYNTAX}\n{containerfile}"));
    let log = ours.build(&TIMELESS).unwrap().expect_success();
    (plain.inspect().unwrap(), ours.inspect().unwrap(), log)
}

fn an_image_that_is_not_bootable_is_the_same_to_the_last_bit(setup: &Setup) {
    let (plain, ours, log) = build_both(
        setup,
        "not-bootable",
        "FROM debian-plain\nENV A=b\nUSER daemon\nRUN touch /tmp/left\nUSER root\nRUN <<EOF\ntouch /run/left\nEOF\nHEALTHCHECK CMD true\n",
    );
    assert_eq!(plain["Id"], ours["Id"], "{log}");
    assert_eq!(plain["RootFS"], ours["RootFS"]);
    assert_eq!(cached_steps(&log).len(), 2, "{log}");
    assert!(!log.contains("osderive: committed"), "{log}");
}

fn a_builder_stage_keeps_its_cache(setup: &Setup) {
    let builder = "FROM debian-plain AS builder\nRUN echo built > /built && touch /tmp/left\n";
    let plain = setup.scenario(
        "builder-plain",
        &format!("{builder}FROM debian-ostree-base\nCOPY --from=builder /built /usr/share/built\n"),
    );
    plain.build(&[]).unwrap().expect_success();
    let ours = setup.scenario(
        "builder",
        &format!("{SYNTAX}\n{builder}FROM debian-ostree-base\nCOPY --from=builder /built /usr/share/built\nRUN touch /tmp/left\n"),
    );
    let log = ours.build(&[]).unwrap().expect_success();
    assert!(cached_steps(&log).contains(&"[builder 2/2]"), "{log}");
    assert!(log.contains("osderive: committed"), "{log}");
}

fn a_rebuild_is_all_cached_and_gives_the_same_image(setup: &Setup) {
    let scenario = setup
        .derive(
            "rebuild",
            "COPY file /etc/file\nRUN date +%N > /etc/stamp && touch /tmp/x\nUSER daemon\nRUN true",
        )
        .file("file", "x")
        .unwrap();
    scenario.build(&TIMELESS).unwrap().expect_success();
    let first = scenario.inspect().unwrap();
    let log = scenario.build(&TIMELESS).unwrap().expect_success();
    assert_eq!(first["Id"], scenario.inspect().unwrap()["Id"]);
    let mut cached = cached_steps(&log);
    cached.sort_unstable();
    assert_eq!(cached, ["[2/4]", "[3/4]", "[4/4]"], "{log}");
}

fn config_labels_and_history_are_those_of_a_plain_build(setup: &Setup) {
    let instructions = "FROM debian-ostree-base\nENV A=b PATH=/opt/x:$PATH\nLABEL l=\"v w\"\nARG Q=1\nRUN echo $Q > /etc/q\n\
        HEALTHCHECK --interval=3s CMD true\nSTOPSIGNAL SIGRTMIN+3\nEXPOSE 80\nVOLUME /data\nONBUILD RUN true\n\
        ENTRYPOINT [\"/sbin/init\"]\nCMD [\"x\"]\nWORKDIR /srv2\nUSER daemon\n";
    let plain = setup.scenario("config-plain", instructions);
    plain.build(&TIMELESS).unwrap().expect_success();
    let ours = setup.scenario("config", &format!("{SYNTAX}\n{instructions}"));
    ours.build(&TIMELESS).unwrap().expect_success();
    let (mut plain, mut ours) = (
        plain.saved(0).unwrap().config,
        ours.saved(0).unwrap().config,
    );
    for config in [&mut plain, &mut ours] {
        config["rootfs"].take();
    }
    assert_eq!(plain, ours);
    assert_eq!(ours["config"]["Labels"]["containers.bootc"], "1");
    assert_eq!(ours["config"]["Labels"]["ostree.bootable"], "true");
}

fn a_scratch_image_without_steps_is_the_same_to_the_last_bit(setup: &Setup) {
    let (plain, ours, _) = build_both(setup, "scratch", "FROM scratch\nCOPY Containerfile /f\n");
    // The Containerfile itself differs by its first line; what is built around it must not.
    assert_eq!(plain["Config"], ours["Config"]);
    let (plain, ours, _) = build_both(setup, "scratch-label", "FROM scratch\nLABEL a=b\n");
    assert_eq!(plain["Id"], ours["Id"]);
}

/// A context folder with a root file system as a tar, exported from an image.
fn with_root<'a>(setup: &'a Setup, name: &str, image: &str, containerfile: &str) -> Scenario<'a> {
    let scenario = setup.scenario(name, containerfile);
    let mut create = setup.engine.docker();
    create.args(["create", image, "true"]);
    let container = stdout(create);
    let mut export = setup.engine.docker();
    export.current_dir(scenario.folder());
    export.args(["export", "--output", "root.tar", &container]);
    stdout(export);
    let mut remove = setup.engine.docker();
    remove.args(["rm", &container]);
    stdout(remove);
    scenario
}

fn stdout(mut command: Command) -> String {
    let output = engine_output(&mut command).expect("docker runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn a_scratch_image_with_a_bootable_root_is_committed(setup: &Setup) {
    let containerfile =
        format!("{SYNTAX}\nFROM scratch\nADD root.tar /\nRUN touch /tmp/left /etc/kept\n");
    let scenario = with_root(
        setup,
        "scratch-bootable",
        "debian-ostree-base",
        &containerfile,
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("osderive: committed"), "{log}");
    assert!(log.contains("[osderive] commit the image"), "{log}");
    assert!(scenario.has("etc/kept").unwrap() && !scenario.has("tmp/left").unwrap());
}

fn a_scratch_image_with_another_root_is_not_committed(setup: &Setup) {
    let containerfile = format!("{SYNTAX}\nFROM scratch\nADD root.tar /\nRUN touch /tmp/left\n");
    let scenario = with_root(setup, "scratch-other", "debian-plain", &containerfile);
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("osderive: committed"), "{log}");
    assert!(!log.contains("[osderive]"), "{log}");
    assert!(scenario.has("tmp/left").unwrap());
}

fn a_build_without_the_cache_runs_each_step_once(setup: &Setup) {
    let scenario = setup.derive("no-cache", "RUN echo ran-first\nRUN echo ran-second");
    scenario.build(&[]).unwrap().expect_success();
    let log = scenario.build(&["--no-cache"]).unwrap().expect_success();
    for said in ["ran-first", "ran-second"] {
        let runs = log
            .lines()
            .filter(|line| line.ends_with(&format!(" {said}")) && !line.contains("RUN"));
        assert_eq!(runs.count(), 1, "{log}");
    }
}

fn an_imported_cache_is_used_and_no_step_runs_again(setup: &Setup) {
    let scenario = setup.derive(
        "cache",
        "RUN date +%N > /etc/stamp && touch /tmp/x\nRUN touch /etc/second",
    );
    let export = ["--build-arg", "BUILDKIT_INLINE_CACHE=1"];
    scenario.build(&export).unwrap().expect_success();
    let first = scenario.saved(0).unwrap().layer_digests;
    let log = scenario
        .build(&["--cache-from", scenario.tag()])
        .unwrap()
        .expect_success();
    assert_eq!(cached_steps(&log).len(), 2, "{log}");
    assert_eq!(scenario.saved(0).unwrap().layer_digests, first);
}

fn an_empty_image_for_two_platforms_takes_no_engine_down(setup: &Setup) {
    let both = ["--platform", "linux/amd64,linux/arm64"];
    let built = |name: &str, first: &str| {
        let scenario = setup.scenario(name, &format!("{first}\nFROM scratch\nLABEL a=b\n"));
        scenario.build(&both).unwrap()
    };
    let plain = built("empty-platforms-plain", "# plain");
    let ours = built("empty-platforms", SYNTAX);
    // A graph driver holds no such image, and the client of Docker 26.1 ends with any (buildx's `convertRef`).
    assert_eq!(plain.success, ours.success, "{}\n{}", plain.log, ours.log);
    is_alive(setup);
}

fn is_alive(setup: &Setup) {
    let mut version = setup.engine.docker();
    version.args(["version", "--format", "{{.Server.Version}}"]);
    let version = stdout(version);
    assert_eq!(version, setup.engine.version().server);
}

/// The frontend that tests use beside ours.
const ODD: &str = "osderive-odd";

fn load_odd(setup: &Setup) {
    let binary = Path::new(env!("CARGO_BIN_EXE_odd-frontend"));
    let loaded = (setup.engine).load_test_frontend(ODD, binary, &setup.places);
    loaded.expect("an image");
}

fn no_answer_takes_an_engine_down(setup: &Setup) {
    load_odd(setup);
    let scenario = setup.scenario("odd", &format!("# syntax={ODD}\nFROM scratch\n"));
    let many = ["--build-arg", "ODD_ANSWERS=24"];
    scenario.build(&many).unwrap().expect_success();
    is_alive(setup);
    // What the engine goes on to export.
    for number in 24..27 {
        let one = format!("ODD_ANSWER={number}");
        scenario.build(&["--build-arg", &one]).unwrap();
        is_alive(setup);
    }
}

fn what_a_step_leaves_in_a_cache_mount_outlives_a_build_without_the_cache(setup: &Setup) {
    let mount = "--mount=type=cache,id=e2e-kept,target=/c";
    let scenario = setup.derive(
        "cache-mount",
        &format!("RUN {mount} date +%N >>/c/log && cp /c/log /etc/log && mkdir -p /usr/lib/sysusers.d/$(cat /c/log).conf"),
    );
    let mut last = String::new();
    for _ in 0..2 {
        let log = scenario.build(&["--no-cache"]).unwrap().expect_success();
        let image = scenario.saved(1).unwrap();
        let written = String::from_utf8_lossy(&image.top()["etc/log"].content).into_owned();
        // What is told is of this run: its directory stands where a file is expected.
        let [(rule, message)] = findings(&log)[..] else {
            panic!("{log}");
        };
        assert_eq!(rule, "input-unreadable", "{log}");
        let path = format!("/usr/lib/sysusers.d/{}.conf", written.trim());
        assert!(message.contains(&path), "{path}: {log}");
        assert_ne!(written, last);
        last = written;
    }
    let reader = format!("FROM debian-plain\nRUN {mount} cp /c/log /seen\n");
    let reader = setup.scenario("cache-mount-reader", &reader);
    reader.build(&[]).unwrap().expect_success();
    let image = reader.saved(1).unwrap();
    let seen = String::from_utf8_lossy(&image.top()["seen"].content);
    assert_eq!(seen, last);
}

fn an_image_for_a_platform_without_a_tool_is_the_same_unless_it_is_bootable(setup: &Setup) {
    // A program that runs on the engine's platform, whatever the image says.
    let steps = "FROM --platform=$BUILDPLATFORM osderive AS tools\nFROM scratch\n\
        COPY --from=tools /tool/linux-amd64 /\nRUN [\"/ostree-container\", \"--version\"]\n";
    let options = [&TIMELESS[..], &["--platform", "linux/arm64"]].concat();
    let plain = setup.scenario("no-tool-plain", steps);
    plain.build(&options).unwrap().expect_success();
    let ours = setup.scenario("no-tool", &format!("{SYNTAX}\n{steps}"));
    let log = ours.build(&options).unwrap().expect_success();
    let id = |scenario: &Scenario<'_>| scenario.inspect().unwrap()["Id"].take();
    assert_eq!(id(&plain), id(&ours), "{log}");
    let bootable = format!("{SYNTAX}\n{steps}LABEL containers.bootc=1\n");
    let bootable = setup.scenario("no-tool-bootable", &bootable);
    let log = bootable.build(&options).unwrap().expect_failure();
    for part in [
        "no commit tool for linux-arm64",
        "only for linux-amd64",
        ">>> RUN",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(
        !log.contains("[stage-1 3/3]"),
        "before the first step: {log}"
    );
}

/// A build that begins with our image where there is no command line.
fn start_as_image<'a>(setup: &'a Setup, name: &str, containerfile: &str) -> (Scenario<'a>, String) {
    load_odd(setup);
    let scenario = setup.scenario(name, containerfile);
    let start = format!("BUILDKIT_SYNTAX={ODD}");
    let options = ["--build-arg", &start, "--build-arg", "ODD_START=osderive"];
    let log = scenario.build(&options).unwrap().expect_success();
    (scenario, log)
}

fn started_as_an_image_it_follows_the_syntax_line_of_another_frontend(setup: &Setup) {
    let containerfile = format!("# syntax={ODD}\nno Dockerfile at all\n");
    let (scenario, _) = start_as_image(setup, "another-syntax", &containerfile);
    let image = scenario.saved(1).unwrap();
    assert!(image.shipped().contains_key("odd"));
    let containerfile = "FROM debian-ostree-base\nRUN touch /tmp/left /etc/no-syntax\n";
    let (_, log) = start_as_image(setup, "no-syntax", containerfile);
    assert_eq!(log.matches("osderive: committed").count(), 1, "{log}");
}

fn started_as_an_image_it_commits_once_what_its_own_syntax_line_commits(setup: &Setup) {
    let containerfile = format!(
        "{SYNTAX}\nFROM debian-ostree-base\nRUN touch /tmp/left /etc/own && mkdir -p /usr/lib/sysusers.d/a.conf\n"
    );
    let (scenario, log) = start_as_image(setup, "own-syntax", &containerfile);
    assert_eq!(log.matches("osderive: committed").count(), 1, "{log}");
    assert_eq!(findings(&log).len(), 1, "{log}");
    assert!(scenario.has("etc/own").unwrap() && !scenario.has("tmp/left").unwrap());
}
