//! `ostree-container`: runs the steps of an image build and commits them, as the command that a
//! build frontend puts before each RUN and as the one that `ostree container commit` calls.

mod cli;
mod error;
mod finish;
mod launch;
mod leftovers;
mod lint;
mod plan_table;
mod report;
mod runtime;
mod step;
mod summary;
mod supervise;

use std::{
    io::{Write as _, stdout},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};

use osderive_commit::{Listener, Lock, Previous, Rootfs, commit, preview, say, unfold};
use osderive_lints::{Ordinary, PlanReport};

use crate::{
    cli::{Cli, CommitArgs, ContainerVerb, StepArgs, Verb},
    error::{Error, Result, exit},
    plan_table::PlanTable,
};

fn main() -> ExitCode {
    if runtime::is_asked_for() {
        return ExitCode::from(or_on_panic(exit::STEP_FAILED, runtime::run));
    }
    let cli = Cli::read();
    let mut tell = |done: &str, reason: &str| say(&format!("osderive: {done}: {reason}\n"));
    let listener: Option<Listener<'_>> = if cli.verbose { Some(&mut tell) } else { None };
    let code = match &cli.verb {
        Verb::Step(args) => or_on_panic(exit::STEP_FAILED, || run_step(args, listener)),
        Verb::Unfold { below } => {
            or_on_panic(exit::COMMIT_FAILED, || ended(unfold_software(below)))
        }
        Verb::Gather { steps, report } => {
            or_on_panic(exit::COMMIT_FAILED, || ended(finish::gather(steps, report)))
        }
        Verb::Lint(args) | Verb::Container(ContainerVerb::Lint(args)) => {
            or_on_panic(exit::LINT_FAILED, || lint::run(args))
        }
        Verb::Commit(args) | Verb::Container(ContainerVerb::Commit(args)) => {
            or_on_panic(exit::COMMIT_FAILED, || ended(commit_rootfs(args, listener)))
        }
    };
    ExitCode::from(code)
}

/// A defect of this tool must not look like an exit code of the step's command.
fn or_on_panic(code: u8, work: impl FnOnce() -> u8) -> u8 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        say("osderive: internal error, nothing more was done; please report the message above\n");
        code
    })
}

fn run_step(args: &StepArgs, listener: Option<Listener<'_>>) -> u8 {
    match step::step(args, listener) {
        Ok((code, lines)) => {
            say(&lines);
            code
        }
        Err(error) => {
            complain(&error);
            error.step_exit_code()
        }
    }
}

/// The exit code of what is no step and no lint.
fn ended(outcome: Result<()>) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            exit::COMMIT_FAILED
        }
    }
}

/// Has COPY go on in software of earlier steps.
fn unfold_software(below: &[PathBuf]) -> Result<()> {
    let rootfs = Rootfs::open(Path::new("/"))?;
    rootfs.refuse_booted()?;
    let _alone = Lock::take(&rootfs)?;
    unfold(&rootfs, below)?;
    Ok(())
}

fn commit_rootfs(args: &CommitArgs, listener: Option<Listener<'_>>) -> Result<()> {
    if let Some(base) = &args.end.base {
        say(&finish::finish(args, base, listener)?);
        return Ok(());
    }
    let rootfs = Rootfs::open(&args.rootfs)?;
    rootfs.refuse_booted()?;
    rootfs.is_to_commit(Ordinary::Refuse)?;
    let previous = args.previous.as_deref().map(Previous::read).transpose()?;
    let differ = || previous.and_then(|previous| previous.finding(&rootfs));
    if args.dry_run {
        let mut plan = preview(&rootfs, &args.settings())?;
        plan.findings.extend(differ());
        print_plan(&plan, args.json);
        return Ok(());
    }
    let mut committed = commit(&rootfs, None, &args.settings(), listener)?;
    committed.report.findings.extend(differ());
    say(&summary::summary(&committed));
    Ok(())
}

fn print_plan(report: &PlanReport, as_json: bool) {
    let text = if as_json {
        let json = serde_json::to_string_pretty(report).unwrap_or_default();
        format!("{json}\n")
    } else {
        if report.actions.is_empty() {
            say("osderive: nothing to do\n");
        }
        say(&summary::findings(&report.findings));
        PlanTable(report).to_string()
    };
    // A reader that has seen enough may close the pipe.
    let _ = stdout().write_all(text.as_bytes());
}

fn complain(error: &Error) {
    say(&format!("osderive: {error}\n"));
}
