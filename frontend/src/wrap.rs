//! How a RUN is wrapped: the tool is mounted beside the command, under /dev, which is a tmpfs in
//! every exec and so leaves nothing in the layer; the command becomes the tool's arguments, and
//! another user becomes root, because the commit needs it and the tool drops privileges itself.

use osderive_lints::model::ledger::Ledger;
use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{NewMount, Run, Splice};

use crate::bootable::Decision;
use crate::options::Options;
use crate::package_lists::PackageLists;
use crate::scratch::Left;
use crate::tool;

/// Where the tool is mounted. Under /run a stub could stay in the layer on old engines; below
/// /proc and /sys no mount point can be made.
pub(crate) const TOOL_MOUNT: &str = "/dev/.osderive";

/// Where the tool writes its report: a second output of the exec, which no image contains.
pub(crate) const REPORT_MOUNT: &str = "/dev/.osderive-out";

/// The first arguments of every wrapped RUN.
const STEP: [&str; 2] = ["/dev/.osderive/ostree-container", "step"];

/// The last argument of the tool where nothing is committed.
const PREPARE: &str = "--prepare";

/// The command that looks at a whole root.
pub(crate) const CHECK: [&str; 4] = [
    "/dev/.osderive/ostree-container",
    "lint",
    "--report",
    REPORT_MOUNT,
];

/// What it gathers step reports from, each mounted in a directory of its number.
pub(crate) const STEPS_MOUNT: &str = "/dev/.osderive-steps";

/// Whether `run` was wrapped already, as those of a bake `target:` context are.
pub(crate) fn is_wrapped(run: &Run) -> bool {
    run.args.len() > STEP.len() && run.args.iter().zip(STEP).all(|(arg, step)| arg == step)
}

/// What the instructions around a step make of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// For later ones.
    pub(crate) lists: Option<PackageLists>,
    /// For later ones.
    pub(crate) left: Left,
    /// Where COPY and ADD put files before it.
    pub(crate) copied_to: Vec<String>,
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
    around: &Around,
) -> Result<Splice, BuildError> {
    let args = tool_args(run, decision, options, ids, around);
    let report = NewMount::Output {
        dest: REPORT_MOUNT.to_owned(),
    };
    with_tool(run, args, Some(report))
}

/// How to wrap a `run` of another stage that goes on from a committed step: it is given /var as at boot.
///
/// # Errors
/// When our image has no tool for the RUN's platform.
pub(crate) fn prepare(run: &Run, decision: Decision) -> Result<Splice, BuildError> {
    with_tool(run, prepare_args(run, decision), None)
}

