//! A machine while it runs, in QEMU or as a container: until its probe has reported and it has shut down.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::report::Report;
use crate::error::{Error, Result, io_error};
use crate::process::tail;

/// How long services may take to stop; the probe has synchronised the disk before.
const PATIENCE_AT_END: Duration = Duration::from_secs(100);
const POLL: Duration = Duration::from_millis(20);

/// How a machine is run, beside its command.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    /// What runs it, as messages say it.
    pub(super) runner: &'static str,
    /// How long it may take to report.
    pub(super) patience: Duration,
    /// The file that the probe writes to.
    pub(super) output: PathBuf,
    /// The file that has all that the machine writes to its console.
    pub(super) console: &'a Path,
}

impl Guest<'_> {
    /// Empties the files: what an earlier boot left must not be taken for this one's.
    pub(super) fn clear(&self) -> Result<()> {
        for file in [self.output.as_path(), self.console] {
            fs::write(file, "").map_err(io_error("write", file))?;
        }
        Ok(())
    }

    /// Runs the machine and returns what its probe reported, when it has shut down. The command ends with its standard
    /// input, or when it is killed.
    pub(super) fn run(&self, command: &mut Command) -> Result<Report> {
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Program {
                program: "sh or setpriv",
                package: "dash util-linux",
                source,
            })?;
        let lifeline = child.stdin.take();
        let reason = self.await_end(&mut child, lifeline)?;
        self.read().ok_or_else(|| Error::NoReport {
            reason,
            console: self.console.to_owned(),
            tail: tail(self.console),
        })
    }

    /// Waits for the machine's end, or ends it; returns how its end came.
    fn await_end(&self, child: &mut Child, lifeline: Option<ChildStdin>) -> Result<String> {
        let runner = self.runner;
        let start = Instant::now();
        let mut reported: Option<Instant> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(io_error("wait for", runner))? {
                let mut said = String::new();
                if let Some(errors) = &mut child.stderr {
                    errors
                        .read_to_string(&mut said)
                        .map_err(io_error("read the output of", runner))?;
                }
                return Ok(format!("{runner} ended ({status}) {}", said.trim_end()));
            }
            if reported.is_none() && self.read().is_some() {
                reported = Some(Instant::now());
            }
            let late = reported.map_or(start.elapsed() > self.patience, |at| {
                at.elapsed() > PATIENCE_AT_END
            });
            if late {
                end(child, lifeline).map_err(io_error("end", runner))?;
                return Ok(format!(
                    "it was ended after {} s",
                    start.elapsed().as_secs()
                ));
            }
            sleep(POLL);
        }
    }

    fn read(&self) -> Option<Report> {
        Report::read(&String::from_utf8_lossy(&fs::read(&self.output).ok()?))
    }
}

/// What lives with its standard input gets time to clear away; QEMU ends when it is killed.
fn end(child: &mut Child, lifeline: Option<ChildStdin>) -> std::io::Result<()> {
    drop(lifeline);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        sleep(POLL);
    }
    child.kill()?;
    child.wait().map(drop)
}
