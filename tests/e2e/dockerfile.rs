//! The Dockerfile language around the steps: stages, contexts, questions about the file, bake.

use std::process::Stdio;

use osderive_tests::engine::ImageStore;
use osderive_tests::engine_output;

use crate::{SYNTAX, Setup};

crate::tests![
    stages_of_the_final_image_are_committed_in_a_row,
    a_shared_stage_runs_once,
    copy_link_and_add_stand_between_steps,
    a_named_context_as_base_is_committed,
    a_target_stops_at_its_stage,
    onbuild_steps_are_committed,
    a_containerfile_from_standard_input_works,
    a_syntax_error_shows_its_line,
    check_outline_and_targets_answer: Checks,
    a_bake_file_links_targets_without_wrapping_twice,
    several_platforms_are_committed_side_by_side,
    a_platform_without_a_tool_is_refused_with_the_line,
];

fn stages_of_the_final_image_are_committed_in_a_row(setup: &Setup) {
    let scenario = setup.scenario(
        "stages",
        &format!(
            "{SYNTAX}\nFROM debian-ostree-base AS one\nRUN touch /tmp/one /etc/one\n\
             FROM one AS two\nRUN touch /tmp/two /etc/two\n"
        ),
    );
    scenario.build(&[]).unwrap().expect_success();
    assert_eq!(
        scenario
            .output_of("ls -A /tmp; ls /etc/one /etc/two")
            .unwrap(),
        "/etc/one\n/etc/two"
    );
}

fn a_shared_stage_runs_once(setup: &Setup) {
    let scenario = setup.scenario(
        "shared",
        &format!(
            "{SYNTAX}\nFROM debian-ostree-base AS common\nRUN date +%N > /usr/share/once\n\
             FROM common AS builder\nRUN cp /usr/share/once /tmp/seen\n\
             FROM common\nCOPY --from=builder /tmp/seen /usr/share/seen\n"
        ),
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let same = scenario.output_of("cmp /usr/share/once /usr/share/seen && echo same");
    assert_eq!(same.unwrap(), "same", "{log}");
}

fn copy_link_and_add_stand_between_steps(setup: &Setup) {
    let scenario = setup
        .derive(
            "copy-link",
            "RUN touch /etc/first /tmp/a\nCOPY --link file /etc/linked\nRUN touch /etc/second /tmp/b\nADD file /etc/added\nRUN touch /tmp/c",
        )
        .file("file", "content")
        .unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(log.matches("osderive: committed").count(), 1, "{log}");
    assert_eq!(
        scenario.output_of("cat /etc/linked; ls -A /tmp").unwrap(),
        "content"
    );
}

fn a_named_context_as_base_is_committed(setup: &Setup) {
    let scenario = setup.scenario(
        "context",
        &format!("{SYNTAX}\nFROM os\nRUN touch /tmp/left\n"),
    );
    scenario
        .build(&["--build-context", "os=docker-image://debian-ostree-base"])
        .unwrap()
        .expect_success();
    assert!(!scenario.has("tmp/left").unwrap());
}

fn a_target_stops_at_its_stage(setup: &Setup) {
    let scenario = setup.scenario(
        "target",
        &format!("{SYNTAX}\nFROM debian-ostree-base AS wanted\nRUN touch /tmp/left\nFROM wanted\nRUN false\n"),
    );
    scenario
        .build(&["--target", "wanted"])
        .unwrap()
        .expect_success();
    assert!(!scenario.has("tmp/left").unwrap());
}

fn onbuild_steps_are_committed(setup: &Setup) {
    let base = setup.scenario(
        "onbuild-base",
        "FROM debian-ostree-base\nONBUILD RUN touch /tmp/left /etc/onbuild\n",
    );
    base.build(&[]).unwrap().expect_success();
    let scenario = setup.scenario("onbuild", &format!("{SYNTAX}\nFROM {}\n", base.tag()));
    scenario.build(&[]).unwrap().expect_success();
    assert!(scenario.has("etc/onbuild").unwrap() && !scenario.has("tmp/left").unwrap());
}

fn a_containerfile_from_standard_input_works(setup: &Setup) {
    let scenario = setup.derive("stdin", "RUN touch /tmp/left");
    let mut command = setup.engine.docker();
    let containerfile = std::fs::File::open(scenario.folder().join("Containerfile")).unwrap();
    let output = command
        .args([
            "build",
            "--progress=plain",
            "--provenance=false",
            "--tag",
            scenario.tag(),
            "-",
        ])
        .stdin(Stdio::from(containerfile))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!scenario.has("tmp/left").unwrap());
}

