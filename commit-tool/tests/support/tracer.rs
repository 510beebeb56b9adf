//! A commit by hand under ptrace(2), in which something happens at one of its system calls.

use std::{
    fs::File,
    io::Read as _,
    io::Seek as _,
    path::Path,
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::support::TOOL;

/// The calls that can change a tree; those that open are told apart by their flags.
const CHANGING: &[i64] = &[
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_fremovexattr,
];

/// Those of which a file is opened.
const OPENING: &[i64] = &[libc::SYS_openat, libc::SYS_openat2];

/// Which calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// Those that can change a tree. What goes to stdout and stderr changes none.
    Changing,
    /// Those that open a file below a directory that is open, as all of the tree are.
    Opening,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The tool is killed before it.
    Killed,
    /// It does nothing and returns this.
    Fails(Errno),
    /// It and each counted one after it do nothing and return this.
    FailsFromNowOn(Errno),
}

/// How a traced commit ended.
#[derive(Debug)]
pub(crate) struct Traced {
    /// Whether there was a call with the number asked for.
    pub(crate) has_happened: bool,
    /// The exit code; none of what was killed.
    pub(crate) code: Option<i32>,
    /// What it said on stderr.
    pub(crate) said: String,
}

/// Commits `root`, with this fate for its call number `fatal` of these, counted from 1.
pub(crate) fn commit_with(root: &Path, calls: Calls, fatal: usize, fate: Fate) -> Traced {
    let mut said = tempfile::tempfile().expect("a file");
    let pid = start(root, &said);
    let (mut is_tool, mut count) = (false, 0);
    let mut failing = None;
    let code = loop {
        match waitpid(pid, None).expect("waits") {
            WaitStatus::Exited(_, code) => break Some(code),
            WaitStatus::Signaled(..) => break None,
            WaitStatus::PtraceSyscall(_) if is_tool => {
                let info = ptrace::syscall_info(pid).expect("a call");
                let is_entry = info.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
                if is_entry && is_counted(pid, calls) {
                    count += 1;
                    failing = match fate {
                        Fate::Killed if count == fatal => {
                            kill(pid, Signal::SIGKILL).expect("kills");
                            continue;
                        }
                        Fate::Fails(errno) if count == fatal => Some(errno),
                        Fate::FailsFromNowOn(errno) if count >= fatal => Some(errno),
                        _ => None,
                    };
                    if failing.is_some() {
                        // There is no such call: the kernel does nothing.
                        set(pid, |registers| registers.orig_rax = u64::MAX);
                    }
                } else if let Some(errno) = failing.take_if(|_| !is_entry) {
                    let returned = -i64::from(errno as i32);
                    set(pid, |registers| registers.rax = returned.cast_unsigned());
                }
                ptrace::syscall(pid, None).expect("goes on");
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                is_tool = true;
                ptrace::syscall(pid, None).expect("goes on");
            }
            WaitStatus::Stopped(_, signal) => ptrace::syscall(pid, signal).expect("goes on"),
            _ => ptrace::syscall(pid, None).expect("goes on"),
        }
    };
    let mut text = String::new();
    said.rewind().expect("rewinds");
    said.read_to_string(&mut text).expect("text");
    Traced {
        has_happened: count >= fatal,
        code,
        said: text,
    }
}

/// Starts a commit that stops itself, so that the tracer is there when the tool begins.
fn start(root: &Path, said: &File) -> Pid {
    // It is waited for by its pid.
    #[expect(clippy::zombie_processes)]
    let child = Command::new("sh")
        .args([
            "-c",
            "kill -STOP $$; exec \"$@\"",
            "sh",
            TOOL,
            "commit",
            "--rootfs",
        ])
        .arg(root)
        .stderr(Stdio::from(said.try_clone().expect("a file")))
        .spawn()
        .expect("starts");
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("stops");
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("traces");
    kill(pid, Signal::SIGCONT).expect("goes on");
    pid
}

fn is_counted(pid: Pid, calls: Calls) -> bool {
    let registers = ptrace::getregs(pid).expect("registers");
    let number = registers.orig_rax.cast_signed();
    let creates = |flags: u64| flags & u64::from(libc::O_CREAT.cast_unsigned()) != 0;
    #[expect(clippy::cast_possible_truncation, reason = "the call takes an int")]
    let directory = registers.rdi as i32;
    let is_told = [libc::SYS_write, libc::SYS_writev].contains(&number) && registers.rdi <= 2;
    match calls {
        Calls::Opening => OPENING.contains(&number) && directory != libc::AT_FDCWD,
        Calls::Changing if number == libc::SYS_openat => creates(registers.rdx),
        Calls::Changing => CHANGING.contains(&number) && !is_told,
    }
}

fn set(pid: Pid, change: impl FnOnce(&mut libc::user_regs_struct)) {
    let mut registers = ptrace::getregs(pid).expect("registers");
    change(&mut registers);
    ptrace::setregs(pid, registers).expect("registers");
}
