//! One build step: /var as at boot, the command, what it left running, the commit, the report. A
//! command that fails is never committed, and nothing is written but its exit code. In a stage beside the
//! image, which goes on from a committed step, only the beginning is done.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use cap_std_ext::dirext::CapStdExtDirExt as _;
use osderive_lints::{Outcome, REPORT_FILE, StepReport, rules::leftover_process};

use crate::{
    accounts::Previous,
    cli::StepArgs,
    commit::{Before, Listener, commit, empty_report},
    error::{Error, Result},
    launch::{RunAs, launch},
    leftovers::end_leftovers,
    rootfs::Rootfs,
    summary::summary,
    supervise::Supervisor,
    user::UserFiles,
    var,
};

/// What apt ends with on any error (apt-get(8)).
const APT_FAILED: u8 = 100;

/// Runs a step; answers with the exit code and the lines for stderr.
pub(crate) fn step(args: &StepArgs, listener: Option<Listener<'_>>) -> Result<(u8, String)> {
    let rootfs = Rootfs::open(Path::new("/"))?;
    rootfs.refuse_booted()?;
    // What the base is decides, not what the command makes of it.
    let is_bootable = !args.detect || rootfs.is_bootable();
    let report = args.report.as_deref().map(ReportDir::open).transpose()?;
    let previous = args.previous.as_deref().map(Previous::read).transpose()?;
    let run_as = run_as(args)?;
    let settings = args.settings();
    let before = match (is_bootable, args.prepare) {
        (false, _) => None,
        (true, false) => Some(Before::take(&rootfs, args.ids.clone(), &settings)?),
        (true, true) => {
            var::Prelude::make(&rootfs, &[])?;
            None
        }
    };

    let supervisor = Supervisor::begin()?;
    let command = launch(&args.command, &run_as)?;
    let ended = supervisor.wait_for(command)?;
    if !ended.is_success() {
        return Ok((ended.code, hint(&rootfs, is_bootable, ended.code)));
    }
    let Some(before) = before else {
        write_report(report, &empty_report(Outcome::NotBootable))?;
        return Ok((0, String::new()));
    };

    let leftovers = end_leftovers()?;
    rootfs.forget_mounts();
    let mut committed = commit(&rootfs, Some(&before), &settings, listener)?;
    committed
        .report
        .findings
        .extend(leftover_process::finding(&leftovers));
    let differ = previous.and_then(|previous| previous.finding(&rootfs));
    committed.report.findings.extend(differ);
    write_report(report, &committed.report)?;
    Ok((0, summary(&committed)))
}

/// What a user may not know about a command that failed in a step.
fn hint(rootfs: &Rootfs, is_bootable: bool, code: u8) -> String {
    if is_bootable && code == APT_FAILED && var::lacks_package_lists(rootfs) {
        return "osderive: there are no package lists: a step that installs packages keeps its lists \
                only for later RUNs that call apt themselves, not by a script; begin this RUN with \
                apt-get update &&\n"
            .to_owned();
    }
    String::new()
}

fn run_as(args: &StepArgs) -> Result<RunAs> {
    let Some(spec) = &args.user else {
        return Ok(RunAs::Caller);
    };
    let identity = UserFiles::read()?.resolve(spec)?;
    let home = (!args.keep_home).then(|| identity.home.clone());
    Ok(RunAs::User { identity, home })
}

/// The report mount, opened before the command could put anything else in its place.
struct ReportDir {
    path: PathBuf,
    dir: Dir,
}

impl ReportDir {
    fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| {
            Error::OpenReport {
                dir: path.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            dir,
        })
    }
}

/// Writes the report beside its place and renames it there, so that none is ever read in half.
fn write_report(directory: Option<ReportDir>, report: &StepReport) -> Result<()> {
    let Some(ReportDir { path, dir }) = directory else {
        return Ok(());
    };
    replace_file(&dir, REPORT_FILE, report).map_err(|source| Error::WriteReport {
        path: path.join(REPORT_FILE),
        source,
    })
}

fn replace_file(dir: &Dir, name: &str, report: &StepReport) -> io::Result<()> {
    let beside = format!(".{name}.new");
    // The step's command may have left anything there, a link too.
    dir.remove_file_optional(&beside)?;
    let mut file = dir.open_with(&beside, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(&serde_json::to_vec(report)?)?;
    dir.rename(&beside, dir, name)
}
