//! Ends what a step's command left running. Only for a process 1: there every other process of
//! the pid namespace belongs to the step, whereas elsewhere it may be anybody's.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use osderive_lints::{escape_path, rules::leftover_process::Leftover};
use rustix::process::{Pid, Signal, getpid, kill_process};

use crate::{
    error::{Error, Result},
    supervise::reap,
};

/// What ends by itself this soon, such as the `tee` of a pipeline, is not left over.
const PATIENCE: Duration = Duration::from_millis(50);
/// From SIGTERM, on which a gpg-agent removes its sockets, to SIGKILL.
const GRACE: Duration = Duration::from_secs(1);
/// From SIGKILL until the step is given up.
const LAST: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// Ends every other process of this process's pid namespace and tells which there were; does
/// nothing unless this process is number 1 there.
pub(crate) fn end_leftovers() -> Result<Vec<Leftover>> {
    // A /proc of another pid namespace would name the wrong processes. The kernel ends all of
    // ours anyway when process 1 exits.
    let proc_is_ours = fs::read_link("/proc/self").is_ok_and(|own| own.as_os_str() == "1");
    if !getpid().is_init() || !proc_is_ours || all_gone(PATIENCE, |_| ())? {
        return Ok(Vec::new());
    }
    // By process id: what is seen between its fork and its exec changes its name.
    let mut ended: BTreeMap<i32, Leftover> = BTreeMap::new();
    let terminate = |running: &[Leftover]| {
        let is_first_look = ended.is_empty();
        for process in running {
            // Later ones are what these tidy up with, such as the `rm` of a shell's trap.
            if is_first_look {
                send(process, Signal::TERM);
            }
            if is_first_look || ended.contains_key(&process.pid) {
                ended.insert(process.pid, process.clone());
            }
        }
    };
    let kill = |running: &[Leftover]| running.iter().for_each(|one| send(one, Signal::KILL));
    if !all_gone(GRACE, terminate)? && !all_gone(LAST, kill)? {
        return Err(unkillable(&running()));
    }
    Ok(ended.into_values().collect())
}

/// Reaps until no process is left, or time is up; `each_time` hears which still run.
fn all_gone(limit: Duration, mut each_time: impl FnMut(&[Leftover])) -> Result<bool> {
    let end = Instant::now() + limit;
    loop {
        reap(None).map_err(Error::Wait)?;
        let running = running();
        if running.is_empty() {
            return Ok(true);
        }
        each_time(&running);
        if Instant::now() >= end {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

fn send(process: &Leftover, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.pid) {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

/// The processes beside this one, in the order of their ids. One that has ended and waits to be
/// reaped by a parent of its own still counts: it goes with that parent.
fn running() -> Vec<Leftover> {
    let mut running: Vec<Leftover> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != getpid().as_raw_pid())
        .filter_map(|pid| {
            let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
            Some(Leftover {
                comm: escape_path(comm.trim_ascii_end()),
                pid,
            })
        })
        .collect();
    running.sort_by_key(|process| process.pid);
    running
}

fn unkillable(running: &[Leftover]) -> Error {
    Error::Unkillable {
        count: running.len(),
        first: running
            .first()
            .map_or_else(String::new, |one| format!("{} (pid {})", one.comm, one.pid)),
    }
}
