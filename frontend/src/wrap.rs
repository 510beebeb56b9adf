//! How a RUN is wrapped: the tool is mounted beside the command, under /dev, which is a tmpfs in
//! every exec and so leaves nothing in the layer; the command becomes the tool's arguments, and
//! the user becomes root, because the commit needs it and the tool drops privileges itself.

use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{NewMount, Run, Splice};

use crate::bootable::Decision;
use crate::options::Options;
use crate::tool;

/// Where the tool is mounted. Under /run a stub could stay in the layer on old engines; below
/// /proc and /sys no mount point can be made.
const TOOL_MOUNT: &str = "/dev/.osderive";

/// Where the tool writes its report: a second output of the exec, which no image contains.
pub(crate) const REPORT_MOUNT: &str = "/dev/.osderive-out";

/// The first arguments of every wrapped RUN.
const STEP: [&str; 2] = ["/dev/.osderive/ostree-container", "step"];

/// Whether `run` was wrapped already, as those of a bake `target:` context are.
pub(crate) fn is_wrapped(run: &Run) -> bool {
    run.args.len() > STEP.len() && run.args.iter().zip(STEP).all(|(arg, step)| arg == step)
}

/// How to wrap `run`.
///
/// # Errors
/// When our image has no tool for the RUN's platform.
pub(crate) fn splice(
    run: &Run,
    decision: Decision,
    options: &Options,
) -> Result<Splice, BuildError> {
    let mut args = tool_args(run, decision, options);
    args.extend(run.args.iter().cloned());
    Ok(Splice {
        args,
        user: Some(String::new()),
        mounts: vec![
            NewMount::ReadOnly {
                dest: TOOL_MOUNT.to_owned(),
                selector: tool::folder(run.platform.as_ref())?,
            },
            NewMount::Output {
                dest: REPORT_MOUNT.to_owned(),
            },
        ],
    })
}

fn tool_args(run: &Run, decision: Decision, options: &Options) -> Vec<String> {
    let mut args: Vec<String> = STEP.map(str::to_owned).into();
    if decision == Decision::Detect {
        args.push("--detect".to_owned());
    }
    if options.verbose {
        args.push("-v".to_owned());
    }
    if !run.user.is_empty() && run.user != "root" && run.user != "0" {
        args.extend(["--user".to_owned(), run.user.clone()]);
        // Otherwise the HOME that the tool sees is the one that the runtime set for root.
        if run.env.iter().any(|variable| variable.starts_with("HOME=")) {
            args.push("--keep-home".to_owned());
        }
    }
    args.extend([
        "--report".to_owned(),
        REPORT_MOUNT.to_owned(),
        "--".to_owned(),
    ]);
    args
}

/// An error message of the engine with the tool's part of the command taken out: what users
/// wrote is what they should read.
pub(crate) fn without_tool(message: &str) -> String {
    let start = STEP.join(" ");
    let end = format!("--report {REPORT_MOUNT} -- ");
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(&start)
        && let Some(length) = rest[at..].find(&end)
    {
        text.push_str(&rest[..at]);
        rest = &rest[at + length + end.len()..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_command_is_what_an_error_shows() {
        let message = "process \"/dev/.osderive/ostree-container step --user app --report /dev/.osderive-out -- /bin/sh -c exit 3\" did not complete successfully: exit code: 3";
        assert_eq!(
            without_tool(message),
            "process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3"
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
