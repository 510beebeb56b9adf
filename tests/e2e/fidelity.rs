//! What must be as it is without osderive: other images, builder stages, the cache, the config.

use std::process::Command;

use osderive_tests::engine_output;
use osderive_tests::scenario::{Scenario, cached_steps};
use serde_json::Value;

use crate::{SYNTAX, Setup, top_has};

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
    assert!(top_has(&scenario, "etc/kept") && !top_has(&scenario, "tmp/left"));
}

fn a_scratch_image_with_another_root_is_not_committed(setup: &Setup) {
    let containerfile = format!("{SYNTAX}\nFROM scratch\nADD root.tar /\nRUN touch /tmp/left\n");
    let scenario = with_root(setup, "scratch-other", "debian-plain", &containerfile);
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("osderive: committed"), "{log}");
    assert!(!log.contains("[osderive]"), "{log}");
    assert!(top_has(&scenario, "tmp/left"));
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
