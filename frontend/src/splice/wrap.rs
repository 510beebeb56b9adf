//! How a RUN is wrapped: the tool is mounted beside the command, under /dev, which is a tmpfs in
//! every exec and so leaves nothing in the layer; the command becomes the tool's arguments, and
//! another user becomes root, because the commit needs it and the tool drops privileges itself.

use osderive_lints::model::ledger::Ledger;
use osderive_lints::{REPORT_MOUNT, StepRequest, StepUser, TOOL, TOOL_MOUNT};
use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{NewMount, Run, Splice};

use crate::facts::bootable::Decision;
use crate::options::environment::Options;
use crate::splice::tool;

/// The first arguments of every wrapped RUN.
const STEP: [&str; 2] = [TOOL, "step"];

/// Whether `run` was wrapped already, as those of a bake `target:` context are.
pub(crate) fn is_wrapped(run: &Run) -> bool {
    run.args.len() > STEP.len() && run.args.iter().zip(STEP).all(|(arg, step)| arg == step)
}

/// How to wrap a `run` of the image, to commit it.
///
/// # Errors
/// When our image has no tool for the RUN's platform.
pub(crate) fn splice(
    run: &Run,
    decision: Decision,
    options: &Options,
    ids: Option<&Ledger>,
) -> Result<Splice, BuildError> {
    let request = StepRequest {
        verbose: options.asked.verbose,
        ids: ids.cloned(),
        paths: options.asked.paths.clone(),
        report: Some(REPORT_MOUNT.to_owned()),
        ..step(run, decision)
    };
    let report = NewMount::Output {
        dest: REPORT_MOUNT.to_owned(),
    };
    with_tool(run, &request, Some(report))
}

/// How to wrap a `run` of another stage that goes on from a committed step: it is given /var as at boot.
///
/// # Errors
/// When our image has no tool for the RUN's platform.
pub(crate) fn prepare(run: &Run, decision: Decision) -> Result<Splice, BuildError> {
    let request = StepRequest {
        prepare: true,
        ..step(run, decision)
    };
    with_tool(run, &request, None)
}

fn with_tool(
    run: &Run,
    request: &StepRequest,
    report: Option<NewMount>,
) -> Result<Splice, BuildError> {
    let mut args = vec![TOOL.to_owned()];
    args.extend(request.to_args());
    args.extend(run.args.iter().cloned());
    let tool = NewMount::ReadOnly {
        dest: TOOL_MOUNT.to_owned(),
        selector: tool::folder(run.platform.as_ref())?,
    };
    Ok(Splice {
        args,
        user: is_other_user(run).then(String::new),
        mounts: [tool].into_iter().chain(report).collect(),
    })
}

/// Whether the RUN's user is not just root, whom the engine starts with its supplementary groups
/// itself; `root:staff` is for the tool.
fn is_other_user(run: &Run) -> bool {
    !matches!(run.user.as_str(), "" | "0" | "root")
}

/// What every request about a RUN says.
fn step(run: &Run, decision: Decision) -> StepRequest {
    // Without a HOME of the image the tool sees the one that the runtime set for root.
    let has_home = || run.env.iter().any(|variable| variable.starts_with("HOME="));
    let user = is_other_user(run).then(|| StepUser {
        name: run.user.clone(),
        keep_home: has_home(),
        groups: Vec::new(),
        directory: None,
    });
    StepRequest {
        ordinary: decision.ordinary(),
        user,
        ..StepRequest::default()
    }
}

