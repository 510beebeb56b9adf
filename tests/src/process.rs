//! Running long programs: output into a log, a sign of life on stderr, and a failure that shows the log's end.
//! Everything slow that the harness does goes through here.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, io_error};

const POLL: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 30;
/// How often something is tried that an engine does not do when it has more to do than it can.
pub(crate) const ATTEMPTS: usize = 3;

/// The cargo that runs this program, or else the one that is found.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A program that the kernel kills when the thread that starts it ends, however that comes.
pub fn ending_with_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(ENDING_WITH_US[0]);
    command.args(&ENDING_WITH_US[1..]).arg(program);
    command
}

/// The words before a program's that make it end with whoever starts it.
pub const ENDING_WITH_US: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// Runs `command` to its end; `action` reads after "failed to" and is shown while it runs.
///
/// # Errors
/// When the program cannot be started or fails.
pub(crate) fn run_logged(action: &str, command: &mut Command, log: &Path) -> Result<()> {
    let output = File::create(log).map_err(io_error("write the log", log))?;
    let errors = output.try_clone().map_err(io_error("write the log", log))?;
    eprintln!("» {action}");
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|source| Error::Program {
            program: "setpriv, unshare or apt-get",
            package: "util-linux apt",
            source,
        })?;
    let mut next_sign = SIGN_OF_LIFE;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io_error("wait for", log))? {
            break status;
        }
        if start.elapsed() >= next_sign {
            eprintln!("  {action}: {} s", start.elapsed().as_secs());
            next_sign += SIGN_OF_LIFE;
        }
        sleep(POLL);
    };
    if !status.success() {
        return Err(Error::Command {
            action: action.to_owned(),
            status: status.to_string(),
            log: log.to_owned(),
            tail: tail(log),
        });
    }
    eprintln!("  {action}: done in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// The last lines of a log, or why there are none.
pub(crate) fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(unreadable: {error})"),
    }
}

/// Runs `command` and hands back what it printed, without the last newline.
///
/// # Errors
/// When it cannot be started or fails; `action` reads after "the engine failed to".
pub(crate) fn capture(action: &str, command: &mut Command) -> Result<String> {
    let refuse = |message: String| Error::Engine {
        action: action.to_owned(),
        message,
    };
    let output = engine_output(command).map_err(|error| refuse(error.to_string()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(refuse(message));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// Copies a program by another process: a handle of ours that writes to it may be inherited by a child of another
/// thread, and then nobody can execute the copy (`ETXTBSY`).
///
/// # Errors
/// When it cannot be copied.
pub(crate) fn copy_program(from: &Path, to: &Path) -> Result<()> {
    let action = format!("copy a program to {}", to.display());
    let mut cp = Command::new("cp");
    capture(&action, cp.arg("--").args([from, to])).map(drop)
}

/// Runs a client of an engine to its end, again when the engine's runc died before it began the container.
///
/// Seen a few times with runc 1.1 (Debian 13's), before anything of the step had run; never in 2,800 starts that
/// were made to see it. The likely cause: it copies itself to memory at each start and seals the copy, which the
/// kernel refuses while something else, such as compaction, holds a page of it for 150 ms (`memfd_wait_for_pins`);
/// waits of 38 ms were measured.
///
/// # Errors
/// When the client cannot be started.
pub fn engine_output(command: &mut Command) -> io::Result<Output> {
    const DIED_EARLY: &str =
        "waiting for init preliminary setup: read init-p: connection reset by peer";
    let mut attempts = 0;
    loop {
        let output = command.stdin(Stdio::null()).output()?;
        attempts += 1;
        let errors = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || attempts == ATTEMPTS || !errors.contains(DIED_EARLY) {
            return Ok(output);
        }
        eprintln!("» once more, since the engine's runc died before the container began");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client whose runc dies so many times, and that says how often it has run.
    fn dies(times: usize) -> (tempfile::TempDir, Command) {
        let count = tempfile::tempdir().unwrap();
        let script = format!(
            "echo run >>runs; runs=$(wc -l <runs); [ $runs -gt {times} ] && echo $runs && exit; \
             echo 'x: waiting for init preliminary setup: read init-p: connection reset by peer' >&2; exit 1"
        );
        let mut command = Command::new("/bin/sh");
        command.current_dir(count.path()).args(["-c", &script]);
        (count, command)
    }

    #[test]
    fn a_start_that_runc_did_not_survive_is_made_again() {
        let (_directory, mut command) = dies(1);
        assert_eq!(engine_output(&mut command).unwrap().stdout, b"2\n");
    }

    #[test]
    fn an_engine_whose_runc_always_dies_fails() {
        let (_directory, mut command) = dies(usize::MAX >> 1);
        assert!(!engine_output(&mut command).unwrap().status.success());
    }

    #[test]
    fn any_other_failure_is_final() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.current_dir(directory.path());
        command.args(["-c", "mkdir only-once && exit 3"]);
        assert_eq!(engine_output(&mut command).unwrap().status.code(), Some(3));
    }
}
