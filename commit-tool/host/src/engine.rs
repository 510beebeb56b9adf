//! Runs podman or buildah.

use std::ffi::{OsStr, OsString};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::debug;

use crate::arguments::Engine;
use crate::error::Error;

/// Runs the engine with this process's stdio; answers with its exit code. Signals that end this process are the
/// engine's, whose end this process waits for.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn run<'a>(
    engine: Engine,
    arguments: &[OsString],
    environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
) -> Result<u8, Error> {
    let mut command = Command::new(engine.name());
    command.args(arguments).envs(environment);
    debug!(arguments = ?names(arguments), "{} builds", engine.name());
    let no_engine = |source| Error::NoEngine {
        program: engine.name().to_owned(),
        source,
    };
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(no_engine)?;
    let mut child = command.spawn().map_err(no_engine)?;
    pass_on(signals, &child);
    let status = child.wait().map_err(no_engine)?;
    let of_signal = |signal| 128_u8.saturating_add(u8::try_from(signal).unwrap_or(0));
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let code = status.code().map(|code| u8::try_from(code).unwrap_or(1));
    debug!(%status, "{} has ended", engine.name());
    Ok(code.unwrap_or_else(|| signal.map_or(1, of_signal)))
}

/// Runs another command of the engine on the same store, without output but its errors; whether it ended well.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn quietly(engine: Engine, arguments: &[OsString]) -> Result<bool, Error> {
    let status = Command::new(engine.name())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let status = status.map_err(|source| Error::NoEngine {
        program: engine.name().to_owned(),
        source,
    })?;
    debug!(arguments = ?names(arguments), %status, "{} was asked", engine.name());
    Ok(status.success())
}

/// The names of the options alone: what stands behind them may be a secret (`--build-arg`, `--creds`).
fn names(arguments: &[OsString]) -> Vec<String> {
    let words = arguments.iter().map(|word| word.to_string_lossy());
    let options = words.filter(|word| word.starts_with('-'));
    options
        .filter_map(|word| Some(word.split('=').next()?.to_owned()))
        .collect()
}

/// What another command of the engine prints; none where it fails.
pub(crate) fn output(engine: Engine, arguments: &[OsString]) -> Option<String> {
    let output = Command::new(engine.name())
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A terminal sends ctrl-c to the engine as well; a second one does no harm.
fn pass_on(mut signals: Signals, child: &Child) {
    let pid = Pid::from_child(child);
    thread::spawn(move || {
        for signal in signals.forever() {
            if let Some(signal) = Signal::from_named_raw(signal) {
                let _ = kill_process(pid, signal);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_told() {
        let line =
            "build --creds me:secret --build-arg TOKEN=secret --build-arg=A=secret -t secret .";
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        assert_eq!(
            names(&words),
            ["--creds", "--build-arg", "--build-arg", "-t"]
        );
    }
}
