//! The check of the final root: what COPY and ADD bring is seen too, what the base has is nobody's
//! fault, and no image differs by it. What is known before the build, of the configuration too, and what
//! people decide about findings.

use osderive_tests::scenario::{Scenario, findings};

use crate::fidelity::TIMELESS;
use crate::{SYNTAX, Setup};

crate::tests![
    what_a_copy_brings_is_told_with_its_line,
    what_a_linked_copy_brings_is_told_with_its_line,
    an_error_fails_the_build_with_the_lines_unless_it_is_told_not_to: BuildKit,
    a_comment_allows_what_its_instruction_brings,
    a_comment_that_makes_no_sense_fails_the_build_at_its_line: BuildKit,
    with_fail_on_warning_a_warning_fails_too: BuildKit,
    osderive_toml_of_the_context_decides_about_findings,
    osderive_toml_says_what_fails_the_build_unless_the_build_does: BuildKit,
    a_mistake_in_osderive_toml_stops_the_build_at_its_line: BuildKit,
    what_the_configuration_says_is_told_with_its_line: BuildKit,
    a_question_about_checks_is_answered_with_our_rules_too: Checks,
    a_question_about_checks_of_what_is_right_or_not_bootable_is_answered_as_ever: Checks,
    what_the_base_has_is_neither_told_nor_an_error: BuildKit,
    what_a_later_instruction_mends_does_not_fail,
    what_a_later_instruction_removes_is_told_with_the_line_of_that,
    a_rebuild_has_its_checks_from_the_cache: BuildKit,
    a_step_that_runs_again_is_checked_again: BuildKit,
    a_check_leaves_no_trace_in_the_image,
    an_image_that_is_not_bootable_is_not_checked,
    each_platform_is_checked: Index,
    an_imported_cache_does_not_keep_an_error_from_being_found: BuildKit,
];

/// A directory where a file is expected, which no machine can read.
const UNREADABLE: &str = "conf/app.conf/file";

const NEVER: [&str; 2] = ["--build-arg", "OSDERIVE_FAIL_ON=never"];

fn with_files<'a>(setup: &'a Setup, name: &str, instructions: &str) -> Scenario<'a> {
    let scenario = setup.derive(name, instructions);
    let scenario = scenario.file(UNREADABLE, "x").unwrap();
    let scenario = scenario.file("kernel/vmlinuz", "x").unwrap();
    scenario.file("kernel/initramfs.img", "x").unwrap()
}

fn rules(log: &str) -> Vec<&str> {
    findings(log).iter().map(|(rule, _)| *rule).collect()
}

/// Whether the vertex of a title ran, and did not come from the cache. Of a cached one a busy engine may leave out to say so:
/// the build ends before it does.
fn has_run(log: &str, title: &str) -> bool {
    let number = log.lines().find_map(|line| {
        let (number, rest) = line.split_once(' ')?;
        (rest == title).then_some(number)
    });
    let number = number.unwrap_or_else(|| panic!("no {title}: {log}"));
    log.lines().any(|line| {
        let said = line
            .strip_prefix(number)
            .and_then(|rest| rest.strip_prefix(' '));
        // What it printed has the seconds before it.
        said.is_some_and(|said| {
            said.starts_with("DONE ") || said.starts_with(|sign: char| sign.is_ascii_digit())
        })
    })
}

const IMAGE: &str = "[osderive] commit the image";
const BASE: &str = "[osderive] check the base image";

fn what_a_copy_brings_is_told_with_its_line(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-copy",
        "RUN touch /etc/a\nLABEL l=1\nCOPY conf /usr/lib/sysusers.d/\nRUN touch /etc/b\nCOPY kernel /etc/k",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let found = findings(&log);
    let [(rule, message)] = found[..] else {
        panic!("{found:?}: {log}");
    };
    assert_eq!(rule, "input-unreadable", "{log}");
    assert!(message.contains("/usr/lib/sysusers.d/app.conf"), "{log}");
    assert!(message.ends_with("(line 5)"), "{log}");
}

