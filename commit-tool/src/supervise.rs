//! Stays by a step's command until it ends: hands signals on to it, reaps what else ends
//! meanwhile, and tells how it ended.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait},
};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    flag,
    iterator::Signals,
};

use crate::error::{Error, Result};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its exit code, or 128 + n when signal n ended it.
    pub(crate) code: u8,
}

impl Ended {
    pub(crate) fn is_success(self) -> bool {
        self.code == 0
    }

    fn from_status(status: WaitStatus) -> Option<Self> {
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => return None,
        };
        Some(Self {
            code: u8::try_from(code).unwrap_or(u8::MAX),
        })
    }
}

/// The signals of this process, caught from here on.
pub(crate) struct Supervisor {
    signals: Signals,
    has_ended: Arc<AtomicBool>,
}

impl Supervisor {
    /// Begins to catch signals; do so before the command starts, so that none is lost.
    pub(crate) fn begin() -> Result<Self> {
        let ignored = ignored_signals();
        let is_ignored = |signal: &i32| ignored & (1 << (signal - 1)) != 0;
        let mut signals = vec![SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];
        // The command inherits what is ignored, and a handler of ours would undo that.
        signals.retain(|signal| !is_ignored(signal));
        // Once the command has ended they do to this process what they do to any.
        let has_ended = Arc::new(AtomicBool::new(false));
        for signal in &signals {
            let has_ended = Arc::clone(&has_ended);
            flag::register_conditional_default(*signal, has_ended).map_err(Error::Wait)?;
        }
        signals.push(SIGCHLD);
        Ok(Self {
            signals: Signals::new(signals).map_err(Error::Wait)?,
            has_ended,
        })
    }

    /// Waits until the command has ended. Signals are handed on by the one thread that also reaps,
    /// so that none can reach another process with the same id.
    pub(crate) fn wait_for(mut self, command: Pid) -> Result<Ended> {
        loop {
            let mut a_child_ended = false;
            for number in self.signals.wait() {
                match number {
                    SIGCHLD => a_child_ended = true,
                    other => pass_on(command, other),
                }
            }
            if a_child_ended && let Some(ended) = reap(Some(command)).map_err(Error::Wait)?.ended {
                self.has_ended.store(true, Ordering::Relaxed);
                return Ok(ended);
            }
        }
    }
}

/// What whoever started this process has it ignore, as a mask with signal 1 in bit 0 (proc(5),
/// `SigIgn`); none where /proc does not tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

fn pass_on(command: Pid, number: i32) {
    if let Some(signal) = Signal::from_named_raw(number) {
        // It may have ended just now: then there is nobody to tell.
        let _ = kill_process(command, signal);
    }
}

/// What came of reaping.
#[derive(Default)]
pub(crate) struct Reaped {
    /// How the command ended, if it did.
    ended: Option<Ended>,
    /// Whether children are left.
    pub(crate) has_children: bool,
}

/// Reaps all children that have ended, the `command` among them.
pub(crate) fn reap(command: Option<Pid>) -> io::Result<Reaped> {
    let mut reaped = Reaped::default();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if Some(pid) == command {
                    reaped.ended = Ended::from_status(status);
                }
            }
            Ok(None) => {
                reaped.has_children = true;
                return Ok(reaped);
            }
            Err(Errno::CHILD) => return Ok(reaped),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
