//! Running long programs: output into a log, a sign of life on stderr, and a failure that shows the log's end.
//! Everything slow that the harness does goes through here.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result, io_error};

const POLL: Duration = Duration::from_millis(50);
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
const TAIL_LINES: usize = 30;

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
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| refuse(error.to_string()))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(refuse(message));
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