/// An error message of the engine with the tool's part of the command taken out: what users
/// wrote is what they should read.
pub(crate) fn without_tool(message: &str) -> String {
    let start = STEP.join(" ");
    let ends = [
        format!("--report {REPORT_MOUNT} -- "),
        "--prepare -- ".to_owned(),
    ];
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(&start)
        && let step = &rest[at..]
        && let all = ends
            .iter()
            .filter_map(|end| Some(step.find(end)? + end.len()))
        && let Some(length) = all.min()
    {
        text.push_str(&rest[..at]);
        rest = &step[length..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use osderive_lints::PathSettings;
    use osderive_proto::llb::Digest;

    use super::*;

    fn run(user: &str, env: &[&str]) -> Run {
        Run {
            digest: Digest::of(b""),
            name: String::new(),
            command: String::new(),
            args: ["/bin/sh", "-c", "id"].map(str::to_owned).into(),
            env: env.iter().map(|&variable| variable.to_owned()).collect(),
            cwd: String::new(),
            user: user.to_owned(),
            mounts: Vec::new(),
            platform: None,
        }
    }

    /// The arguments of a wrapped RUN but for the tool, `step` and the command.
    fn args(run: &Run, decision: Decision, options: &Options) -> String {
        let request = StepRequest {
            verbose: options.asked.verbose,
            paths: options.asked.paths.clone(),
            report: Some(REPORT_MOUNT.to_owned()),
            ..step(run, decision)
        };
        request.to_args()[1..].join(" ")
    }

    #[test]
    fn root_needs_no_user_and_another_user_and_its_home_are_passed_as_written() {
        let args =
            |user, env: &[&str]| args(&run(user, env), Decision::Commit, &Options::default());
        for root in ["", "root", "0"] {
            let args = args(root, &[]);
            assert_eq!(args, "--any-root --report /dev/.osderive-out --");
        }
        let users = args("app:www-data", &["PATH=/bin"]);
        assert!(users.starts_with("--any-root --user app:www-data --report "));
        let with_home = args("app", &["HOME=/set"]);
        assert!(with_home.starts_with("--any-root --user app --keep-home --report "));
    }

    #[test]
    fn detection_and_verbosity_are_passed_on() {
        let mut options = Options::default();
        options.asked.verbose = true;
        let args = args(&run("", &[]), Decision::Detect, &options);
        assert_eq!(args, "--detect -v --report /dev/.osderive-out --");
    }

    #[test]
    fn comments_in_the_id_ledger_do_not_make_a_step_run_again() {
        let args = |ledger: &str| {
            let request = StepRequest {
                ids: Some(Ledger::parse(ledger.as_bytes()).expect("a ledger")),
                ..StepRequest::default()
            };
            request.to_args()
        };
        assert_eq!(args("u b 2\nu a 1")[1..3], ["--ids", "u a 1\nu b 2"]);
        assert_eq!(args("u b 2\nu a 1"), args("# both\nu a 1 # a\nu b 2\n"));
        assert_eq!(args("# none yet")[1..3], ["--ids", ""]);
    }

    #[test]
    fn what_is_written_at_run_time_is_passed_on() {
        let mut options = Options::default();
        options.asked.paths = PathSettings {
            first_start: vec!["/var/lib/d".to_owned()],
            writable: vec!["/opt/a/x".to_owned(), "/opt/b/y".to_owned()],
            read_only: vec!["/opt/c".to_owned()],
        };
        let args = args(&run("", &[]), Decision::Commit, &options);
        let paths =
            "--first-start=/var/lib/d --writable=/opt/a/x --writable=/opt/b/y --read-only=/opt/c";
        assert!(args.starts_with(&format!("--any-root {paths} --report ")));
    }

    #[test]
    fn a_wrapped_run_is_known_by_its_first_arguments() {
        let mut wrapped = run("", &[]);
        assert!(!is_wrapped(&wrapped));
        wrapped.args = vec![TOOL.to_owned()];
        wrapped
            .args
            .extend(step(&wrapped, Decision::Commit).to_args());
        assert!(is_wrapped(&wrapped));
        wrapped.args.truncate(STEP.len());
        assert!(!is_wrapped(&wrapped), "the tool alone runs nothing");
    }

    #[test]
    fn the_users_command_is_what_an_error_shows() {
        let message = "process \"/dev/.osderive/ostree-container step --user app --report /dev/.osderive-out -- /bin/sh -c exit 3\" did not complete successfully: exit code: 3";
        assert_eq!(
            without_tool(message),
            "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3"
        );
    }

    #[test]
    fn so_it_is_where_nothing_is_committed() {
        let message = "process \"/dev/.osderive/ostree-container step --user app --prepare -- /bin/sh -c a --report /dev/.osderive-out -- b\" failed";
        let told = "process \"/bin/sh -c a --report /dev/.osderive-out -- b\" failed";
        assert_eq!(without_tool(message), told);
    }

    #[test]
    fn a_run_beside_the_image_is_only_prepared() {
        let args = |user, decision| {
            let request = StepRequest {
                prepare: true,
                ..step(&run(user, &["HOME=/set"]), decision)
            };
            request.to_args()[1..].join(" ")
        };
        assert_eq!(args("", Decision::Commit), "--any-root --prepare --");
        assert_eq!(
            args("app", Decision::Detect),
            "--detect --user app --keep-home --prepare --"
        );
    }

    #[test]
    fn a_message_without_the_tool_stays_as_it_is() {
        for message in [
            "",
            "no such file",
            "/dev/.osderive/ostree-container step alone",
        ] {
            assert_eq!(without_tool(message), message);
        }
    }
}
