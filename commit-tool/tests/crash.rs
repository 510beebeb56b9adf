//! A commit that is killed before each system call by which it changes the tree, and run again,
//! ends where an uninterrupted one ends, and no byte of the user's is ever missing meanwhile.

#[path = "support/busy.rs"]
mod busy;
mod support;
#[path = "../src/trees.rs"]
mod trees;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use busy::{PRECIOUS, busy_root};
use nix::{
    libc,
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use support::{TOOL, commit};
use trees::{Tree, tree};

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
    libc::SYS_fremovexattr,
];

/// Runs a commit of `root` until just before its changing call number `fatal`, counted from 1;
/// answers whether there was such a call.
fn commit_killed_at(root: &Path, fatal: usize) -> bool {
    // It stops itself, so that the tracer is there when the tool begins.
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
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("stops");
    let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("traces");
    kill(pid, Signal::SIGCONT).expect("goes on");

    let (mut is_tool, mut calls) = (false, 0);
    loop {
        match waitpid(pid, None).expect("waits") {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "the commit itself works");
                return false;
            }
            WaitStatus::Signaled(..) => return true,
            WaitStatus::PtraceSyscall(_) if is_tool && enters_change(pid) => {
                calls += 1;
                if calls == fatal {
                    kill(pid, Signal::SIGKILL).expect("kills");
                    continue;
                }
                ptrace::syscall(pid, None).expect("goes on");
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => {
                is_tool = true;
                ptrace::syscall(pid, None).expect("goes on");
            }
            WaitStatus::Stopped(_, signal) => {
                ptrace::syscall(pid, signal).expect("goes on");
            }
            _ => ptrace::syscall(pid, None).expect("goes on"),
        }
    }
}

fn enters_change(pid: Pid) -> bool {
    let info = ptrace::syscall_info(pid).expect("a call");
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return false;
    }
    let registers = ptrace::getregs(pid).expect("registers");
    let number = registers.orig_rax.cast_signed();
    let creates = |flags: u64| flags & u64::from(libc::O_CREAT.cast_unsigned()) != 0;
    CHANGING.contains(&number) || number == libc::SYS_openat && creates(registers.rdx)
}

fn missing(root: &Path) -> Vec<&'static str> {
    let found = tree(root);
    let holds = |piece: &&str| {
        let piece = piece.as_bytes();
        let contents = found.values().map(|(.., content)| content);
        let mut windows = contents.flat_map(|content| content.windows(piece.len()));
        windows.any(|window| window == piece)
    };
    PRECIOUS.into_iter().filter(|piece| !holds(piece)).collect()
}

/// The paths at which two trees differ.
fn differing(left: &Tree, right: &Tree) -> Vec<String> {
    let paths: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differs = |path: &&&PathBuf| left.get(**path) != right.get(**path);
    let paths = paths.iter().filter(differs);
    paths.map(|path| path.display().to_string()).collect()
}

#[test]
fn killed_before_any_change_and_run_again_it_ends_in_the_same_place() {
    let root = busy_root();
    commit(root.path(), &[]).ended_with(0);
    let expected = tree(root.path());
    assert_eq!(missing(root.path()), [""; 0]);

    let mut fatal = 1;
    loop {
        let root = busy_root();
        if !commit_killed_at(root.path(), fatal) {
            break;
        }
        assert_eq!(missing(root.path()), [""; 0], "killed at change {fatal}");
        commit(root.path(), &[]).ended_with(0);
        let differing = differing(&expected, &tree(root.path()));
        assert_eq!(differing, [""; 0], "killed at change {fatal}");
        fatal += 1;
    }
    // Each thing that goes or is written takes a call at least.
    assert!(fatal > 20, "{fatal} changes were seen");
}