fn a_syntax_error_shows_its_line(setup: &Setup) {
    let log = setup
        .derive("syntax-error", "RUNN true")
        .build(&[])
        .unwrap()
        .expect_failure();
    assert!(log.contains("unknown instruction: RUNN"), "{log}");
    assert!(log.contains(">>> RUNN true"), "{log}");
}

fn check_outline_and_targets_answer(setup: &Setup) {
    let scenario = setup.scenario(
        "subrequests",
        &format!("{SYNTAX}\nFROM debian-ostree-base as base\nARG WHAT=x\nRUN echo $WHAT\n"),
    );
    let ask = |question: &str| {
        let mut command = setup.engine.docker();
        command.current_dir(scenario.folder());
        command.args(["build", question, "--file", "Containerfile", "."]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    };
    let checks = ask("--check");
    assert!(checks.contains("FromAsCasing"), "{checks}");
    let outline = ask("--call=outline");
    assert!(outline.contains("WHAT"), "{outline}");
    let targets = ask("--call=targets");
    assert!(targets.contains("base"), "{targets}");
}

fn a_bake_file_links_targets_without_wrapping_twice(setup: &Setup) {
    let scenario = setup
        .scenario("bake", &format!("{SYNTAX}\nFROM lower\nRUN touch /tmp/upper /etc/upper\n"))
        .file("Lower", &format!("{SYNTAX}\nFROM debian-ostree-base\nRUN touch /tmp/lower /etc/lower; sleep 99 &\n"))
        .unwrap()
        .file(
            "docker-bake.json",
            r#"{"target":{
                "lower":{"dockerfile":"Lower"},
                "default":{"dockerfile":"Containerfile","contexts":{"lower":"target:lower"},"tags":["e2e-bake"],"output":["type=docker"]}
            }}"#,
        )
        .unwrap();
    let mut command = setup.engine.docker();
    command.current_dir(scenario.folder());
    command.args([
        "buildx",
        "bake",
        "--progress=plain",
        "--provenance=false",
        "default",
    ]);
    let output = engine_output(&mut command).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(
        !log.contains("step --report /dev/.osderive-out -- /dev/.osderive"),
        "{log}"
    );
    assert_eq!(
        scenario
            .output_of("ls -A /tmp; ls /etc/lower /etc/upper")
            .unwrap(),
        "/etc/lower\n/etc/upper"
    );
}

fn several_platforms_are_committed_side_by_side(setup: &Setup) {
    let scenario = setup.derive(
        "platforms",
        "ARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /etc/platform && touch /tmp/left",
    );
    let out = scenario.folder().join("out");
    let mut command = setup.engine.docker();
    command.current_dir(scenario.folder());
    command.args([
        "build",
        "--progress=plain",
        "--provenance=false",
        "--file",
        "Containerfile",
    ]);
    command.args([
        "--platform",
        "linux/amd64,linux/amd64/v2",
        "--output",
        "type=local,dest=out",
        ".",
    ]);
    let output = engine_output(&mut command).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    if setup.engine.image_store() == ImageStore::Graphdriver {
        // Its client refuses it: there is no image index to put the platforms in.
        assert!(
            log.contains("ulti-platform build is not supported"),
            "{log}"
        );
        return;
    }
    assert!(output.status.success(), "{log}");
    assert_eq!(log.matches("osderive: committed").count(), 2, "{log}");
    for platform in ["linux_amd64", "linux_amd64_v2"] {
        let root = out.join(platform);
        assert!(root.join("etc/platform").is_file(), "{log}");
        assert!(!root.join("tmp/left").exists());
    }
}

fn a_platform_without_a_tool_is_refused_with_the_line(setup: &Setup) {
    let containerfile = format!("{SYNTAX}\nFROM scratch\nLABEL containers.bootc=1\nRUN [\"/x\"]\n");
    let scenario = setup.scenario("no-tool", &containerfile);
    let log = scenario
        .build(&["--platform", "linux/s390x"])
        .unwrap()
        .expect_failure();
    assert!(
        log.contains("no commit tool for linux-s390x, only for linux-amd64"),
        "{log}"
    );
    assert!(log.contains(">>> RUN [\"/x\"]"), "{log}");
}