fn with_tool(
    run: &Run,
    mut args: Vec<String>,
    report: Option<NewMount>,
) -> Result<Splice, BuildError> {
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

fn tool_args(
    run: &Run,
    decision: Decision,
    options: &Options,
    ids: Option<&Ledger>,
    around: &Around,
) -> Vec<String> {
    let mut args = step(decision);
    if options.verbose {
        args.push("-v".to_owned());
    }
    args.extend(user(run));
    if let Some(ledger) = ids {
        args.extend(["--ids".to_owned(), ledger.to_string()]);
    }
    if let Some(lists) = around.lists {
        args.push(format!("--package-lists={}", lists.name()));
    }
    if around.left.lower {
        args.push("--leave-lower".to_owned());
    }
    let left = around.left.paths.iter();
    args.extend(left.map(|path| format!("--leave={path}")));
    let copied = around.copied_to.iter().filter(|path| is_state(path));
    args.extend(copied.map(|path| format!("--copied={path}")));
    for (flag, paths) in [
        ("--first-start", &options.first_start),
        ("--writable", &options.writable),
        ("--read-only", &options.read_only),
    ] {
        args.extend(paths.iter().map(|path| format!("{flag}={path}")));
    }
    args.extend(["--report", REPORT_MOUNT, "--"].map(str::to_owned));
    args
}

/// Whether something of one owner is at a path that is in /var, or leads there on many images. What is beside it in
/// a directory of many, such as /var/lib, is not the Containerfile's.
fn is_state(path: &str) -> bool {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    match names.next() {
        Some("var") => {
            let is_passing = |name| ["cache", "lock", "log", "run", "tmp"].contains(&name);
            names.next().is_some_and(|name| !is_passing(name)) && names.next().is_some()
        }
        Some("home" | "mnt" | "opt" | "root" | "srv") => names.next().is_some(),
        Some("usr") => names.next() == Some("local") && names.nth(1).is_some(),
        _ => false,
    }
}

fn prepare_args(run: &Run, decision: Decision) -> Vec<String> {
    let mut args = step(decision);
    args.extend(user(run));
    args.extend([PREPARE, "--"].map(str::to_owned));
    args
}

fn step(decision: Decision) -> Vec<String> {
    let detect = (decision == Decision::Detect).then_some("--detect");
    let args = STEP.into_iter().chain(detect);
    args.map(str::to_owned).collect()
}

fn user(run: &Run) -> Vec<String> {
    let mut args = Vec::new();
    if is_other_user(run) {
        args.extend(["--user".to_owned(), run.user.clone()]);
        // Otherwise the HOME that the tool sees is the one that the runtime set for root.
        if run.env.iter().any(|variable| variable.starts_with("HOME=")) {
            args.push("--keep-home".to_owned());
        }
    }
    args
}

/// An error message of the engine with the tool's part of the command taken out: what users
/// wrote is what they should read.
pub(crate) fn without_tool(message: &str) -> String {
    let start = STEP.join(" ");
    let ends = [
        format!("--report {REPORT_MOUNT} -- "),
        format!("{PREPARE} -- "),
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
    use super::*;
    use crate::fixture::shell;

    fn run(user: &str, env: &[&str]) -> Run {
        Run {
            env: env.iter().map(|&variable| variable.to_owned()).collect(),
            user: user.to_owned(),
            ..shell("id")
        }
    }

    fn args(run: &Run, decision: Decision, options: &Options) -> String {
        tool_args(run, decision, options, None, &Around::default())[STEP.len()..].join(" ")
    }

    #[test]
    fn root_needs_no_user_and_another_user_is_passed_as_written() {
        let options = Options::default();
        for root in ["", "root", "0"] {
            let args = args(&run(root, &[]), Decision::Commit, &options);
            assert_eq!(args, "--report /dev/.osderive-out --");
        }
        let args = args(
            &run("app:www-data", &["PATH=/bin"]),
            Decision::Commit,
            &options,
        );
        assert_eq!(args, "--user app:www-data --report /dev/.osderive-out --");
    }

    #[test]
    fn a_home_that_the_image_sets_is_kept() {
        let args = args(
            &run("app", &["HOME=/set"]),
            Decision::Commit,
            &Options::default(),
        );
        assert_eq!(
            args,
            "--user app --keep-home --report /dev/.osderive-out --"
        );
    }

    #[test]
    fn detection_and_verbosity_are_passed_on() {
        let options = Options {
            verbose: true,
            ..Options::default()
        };
        let args = args(&run("", &[]), Decision::Detect, &options);
        assert_eq!(args, "--detect -v --report /dev/.osderive-out --");
    }

    #[test]
    fn comments_in_the_id_ledger_do_not_make_a_step_run_again() {
        let args = |ledger: &str| {
            let ledger = Ledger::parse(ledger.as_bytes()).expect("a ledger");
            let options = Options::default();
            tool_args(
                &run("", &[]),
                Decision::Commit,
                &options,
                Some(&ledger),
                &Around::default(),
            )
        };
        assert_eq!(args("u b 2\nu a 1")[2..4], ["--ids", "u a 1\nu b 2"]);
        assert_eq!(args("u b 2\nu a 1"), args("# both\nu a 1 # a\nu b 2\n"));
        assert_eq!(args("# none yet")[2..4], ["--ids", ""]);
    }

    #[test]
    fn what_instructions_around_it_make_of_a_step_is_passed_on() {
        for lists in [PackageLists::Keep, PackageLists::Remove] {
            let options = Options::default();
            let around = Around {
                lists: Some(lists),
                left: Left {
                    lower: true,
                    paths: ["/tmp/a".to_owned(), "/tmp/b".to_owned()].into(),
                },
                copied_to: vec!["/etc/a".to_owned(), "/srv/a".to_owned()],
            };
            let args = tool_args(&run("", &[]), Decision::Commit, &options, None, &around);
            assert_eq!(args[2], format!("--package-lists={}", lists.name()));
            assert_eq!(
                args[3..7],
                [
                    "--leave-lower",
                    "--leave=/tmp/a",
                    "--leave=/tmp/b",
                    "--copied=/srv/a"
                ]
            );
        }
    }

    #[test]
    fn what_copy_brings_to_a_directory_of_many_is_not_passed_on() {
        for state in [
            "/var/lib/a",
            "/var/lib/a/",
            "/var/opt/a/b",
            "/home/a",
            "/usr/local/bin/a",
        ] {
            assert!(is_state(state), "{state}");
        }
        for other in [
            "/",
            "/var/",
            "/var/lib/",
            "/var/tmp/a",
            "/srv",
            "/usr/local/bin/",
            "/usr/a/b",
        ] {
            assert!(!is_state(other), "{other}");
        }
    }

    #[test]
    fn what_is_written_at_run_time_is_passed_on() {
        let options = Options {
            first_start: vec!["/var/lib/d".to_owned()],
            writable: vec!["/opt/a/x".to_owned(), "/opt/b/y".to_owned()],
            read_only: vec!["/opt/c".to_owned()],
            ..Options::default()
        };
        let args = args(&run("", &[]), Decision::Commit, &options);
        let paths =
            "--first-start=/var/lib/d --writable=/opt/a/x --writable=/opt/b/y --read-only=/opt/c";
        assert_eq!(args, format!("{paths} --report /dev/.osderive-out --"));
    }

    #[test]
    fn a_wrapped_run_is_known_by_its_first_arguments() {
        let mut wrapped = run("", &[]);
        assert!(!is_wrapped(&wrapped));
        wrapped.args = tool_args(
            &wrapped,
            Decision::Commit,
            &Options::default(),
            None,
            &Around::default(),
        );
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
        let args =
            |user, decision| prepare_args(&run(user, &["HOME=/set"]), decision)[2..].join(" ");
        assert_eq!(args("", Decision::Commit), "--prepare --");
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
