//! How a step's command runs: as plain `docker build` runs it, whatever form it has.

use osderive_tests::scenario::{Scenario, cached_steps};

use crate::{Setup, below};

crate::tests![
    a_user_runs_as_itself_and_root_commits,
    every_form_of_user_is_what_it_is_without_us,
    every_form_of_run_works,
    a_background_process_is_ended_and_reported_with_its_line: BuildKit,
    a_failing_command_is_shown_as_the_user_wrote_it: BuildKit,
    a_failed_step_is_not_committed_and_not_cached,
    a_missing_executable_fails_like_without_us: BuildKit,
    an_unknown_user_fails_like_without_us: BuildKit,
    options_of_run_are_kept,
];

fn text(scenario: &Scenario<'_>, path: &str) -> String {
    let image = scenario.saved(4).unwrap();
    let content = image.layers.iter().rev().find_map(|layer| layer.get(path));
    let content = &content
        .unwrap_or_else(|| panic!("{path} is in no layer"))
        .content;
    String::from_utf8_lossy(content).into_owned()
}

/// What a RUN sees of its user.
const WHO: &str = "id; echo HOME=$HOME; grep -E '^(Cap|NoNew|Groups)' /proc/self/status";

/// Makes accounts for the tests and a place that everybody may write to.
const ACCOUNTS: &str = "RUN groupadd -g 4000 extra && groupadd -g 4001 second \
     && useradd -u 3000 -m -d /usr/share/app -G extra,second app && gpasswd -a root second && install -d -m 1777 /usr/share/w";

fn a_user_runs_as_itself_and_root_commits(setup: &Setup) {
    let scenario = setup.derive(
        "user",
        &format!(
            "{ACCOUNTS}\nUSER app\n\
             RUN id -un > /usr/share/w/me && touch /tmp/mine && mkdir -m 700 /tmp/private && touch /tmp/private/x"
        ),
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let me = &image.top()["usr/share/w/me"];
    assert_eq!(me.content, b"app\n");
    assert_eq!(me.owner, (3000, 3000));
    let shipped = image.shipped();
    let left = below(&shipped, "tmp/");
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(scenario.inspect().unwrap()["Config"]["User"], "app");
}

fn every_form_of_user_is_what_it_is_without_us(setup: &Setup) {
    let users = [
        "app",
        "3000",
        "app:extra",
        "3000:4001",
        "12345",
        "12345:6789",
        "0:4000",
        "root",
        "0",
        "app:app",
    ];
    let steps: Vec<String> = users
        .iter()
        .enumerate()
        .map(|(number, user)| format!("USER {user}\nRUN ({WHO}) > /usr/share/w/{number}"))
        .collect();
    let steps = steps.join("\n");
    let instructions =
        format!("{ACCOUNTS}\n{steps}\nENV HOME=/set\nUSER app\nRUN ({WHO}) > /usr/share/w/home\n");
    let ours = setup.derive("users", &instructions);
    ours.build(&[]).unwrap().expect_success();
    let plain = setup.scenario(
        "users-plain",
        &format!("FROM debian-ostree-base\n{instructions}"),
    );
    plain.build(&[]).unwrap().expect_success();
    let read = "cd /usr/share/w; for f in *; do echo == $f; cat $f; done";
    assert_eq!(
        ours.output_of(read).unwrap(),
        plain.output_of(read).unwrap()
    );
}

fn every_form_of_run_works(setup: &Setup) {
    let scenario = setup.derive(
        "forms",
        r#"RUN echo shell >> /etc/forms
RUN ["/bin/sh", "-c", "echo exec >> /etc/forms"]
RUN <<EOF
echo heredoc >> /etc/forms
echo "$0" >> /etc/forms
EOF
RUN <<EOF
#!/usr/bin/perl
open(my $f, ">>", "/etc/forms"); print $f "shebang\n";
EOF
SHELL ["/bin/bash", "-e", "-c"]
RUN [[ -n "$BASH" ]] && echo bash >> /etc/forms"#,
    );
    scenario.build(&[]).unwrap().expect_success();
    let forms = scenario.output_of("cat /etc/forms").unwrap();
    let lines: Vec<&str> = forms.lines().collect();
    assert_eq!([lines[0], lines[1], lines[2]], ["shell", "exec", "heredoc"]);
    assert_eq!(lines[4..], ["shebang", "bash"]);
}

fn a_background_process_is_ended_and_reported_with_its_line(setup: &Setup) {
    let scenario = setup.derive(
        "daemon",
        "RUN true\n\
         RUN (trap 'echo gone > /etc/trapped' TERM; while :; do sleep 0.1; done) & sleep 0.2",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("1 warning found"), "{log}");
    assert!(
        log.contains("leftover-process: ") && log.contains("(line 4)"),
        "{log}"
    );
    assert_eq!(text(&scenario, "etc/trapped"), "gone\n");
    let again = scenario.build(&[]).unwrap().expect_success();
    assert!(
        again.contains("CACHED") && again.contains("(line 4)"),
        "{again}"
    );
}

fn a_failing_command_is_shown_as_the_user_wrote_it(setup: &Setup) {
    let scenario = setup.derive("fails", "RUN true\nRUN echo before && exit 42");
    let log = scenario.build(&[]).unwrap().expect_failure();
    let error = "process \"/bin/sh -c echo before && exit 42\" did not complete successfully: exit code: 42";
    assert!(log.trim_end().ends_with(error), "{log}");
    assert!(log.contains(">>> RUN echo before && exit 42"), "{log}");
    assert!(log.contains("Containerfile:4"), "{log}");
}

fn a_failed_step_is_not_committed_and_not_cached(setup: &Setup) {
    let scenario = setup.derive("not-cached", "RUN touch /tmp/left; false");
    let first = scenario.build(&[]).unwrap().expect_failure();
    assert!(!first.contains("osderive: committed"), "{first}");
    let second = scenario.build(&[]).unwrap().expect_failure();
    assert!(!cached_steps(&second).contains(&"[2/2]"), "{second}");
}

fn a_missing_executable_fails_like_without_us(setup: &Setup) {
    let instruction = "RUN [\"no-such-program\"]";
    let ours = setup
        .derive("missing", instruction)
        .build(&[])
        .unwrap()
        .expect_failure();
    assert!(
        ours.contains("\"no-such-program\": executable file not found in $PATH"),
        "{ours}"
    );
    assert!(ours.contains(&format!(">>> {instruction}")), "{ours}");
}

fn an_unknown_user_fails_like_without_us(setup: &Setup) {
    let instructions = "USER nobody-knows\nRUN true";
    let ours = setup
        .derive("no-user", instructions)
        .build(&[])
        .unwrap()
        .expect_failure();
    assert!(ours.contains("nobody-knows"), "{ours}");
    assert!(ours.contains(">>> RUN true"), "{ours}");
}

fn options_of_run_are_kept(setup: &Setup) {
    let scenario = setup.derive(
        "run-options",
        "RUN --network=none ! (exec 3<>/dev/tcp/deb.debian.org/80) 2>/dev/null\n\
         WORKDIR /usr/share/here\n\
         ENV NAME=value\n\
         ARG GIVEN\n\
         RUN pwd > seen; echo $NAME $GIVEN >> seen; ls -d /proc/sys >> seen; grep -c . /etc/resolv.conf >> seen",
    );
    let log = scenario
        .build(&["--build-arg", "GIVEN=argument"])
        .unwrap()
        .expect_success();
    let seen = text(&scenario, "usr/share/here/seen");
    assert!(
        seen.starts_with("/usr/share/here\nvalue argument\n"),
        "{seen}\n{log}"
    );
}
