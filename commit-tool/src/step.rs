//! One build step: /var as at boot, the command, what it left running, the commit, the report. A
//! command that fails is never committed, and nothing is written but its exit code. In a stage beside the
//! image, which goes on from a committed step, only the beginning is done.

use std::path::Path;

use osderive_commit::{
    Listener, Previous, Rootfs, Snapshot, UserFiles, commit, empty_report, make_var,
};
use osderive_lints::{Outcome, REPORT_FILE, rules::leftover_process};
use rustix::fd::AsFd as _;

use crate::{
    cli::StepArgs,
    error::Result,
    launch::{RunAs, launch},
    leftovers::{adopt, end_leftovers},
    report::ReportDir,
    summary::summary,
    supervise::Supervisor,
};

/// Runs a step; answers with the exit code and the lines for stderr.
pub(crate) fn step(args: &StepArgs, listener: Option<Listener<'_>>) -> Result<(u8, String)> {
    let rootfs = Rootfs::open(Path::new("/"))?;
    rootfs.refuse_booted()?;
    // What the base is decides, not what the command makes of it.
    let is_bootable = rootfs.is_to_commit(args.root.ordinary())?;
    let report = args.report.as_deref().map(ReportDir::open).transpose()?;
    let previous = args.previous.as_deref().map(Previous::read).transpose()?;
    let run_as = run_as(args, &rootfs)?;
    let before = match (is_bootable, args.prepare) {
        (false, _) => None,
        (true, false) => Some(Snapshot::of_step(&rootfs, args.ids.clone())?),
        (true, true) => {
            make_var(&rootfs)?;
            None
        }
    };

    adopt()?;
    let supervisor = Supervisor::begin()?;
    let command = launch(&args.command, &run_as)?;
    let ended = supervisor.wait_for(command)?;
    if !ended.is_success() {
        return Ok((ended.code, String::new()));
    }
    let Some(before) = before else {
        let outcome = empty_report(Outcome::NotBootable);
        report.map_or(Ok(()), |report| report.write_json(REPORT_FILE, &outcome))?;
        return Ok((0, String::new()));
    };

    let leftovers = end_leftovers()?;
    rootfs.forget_mounts();
    let mut committed = commit(&rootfs, Some(&before), &args.opt.settings(), listener)?;
    committed
        .report
        .findings
        .extend(leftover_process::finding(&leftovers));
    let differ = previous.and_then(|previous| previous.finding(&rootfs));
    committed.report.findings.extend(differ);
    report.map_or(Ok(()), |report| {
        report.write_json(REPORT_FILE, &committed.report)
    })?;
    Ok((0, summary(&committed)))
}

fn run_as(args: &StepArgs, rootfs: &Rootfs) -> Result<RunAs> {
    let Some(spec) = &args.user else {
        return Ok(RunAs::Caller);
    };
    let mut identity = UserFiles::read(rootfs.as_fd())?.resolve(spec)?;
    let more = args
        .groups
        .iter()
        .filter(|group| !identity.groups.contains(group));
    identity.groups.extend(more.copied().collect::<Vec<_>>());
    let home = (!args.keep_home).then(|| identity.home.clone());
    Ok(RunAs::User {
        identity,
        home,
        directory: args.workdir.clone(),
    })
}
