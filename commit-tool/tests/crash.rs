//! A commit that is killed before each system call by which it changes the tree, and run again,
//! ends where an uninterrupted one ends, and no byte of the user's is ever missing meanwhile.

mod support;
#[path = "../src/trees.rs"]
mod trees;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    libc,
    sys::{
        ptrace,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use osderive_lints::model::acl::{ACCESS, DEFAULT};
use rustix::fs::{XattrFlags, setxattr};
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
    libc::SYS_removexattr,
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

/// Pieces of the user's that have to be somewhere in the tree at any moment.
const PRECIOUS: [&str; 14] = [
    "precious in etc",
    "redis",
    "tor",
    "the kernel",
    "a dump",
    "seed one",
    "seed two",
    "dpkg's status",
    "new software",
    "older software",
    "first log",
    "second log",
    "product data",
    "local tool",
];

/// A root with something for each part of a commit.
fn busy_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    let write = |path: &str, content: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    for path in ["sysroot/ostree", "run", "tmp", "var/tmp", "var/cache/empty"] {
        fs::create_dir_all(root.path().join(path)).expect("directories");
    }
    symlink("sysroot/ostree", root.path().join("ostree")).expect("a link");
    write("run/lock/x", "");
    write("tmp/a/b/c", "waste");
    write("var/cache/man/index", "waste");
    write("etc/mine", "precious in etc");
    write(
        "etc/passwd",
        "root:x:0:0::/root:/bin/sh\n\
         redis:x:105:107::/var/lib/redis:/usr/sbin/nologin\n\
         tor:x:106:108::/var/lib/tor:/bin/false\n",
    );
    write("etc/group", "root:x:0:\nredis:x:107:\ntor:x:108:redis\n");
    write(
        "etc/shadow",
        "root:*:::::::\nredis:!:20000::::::\ntor:!:20000::::::\ngone:!:1::::::\n",
    );
    write("etc/gshadow", "root:*::\nredis:!::\ngone:!::\n");
    for path in ["usr/bin/ssh-keygen", "usr/lib/systemd/system/ssh.service"] {
        write(path, "");
    }
    write("etc/ssh/ssh_host_rsa_key", "a machine's");
    write("etc/ssh/ssh_host_rsa_key.pub", "a machine's");
    write("boot/vmlinuz-6.12", "the kernel");
    write("boot/System.map-6.12", "");
    write("usr/lib/modules/6.12/modules.builtin", "");
    symlink("boot/vmlinuz-6.12", root.path().join("vmlinuz")).expect("a link");
    write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    fill_var(root.path());
    write("usr/lib/opt/acme/lib/old", "older software");
    write("usr/lib/opt/acme/run", "replaced");
    write("var/opt/acme/run", "new software");
    write("var/opt/acme/log/first", "first log");
    write("var/lib/opt/acme/log/second", "second log");
    write("var/opt/vendor/product/data/x", "product data");
    write("var/usrlocal/bin/tool", "local tool");
    symlink("var/opt", root.path().join("opt")).expect("a link");
    symlink("../var/usrlocal", root.path().join("usr/local")).expect("a link");
    for name in ["passwd-", "group-", ".pwd.lock"] {
        write(&format!("etc/{name}"), "");
    }
    root
}

/// A /var with everything that a commit treats in its own way, into a factory that has some of it.
fn fill_var(root: &Path) {
    let write = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    };
    write("var/lib/redis/dump.rdb", "a dump");
    write("var/lib/app/seed/one", "seed one");
    write("var/lib/app/seed/deep/two", "seed two");
    write("var/lib/dpkg/status", "dpkg's status");
    write("var/lib/apt/lists/x", "waste");
    write("var/log/redis/redis.log", "waste");
    write("usr/share/factory/var/lib/app/older", "");
    fs::create_dir_all(root.join("var/spool/queue")).expect("directories");
    symlink("app", root.join("var/lib/link")).expect("a link");
    for path in [
        "var/lib/redis",
        "var/log/redis",
        "var/log/redis/redis.log",
        "var/lib/app/seed/deep",
    ] {
        lchown(root.join(path), Some(105), Some(107)).expect("an owner");
    }
    fs::hard_link(
        root.join("var/lib/app/seed/one"),
        root.join("var/lib/app/twin"),
    )
    .expect("a link");
    // What tells that lists can be set at boot.
    write("usr/bin/systemd-tmpfiles", "+PAM +ACL +BLKID");
    write("usr/lib64/libacl.so.1", "");
    for (path, list) in [
        ("var/lib/app", DEFAULT),
        ("var/lib/app/seed/one", ACCESS),
        ("var/lib/app/seed/deep", ACCESS),
        ("var/spool/queue", ACCESS),
    ] {
        let flags = XattrFlags::empty();
        setxattr(root.join(path), list, &of_redis(), flags).expect("a file system with lists");
    }
    let secret = fs::Permissions::from_mode(0o700);
    fs::set_permissions(root.join("var/lib/redis"), secret).expect("a mode");
}

/// `user::rwx user:105:rwx group::r-x mask::rwx other::---`, which permission bits show as 0770.
fn of_redis() -> Vec<u8> {
    let entries = [
        (0x01u16, 7u16, u32::MAX),
        (0x02, 7, 105),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let entry = |(tag, permission, id): (u16, u16, u32)| {
        let (tag, permission, id) = (
            tag.to_le_bytes(),
            permission.to_le_bytes(),
            id.to_le_bytes(),
        );
        [&tag[..], &permission, &id].concat()
    };
    let entries = entries.into_iter().flat_map(entry);
    2u32.to_le_bytes().into_iter().chain(entries).collect()
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