fn what_a_linked_copy_brings_is_told_with_its_line(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-copy-link",
        "COPY --link conf /usr/lib/sysusers.d/\nRUN touch /etc/b",
    );
    let log = scenario.build(&[]).unwrap();
    let log = log.expect_success();
    assert!(log.contains("- input-unreadable: "), "{log}");
    assert!(
        log.contains("app.conf") && log.contains("(line 3)"),
        "{log}"
    );
}

fn an_error_fails_the_build_with_the_lines_unless_it_is_told_not_to(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-error",
        "RUN touch /etc/a\nCOPY kernel /usr/lib/modules/9.9/\nRUN touch /etc/b",
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    for part in [
        "kernel-count: there are 2 kernels: ",
        "--> /usr/lib/modules/9.9",
        "= at boot: ",
        "= help: remove all but one",
        "--build-arg OSDERIVE_FAIL_ON=never",
        ">>> COPY kernel /usr/lib/modules/9.9/",
        "Containerfile:4",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let log = scenario.build(&NEVER).unwrap().expect_success();
    assert_eq!(rules(&log), ["kernel-count"], "{log}");
    assert!(findings(&log)[0].1.ends_with("(line 4)"), "{log}");
}

fn a_comment_allows_what_its_instruction_brings(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-allowed",
        "RUN touch /etc/a\n\
         # osderive: allow=kernel-count -- the second one is for a test\n\
         COPY kernel /usr/lib/modules/9.9/\n\
         # osderive: allow=var-log /var/log/acme -- there is none yet\n\
         RUN touch /etc/b",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let found = findings(&log);
    let [(rule, message)] = found[..] else {
        panic!("{found:?}: {log}");
    };
    assert_eq!(rule, "unused-suppression", "{log}");
    assert!(message.ends_with("(line 6)"), "{log}");
}

fn a_comment_that_makes_no_sense_fails_the_build_at_its_line(setup: &Setup) {
    let scenario = setup.derive(
        "check-comment",
        "# osderive: allow=kernel-count\nRUN touch /etc/a",
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains("Containerfile, line 3: "), "{log}");
    assert!(log.contains(">>> # osderive: allow=kernel-count"), "{log}");
}

fn with_fail_on_warning_a_warning_fails_too(setup: &Setup) {
    let containerfile = format!(
        "{SYNTAX} --fail-on=warning\nFROM debian-ostree-base\nCOPY conf /usr/lib/sysusers.d/\n"
    );
    let scenario = setup.scenario("check-fail-on-warning", &containerfile);
    let scenario = scenario.file(UNREADABLE, "x").unwrap();
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains(">>> COPY conf /usr/lib/sysusers.d/"), "{log}");
    assert!(log.contains("input-unreadable: "), "{log}");
}

fn osderive_toml_of_the_context_decides_about_findings(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-toml",
        "RUN sleep 99 &\nCOPY conf /usr/lib/sysusers.d/\nCOPY kernel /usr/lib/modules/9.9/",
    );
    // A context that leaves it out for COPY has it all the same.
    let scenario = scenario.file(".dockerignore", "osderive.toml\n").unwrap();
    let scenario = scenario
        .file(
            "osderive.toml",
            "[rules]\nkernel = \"warning\"\nleftover-process = \"off\"\n\
             [[allow]]\nrule = \"input-unreadable\"\npath = \"/usr/lib/sysusers.d/app.conf\"\n\
             reason = \"for a test\"\n\
             [[allow]]\nrule = \"var-log\"\npath = \"/var/log/acme\"\nreason = \"there is none yet\"\n\
             [[allow]]\nrule = \"size-deleted-later\"\nreason = \"no build asks it\"\n",
        )
        .unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(rules(&log), ["kernel-count", "unused-suppression"], "{log}");
    assert!(findings(&log)[0].1.ends_with("(line 5)"), "{log}");
    let message = "osderive.toml:9 allows var-log at /var/log/acme, which nothing needs";
    assert!(findings(&log)[1].1.starts_with(message), "{log}");
}

fn osderive_toml_says_what_fails_the_build_unless_the_build_does(setup: &Setup) {
    let scenario = with_files(setup, "check-toml-fails", "COPY conf /usr/lib/sysusers.d/");
    let scenario = scenario
        .file("osderive.toml", "fail-on = \"warning\"\n")
        .unwrap();
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains(">>> COPY conf /usr/lib/sysusers.d/"), "{log}");
    let log = scenario.build(&NEVER).unwrap().expect_success();
    assert_eq!(rules(&log), ["input-unreadable"], "{log}");
}

