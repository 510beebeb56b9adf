//! Execs of our own, which belong to no RUN: what the tool is asked there, and what they mount.

use osderive_lints::{BASE_MOUNT, EndRequest, REPORT_MOUNT, TOOL, TOOL_MOUNT};
use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{Probe, RootAccess};

use crate::facts::bootable::Decision;
use crate::options::environment::Options;
use crate::splice::tool;

/// The command that looks at a whole root.
pub(crate) const CHECK: [&str; 4] = [TOOL, "lint", "--report", REPORT_MOUNT];

/// The command that gathers the reports of steps.
pub(crate) const GATHER: [&str; 5] = [TOOL, "gather", "--report", REPORT_MOUNT, STEPS_MOUNT];

/// Where the reports of steps are mounted then, each in a directory of its number.
pub(crate) const STEPS_MOUNT: &str = "/dev/.osderive-steps";

/// The command at the end of a build.
pub(crate) fn end(decision: Decision, options: &Options) -> Vec<String> {
    let request = EndRequest {
        ordinary: decision.ordinary(),
        verbose: options.asked.verbose,
        base: BASE_MOUNT.to_owned(),
        report: REPORT_MOUNT.to_owned(),
        check_base: false,
        altfiles: options.asked.altfiles,
        paths: options.asked.paths.clone(),
    };
    let mut args = vec![TOOL.to_owned()];
    args.extend(request.to_args());
    args
}

/// The command before a COPY to places below which earlier RUNs have left links.
pub(crate) fn unfold(tops: &[String]) -> Vec<String> {
    let words = [TOOL, "unfold", "--"].map(str::to_owned);
    words.into_iter().chain(tops.iter().cloned()).collect()
}

/// An exec of ours on a root.
pub(crate) fn probe(
    args: Vec<String>,
    root: RootAccess,
    title: String,
) -> Result<Probe, BuildError> {
    Ok(Probe {
        args,
        reads: Vec::new(),
        root,
        tool_dest: TOOL_MOUNT.to_owned(),
        // The engine's own platform, whatever the root is for: programs of the image run only to make an initramfs.
        tool_selector: tool::folder(None)?,
        output_dest: REPORT_MOUNT.to_owned(),
        title,
    })
}

/// What progress shows of an exec of ours.
pub(crate) fn title(what: &str, platform: Option<&str>) -> String {
    match platform {
        None => format!("[osderive] {what}"),
        Some(platform) => format!("[{platform} osderive] {what}"),
    }
}
