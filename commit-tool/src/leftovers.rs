//! Ends what a step's command left running: all processes that descend from this one, which has the kernel give it
//! those whose parent has ended (`PR_SET_CHILD_SUBREAPER`, prctl(2)). Others in the pid namespace may be anybody's.

use std::{
    collections::BTreeMap,
    fs, iter, thread,
    time::{Duration, Instant},
};

use osderive_lints::{escape_path, rules::leftover_process::Leftover};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

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

/// Has those of a command's processes whose parent ends become this one's children. Do so before the command starts.
pub(crate) fn adopt() -> Result<()> {
    set_child_subreaper(Some(getpid())).map_err(|error| Error::Wait(error.into()))
}

/// Ends every process that descends from this one and tells which there were.
pub(crate) fn end_leftovers() -> Result<Vec<Leftover>> {
    // A /proc of another pid namespace would name the wrong processes. The kernel ends all of ours anyway when
    // process 1 exits.
    let own = getpid().to_string();
    let proc_is_ours = fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == &*own);
    if !proc_is_ours || all_gone(PATIENCE, || ())? {
        return Ok(Vec::new());
    }
    // By process id: what is seen between its fork and its exec changes its name.
    let mut ended: BTreeMap<i32, Leftover> = BTreeMap::new();
    let terminate = || {
        let is_first_look = ended.is_empty();
        for process in running() {
            // Later ones are what these tidy up with, such as the `rm` of a shell's trap.
            if is_first_look {
                send(&process, Signal::TERM);
            }
            if is_first_look || ended.contains_key(&process.pid) {
                ended.insert(process.pid, process);
            }
        }
    };
    let kill = || running().iter().for_each(|one| send(one, Signal::KILL));
    if !all_gone(GRACE, terminate)? && !all_gone(LAST, kill)? {
        return Err(unkillable(&running()));
    }
    Ok(ended.into_values().collect())
}

/// Reaps until no process is left, or time is up; does something `each_time` that some are.
fn all_gone(limit: Duration, mut each_time: impl FnMut()) -> Result<bool> {
    let end = Instant::now() + limit;
    loop {
        // Whose parent has ended is a child of this process.
        if !reap(None).map_err(Error::Wait)?.has_children {
            return Ok(true);
        }
        each_time();
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

/// The processes below this one, in the order of their ids. One that has ended and waits to be reaped by a parent of
/// its own still counts: it goes with that parent.
fn running() -> Vec<Leftover> {
    let processes = fs::read_dir("/proc").into_iter().flatten();
    let processes = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let found: BTreeMap<i32, (i32, Leftover)> = processes
        .filter_map(|pid| {
            let (parent, comm) = parent_and_name(&fs::read(format!("/proc/{pid}/stat")).ok()?)?;
            Some((pid, (parent, Leftover { comm, pid })))
        })
        .collect();
    let own = getpid().as_raw_pid();
    let is_below = |pid: &i32| {
        let above = iter::successors(Some(*pid), |pid| Some(found.get(pid)?.0));
        // The parent of one that was read later may have ended since, and its number may be another's by now.
        let mut above = above.take(found.len() + 1).skip(1);
        above.any(|pid| pid == own)
    };
    let below = found.iter().filter(|(pid, _)| is_below(pid));
    below.map(|(_, (_, process))| process.clone()).collect()
}

/// The parent's id and the name, escaped, from a process's `stat` (proc(5)). The name stands in brackets and may have
/// such itself.
fn parent_and_name(stat: &[u8]) -> Option<(i32, String)> {
    let begin = stat.iter().position(|&byte| byte == b'(')? + 1;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let name = escape_path(stat.get(begin..end)?);
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let parent = fields.split_ascii_whitespace().nth(1)?;
    Some((parent.parse().ok()?, name))
}

fn unkillable(running: &[Leftover]) -> Error {
    Error::Unkillable {
        count: running.len(),
        first: running
            .first()
            .map_or_else(String::new, |one| format!("{} (pid {})", one.comm, one.pid)),
    }
}