fn a_mistake_in_osderive_toml_stops_the_build_at_its_line(setup: &Setup) {
    let wrong = "[rules]\nkernels = \"off\"\n";
    let scenario = setup.derive("check-toml-wrong", "RUN touch /ran");
    let scenario = scenario.file("osderive.toml", wrong).unwrap();
    let log = scenario.build(&[]).unwrap().expect_failure();
    for part in [
        "osderive.toml, line 2: there is no rule \"kernels\"",
        "= help: `lint --list` prints them all",
        "2 | >>> kernels = \"off\"",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("touch /ran"), "nothing runs: {log}");
    // It is nothing to an image that is no operating system.
    let containerfile = format!("{SYNTAX}\nFROM debian-plain\nRUN touch /ran\n");
    let plain = setup.scenario("check-toml-plain", &containerfile);
    let plain = plain.file("osderive.toml", wrong).unwrap();
    plain.build(&[]).unwrap().expect_success();
}

/// What the Dockerfile frontend's own checks and osderive may find in a Containerfile.
const CONFIGURED: &str = "ENV A=b \\\n  # a comment\n  DB_PASSWORD=hunter2\nRUN cat >/etc/x <<EOF\nENV X_TOKEN=abcdef\n\
    EOF\nVOLUME /srv/acme\nUSER nobody\nLABEL ostree.final-diffid=sha256:00";

/// Its findings, by the rule with the first line.
const OF_CONFIG: [(&str, u64); 4] = [
    ("secret-in-env", 3),
    ("config-container-only", 9),
    ("config-container-only", 10),
    ("config-ostree-labels", 11),
];

fn what_the_configuration_says_is_told_with_its_line(setup: &Setup) {
    let scenario = setup.derive("check-config", CONFIGURED);
    let log = scenario.build(&[]).unwrap().expect_failure();
    let line = ">>> LABEL ostree.final-diffid=sha256:00";
    assert!(
        log.contains("config-ostree-labels: ") && log.contains(line),
        "{log}"
    );
    let log = scenario.build(&NEVER).unwrap().expect_success();
    for (rule, line) in OF_CONFIG {
        let end = format!("(line {line})");
        let is_it = |found: &&(&str, &str)| found.0 == rule && found.1.ends_with(&end);
        assert_eq!(
            findings(&log).iter().filter(is_it).count(),
            1,
            "{rule} {line}: {log}"
        );
    }
    let ours = |rule: &&str| rule.starts_with(|first: char| first.is_lowercase());
    assert_eq!(
        rules(&log).into_iter().filter(ours).count(),
        OF_CONFIG.len(),
        "{log}"
    );
    // Of an image that is built upon, it is the base's.
    let containerfile = format!(
        "{SYNTAX}\nFROM {}\nUSER root\nRUN touch /etc/a\n",
        scenario.tag()
    );
    let derived = setup.scenario("check-config-derived", &containerfile);
    let log = derived.build(&[]).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");
}

