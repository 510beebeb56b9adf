//! What only the image's own programs can make: depmod's index and dracut's initramfs. They run in
//! a step, whose root is the image's; a commit from outside runs none of the image's programs.

use std::{
    ffi::OsStr,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use osderive_lints::{
    EntryKind, escape_path,
    model::initramfs::{Ostree, ostree},
    rules::{kernel_depmod, kernel_initramfs},
};

use super::{
    observe::{INITRAMFS, MODULES},
    plan::{INDEXED, Wanted, wrote},
};
use crate::{
    error::Result,
    outcome::{DomainOutcome, FilePlan, Tell},
    paths::shown,
    place::{Place, Told as _, unfinished},
    rootfs::Rootfs,
    say::say,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs programs of the image.
pub(super) struct Maker<'a> {
    place: &'a Place<'a>,
    is_root: bool,
}

impl<'a> Maker<'a> {
    pub(super) fn new(rootfs: &Rootfs, place: &'a Place<'a>) -> Self {
        Self {
            place,
            is_root: rootfs.is_own_root(),
        }
    }

    pub(super) fn depmod(&self, version: &str, tell: Tell<'_>) -> DomainOutcome {
        let mut outcome = DomainOutcome::default();
        match self.run("depmod", &["--", version]) {
            Ok(()) => {
                let file = wrote(version, "modules.dep", INDEXED);
                tell(&file);
                outcome.changed.push(file);
            }
            Err(unmade) => outcome
                .findings
                .push(kernel_depmod::finding(version, &unmade)),
        }
        outcome
    }

    /// The initramfs is put in place only when it is what is wanted.
    pub(super) fn initramfs(&self, wanted: Wanted, tell: Tell<'_>) -> Result<DomainOutcome> {
        let directory = Path::new(MODULES).join(&wanted.version);
        let unfinished = directory.join(unfinished(OsStr::new(INITRAMFS)));
        let mut outcome = DomainOutcome::default();
        if let Err(unmade) = self.dracut(&wanted.version, &unfinished) {
            let _ = self.place.remove(&unfinished, EntryKind::File);
            let finding = kernel_initramfs::finding(&wanted.version, wanted.problem, &unmade);
            outcome.findings.push(finding);
            return Ok(outcome);
        }
        let made = directory.join(INITRAMFS);
        self.place.rename(&unfinished, &made).told("move", &made)?;
        let file = wrote(&wanted.version, INITRAMFS, &wanted.reason());
        tell(&file);
        outcome.changed.push(file);
        outcome.add(replaced(wanted.replaces).apply(self.place, tell)?);
        Ok(outcome)
    }

    fn dracut(&self, version: &str, unfinished: &Path) -> Result<(), String> {
        let path = shown(unfinished);
        let flags = ["--quiet", "--force", "--no-hostonly", "--reproducible"];
        // /var/tmp, its default, may be a directory that only a machine has.
        let kver = format!("--kver={version}");
        let words = ["--tmpdir", "/tmp", "--add", "ostree", &kver, &path];
        self.run("dracut", &[&flags[..], &words[..]].concat())?;
        let made = self.place.open_file(unfinished);
        match made.map(ostree) {
            Ok(Ostree::Present | Ostree::Unreadable(_)) => Ok(()),
            _ => Err(
                "dracut makes none with it: its module ostree (Debian's ostree-boot) is missing"
                    .to_owned(),
            ),
        }
    }

    fn run(&self, program: &str, words: &[&str]) -> Result<(), String> {
        if !self.is_root {
            return Err(format!(
                "a commit from outside does not run the image's {program}"
            ));
        }
        self.place.note_change();
        let mut command = Command::new(program);
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        match telling_that_it_runs(program, || command.output()) {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let said = output
                    .stderr
                    .trim_ascii()
                    .rsplit(|&byte| byte == b'\n')
                    .next();
                let said = escape_path(said.unwrap_or_default());
                Err(format!("{program} failed ({}): {said}", output.status))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(format!("the image has no {program}"))
            }
            Err(error) => Err(format!("{program} cannot be run: {error}")),
        }
    }
}

/// Says each minute that a program still runs: who waits for a build wants to know what for.
fn telling_that_it_runs<T>(program: &str, run: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (ended, is_ended) = mpsc::channel::<()>();
        scope.spawn(move || {
            let mut minutes = 0;
            while is_ended.recv_timeout(MINUTE) == Err(RecvTimeoutError::Timeout) {
                minutes += 1;
                say(&format!(
                    "osderive: {program} of the image runs for {minutes} min now\n"
                ));
            }
        });
        let done = run();
        drop(ended);
        done
    })
}

fn replaced(paths: Vec<PathBuf>) -> FilePlan {
    let mut plan = FilePlan::default();
    for path in paths {
        plan.remove(path, "the initramfs that boots is beside the modules");
    }
    plan
}
