//! The end of a build: the finished root is committed once, compared with the base image, and then looked
//! at as a machine would find it. What came of it are files for the build frontend.

use std::{ffi::OsStr, path::Path};

use cap_std::{ambient_authority, fs::Dir};
use osderive_commit::{Base, Listener, Rootfs, Snapshot, commit, empty_report, read_regular};
use osderive_lints::{
    BASE_CHECK_FILE, CHECK_FILE, Outcome, REPORT_FILE, STEPS_FILE, StepRecord, StepReport,
    StepReports,
};
use rustix::fd::AsFd as _;

use crate::{cli::CommitArgs, error::Result, lint, report::ReportDir, summary::summary};

/// Commits the root file system of `args` upon its base and answers with the lines for stderr.
pub(crate) fn finish(
    args: &CommitArgs,
    base: &Path,
    listener: Option<Listener<'_>>,
) -> Result<String> {
    let rootfs = Rootfs::open(&args.rootfs)?;
    rootfs.refuse_booted()?;
    let report = args
        .end
        .report
        .as_deref()
        .map(ReportDir::open)
        .transpose()?;
    if !rootfs.is_to_commit(args.end.root.ordinary())? {
        let outcome = empty_report(Outcome::NotBootable);
        report.map_or(Ok(()), |report| report.write_json(REPORT_FILE, &outcome))?;
        return Ok(String::new());
    }
    let before = Snapshot::of_base(&rootfs, Base::open(base)?)?;
    let committed = commit(&rootfs, Some(&before), &args.settings(), listener)?;
    if let Some(report) = report {
        report.write_json(REPORT_FILE, &committed.report)?;
        report.write_json(CHECK_FILE, &lint::of_root("/"))?;
        if args.end.check_base {
            let base = format!("rootfs:{}", base.display());
            report.write_json(BASE_CHECK_FILE, &lint::of_root(&base))?;
        }
    }
    Ok(summary(&committed))
}

/// Gathers the reports of steps, each in a directory with its number.
pub(crate) fn gather(steps: &Path, report: &Path) -> Result<()> {
    let directories = (0..).map(|number: usize| steps.join(number.to_string()));
    let gathered = directories
        .map_while(|path| Dir::open_ambient_dir(path, ambient_authority()).ok())
        .map(|directory| match step_report(&directory) {
            Ok(report) => StepRecord::Report(report),
            Err(reason) => StepRecord::Unread(reason),
        });
    let json = StepReports::to_json(gathered.collect());
    ReportDir::open(report)?.write(STEPS_FILE, &json)
}

fn step_report(directory: &Dir) -> Result<StepReport, String> {
    let limit = osderive_lints::MAX_REPORT_BYTES as u64;
    let json = read_regular(directory.as_fd(), OsStr::new(REPORT_FILE), limit);
    let json = json.map_err(|error| format!("{REPORT_FILE}: {error}"))?;
    let json = json.ok_or_else(|| format!("{REPORT_FILE} is no regular file"))?;
    StepReport::from_json(&json).map_err(|error| error.to_string())
}