/// What the client says to a question about a scenario's Containerfile, and whether it is content.
fn ask(setup: &Setup, scenario: &Scenario, question: &str) -> (bool, String) {
    let mut command = setup.engine.docker();
    command.current_dir(scenario.folder());
    command.args(["build", question, "--file", "Containerfile", "."]);
    let output = command.output().unwrap();
    let text = if question.contains("json") {
        output.stdout
    } else {
        [output.stdout, output.stderr].concat()
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

fn a_question_about_checks_is_answered_with_our_rules_too(setup: &Setup) {
    let instructions = format!(
        "{CONFIGURED}\nRUN touch /ran\nCOPY a /var/lib/b\n# osderive: allow=kernels -- none wanted\nadd a /run/a"
    );
    let scenario = setup.derive("check-question", &instructions);
    let scenario = scenario.file("a", "x").unwrap();
    let scenario = scenario.file("osderive.toml", "fail_on = 1\n").unwrap();
    let (is_content, json) = ask(setup, &scenario, "--call=check,format=json");
    assert!(!is_content, "{json}");
    let results: serde_json::Value = serde_json::from_str(&json).unwrap();
    let warnings = results["warnings"].as_array().unwrap();
    let told = |rule: &str, line: u64| {
        let is_it = |warning: &&serde_json::Value| {
            let start = &warning["location"]["ranges"][0]["start"]["line"];
            warning["ruleName"] == rule && *start == line
        };
        warnings.iter().filter(is_it).count()
    };
    // Docker's own check says the same of the password.
    let (_, others) = OF_CONFIG.split_first().unwrap();
    let mut expected = others.to_vec();
    expected.extend([
        ("SecretsUsedInArgOrEnv", 3),
        ("policy-rejected", 1),
        ("policy-rejected", 14),
        ("ConsistentInstructionCasing", 15),
    ]);
    for (rule, line) in &expected {
        assert_eq!(told(rule, *line), 1, "{rule} {line}: {json}");
    }
    assert_eq!(warnings.len(), expected.len(), "{json}");
    let (is_content, text) = ask(setup, &scenario, "--check");
    assert!(!is_content, "{text}");
    for part in [
        "WARNING: policy-rejected\n",
        ">>> fail_on = 1",
        "WARNING: ConsistentInstructionCasing",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("RUN touch /ran\n#"), "nothing runs: {text}");
}

fn a_question_about_checks_of_what_is_right_or_not_bootable_is_answered_as_ever(setup: &Setup) {
    let right = setup.derive("check-question-right", "COPY a /tmp/a\nRUN sh /tmp/a");
    let right = right.file("a", "true").unwrap();
    let containerfile = format!("{SYNTAX}\nFROM debian-plain\nUSER nobody\nVOLUME /a\n");
    let plain = setup.scenario("check-question-plain", &containerfile);
    let plain = plain.file("osderive.toml", "fail_on = 1\n").unwrap();
    for scenario in [&right, &plain] {
        let (is_content, text) = ask(setup, scenario, "--check");
        assert!(is_content && text.contains("no warnings found"), "{text}");
    }
}

fn what_the_base_has_is_neither_told_nor_an_error(setup: &Setup) {
    let instructions = "COPY kernel /usr/lib/modules/9.9/\nCOPY conf /usr/lib/sysusers.d/";
    let base = with_files(setup, "check-base", instructions);
    base.build(&NEVER).unwrap().expect_success();
    let containerfile = format!("{SYNTAX}\nFROM {}\nRUN touch /etc/new\n", base.tag());
    let derived = setup.scenario("check-derived", &containerfile);
    let log = derived.build(&[]).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");
    assert!(log.contains(IMAGE) && log.contains(BASE), "{log}");
}

fn what_a_later_instruction_mends_does_not_fail(setup: &Setup) {
    let scenario = setup.derive(
        "check-mended",
        "RUN cd /usr/lib/modules && cp -r * 9.9\nRUN rm -r /usr/lib/modules/9.9",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");
}

fn what_a_later_instruction_removes_is_told_with_the_line_of_that(setup: &Setup) {
    // The tool would not let a step remove what it needs: a link in place of a file, to nowhere.
    let scenario = with_files(
        setup,
        "check-replaced",
        "RUN echo 'u app -' >/usr/lib/sysusers.d/app.conf\nRUN touch /etc/a\n\
         RUN rm /usr/lib/sysusers.d/app.conf\nCOPY conf /usr/lib/sysusers.d/",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(rules(&log), ["input-unreadable"], "{log}");
    assert!(findings(&log)[0].1.ends_with("(line 6)"), "{log}");
}

fn a_rebuild_has_its_checks_from_the_cache(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-rebuild",
        "COPY conf /usr/lib/sysusers.d/\nRUN touch /etc/a",
    );
    let anew = [&TIMELESS[..], &["--no-cache"]].concat();
    let first = scenario.build(&anew).unwrap().expect_success();
    assert!(has_run(&first, IMAGE), "{first}");
    let id = scenario.inspect().unwrap()["Id"].clone();
    let log = scenario.build(&TIMELESS).unwrap().expect_success();
    assert_eq!(scenario.inspect().unwrap()["Id"], id);
    assert!(!has_run(&log, IMAGE) && !has_run(&log, BASE), "{log}");
    assert_eq!(findings(&log), findings(&first), "{log}");
    assert_eq!(rules(&log), ["input-unreadable"], "{log}");
}

fn a_step_that_runs_again_is_checked_again(setup: &Setup) {
    // What the step does differs from run to run, as with a package that has a new version.
    let scenario = setup.derive(
        "check-no-cache",
        "RUN echo ran-$((1 + 1)) && mkdir /usr/lib/sysusers.d/$(date +%s%N).conf",
    );
    for options in [[].as_slice(), &["--no-cache"], &["--no-cache"]] {
        let log = scenario.build(options).unwrap().expect_success();
        let made = scenario.output_of("cd /usr/lib/sysusers.d && ls -d 1*.conf");
        let made = made.unwrap();
        let found = findings(&log);
        assert_eq!(rules(&log), ["input-unreadable"], "{log}");
        assert!(found[0].1.contains(made.trim()), "{made}: {log}");
        assert_eq!(log.matches(" ran-2").count(), 1, "{log}");
    }
}

fn a_check_leaves_no_trace_in_the_image(setup: &Setup) {
    let instructions = "COPY conf /usr/lib/sysusers.d/\nENV A=b\nCOPY kernel /etc/k\n";
    let ours = with_files(setup, "check-trace", instructions);
    ours.build(&TIMELESS).unwrap().expect_success();
    let containerfile = format!("FROM debian-ostree-base\n{instructions}");
    let plain = setup.scenario("check-trace-plain", &containerfile);
    let plain = plain.file(UNREADABLE, "x").unwrap();
    let plain = plain.file("kernel/vmlinuz", "x").unwrap();
    let plain = plain.file("kernel/initramfs.img", "x").unwrap();
    // The files' times are the images' only difference.
    for scenario in [&ours, &plain] {
        let touch = std::process::Command::new("find")
            .arg(scenario.folder())
            .args(["-exec", "touch", "-d", "@1600000000", "{}", "+"])
            .status();
        assert!(touch.unwrap().success());
    }
    let log = ours.build(&TIMELESS).unwrap().expect_success();
    plain.build(&TIMELESS).unwrap().expect_success();
    assert_eq!(rules(&log), ["input-unreadable"], "{log}");
    let (ours, plain) = (ours.inspect().unwrap(), plain.inspect().unwrap());
    assert_eq!(ours["RootFS"], plain["RootFS"]);
    assert_eq!(ours["Id"], plain["Id"]);
}

fn an_image_that_is_not_bootable_is_not_checked(setup: &Setup) {
    for (name, base) in [("plain", "debian-plain"), ("scratch", "scratch")] {
        let containerfile = format!("{SYNTAX}\nFROM {base}\nCOPY conf /usr/lib/sysusers.d/\n");
        let scenario = setup.scenario(&format!("check-not-{name}"), &containerfile);
        let scenario = scenario.file(UNREADABLE, "x").unwrap();
        let log = scenario.build(&[]).unwrap().expect_success();
        assert!(!log.contains("osderive] check"), "{log}");
        assert_eq!(findings(&log), [], "{log}");
    }
}

fn each_platform_is_checked(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-platforms",
        "ARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /etc/platform\nCOPY conf /usr/lib/sysusers.d/",
    );
    let platforms = ["linux/amd64", "linux/amd64/v2"];
    let options = ["--platform", &platforms.join(",")];
    let log = scenario.build(&options).unwrap().expect_success();
    for platform in platforms {
        let title = format!("[{platform} osderive] commit the image");
        assert!(log.contains(&title), "{log}");
    }
    assert_eq!(rules(&log), ["input-unreadable"], "told once: {log}");
}

fn an_imported_cache_does_not_keep_an_error_from_being_found(setup: &Setup) {
    let scenario = with_files(
        setup,
        "check-cache-from",
        "RUN touch /etc/a\nCOPY kernel /usr/lib/modules/9.9/",
    );
    let export = ["--build-arg", "BUILDKIT_INLINE_CACHE=1"];
    let options = [NEVER.as_slice(), &export].concat();
    scenario.build(&options).unwrap().expect_success();
    let cache = ["--cache-from", scenario.tag()];
    let log = scenario.build(&cache).unwrap().expect_failure();
    assert!(log.contains("kernel-count: there are 2 kernels: "), "{log}");
}
