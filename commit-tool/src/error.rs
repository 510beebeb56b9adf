//! Why the tool itself failed, told as what, where and what to do. A step whose own command fails
//! is no error: its exit code passes through.

use std::{ffi::OsString, io, path::PathBuf};

use osderive_lints::escape_path;
use rustix::io::Errno;
use thiserror::Error;

/// What stands where something is being made and was left by no killed commit of the same thing.
pub(crate) const IN_THE_WAY: Errno = Errno::NOTUNIQ;

/// The tool's one result type.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the tool.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("cannot open the root file system {}: {source}", escaped(rootfs.as_os_str()))]
    OpenRootfs { rootfs: PathBuf, source: io::Error },

    #[error(
        "this is a running system ({evidence}): refusing to empty its /tmp and /var/cache; run this \
         in a container build, or give --rootfs DIR"
    )]
    Booted { evidence: String },

    #[error(
        "no bootable image in {}: it has no /sysroot with /ostree -> sysroot/ostree, \
         /usr/lib/ostree/prepare-root.conf, /usr/lib/bootc or /sysroot/ostree/repo/config; start \
         FROM an ostree or bootc base image",
        escaped(rootfs.as_os_str())
    )]
    NotBootable { rootfs: PathBuf },

    #[error(
        "cannot tell mount points from directories: this kernel has no STATX_ATTR_MOUNT_ROOT and \
         /proc/self/mountinfo cannot be read; mount /proc, or use Linux 5.8 or newer"
    )]
    MountsUnknown,

    #[error("cannot {action} {path}: {}", why(*source))]
    Place {
        action: &'static str,
        path: String,
        source: Errno,
    },

    #[error("{path} was changed while it was moved to {to}; both are there")]
    Written { path: String, to: String },

    #[error(
        "commit failed: {source}; {}",
        if *is_begun {
            "some of it is done and nothing is lost: mend that and build, or commit, again"
        } else {
            "nothing was changed"
        }
    )]
    Commit { source: Box<Error>, is_begun: bool },

    #[error(
        "no account in {}: give --previous the root file system of the previous image, with its \
         /etc/passwd",
        escaped(dir.as_os_str())
    )]
    NoAccounts { dir: PathBuf },

    #[error("cannot open the report directory {}: {source}", escaped(dir.as_os_str()))]
    OpenReport { dir: PathBuf, source: io::Error },

    #[error(
        "cannot write {}: {source}; the build engine cannot learn what this step did",
        escaped(path.as_os_str())
    )]
    WriteReport { path: PathBuf, source: io::Error },

    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),

    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),

    #[error("user {0:?}: uids and gids must be in range 0-2147483647")]
    IdRange(String),

    #[error("cannot read {path}: {source}")]
    UserFile {
        path: &'static str,
        source: io::Error,
    },

    #[error(
        "cannot become uid {uid}, gid {gid}: {source}; the step must start as root with the \
         capabilities SETUID and SETGID"
    )]
    Privileges { uid: u32, gid: u32, source: Errno },

    #[error("exec: {}: executable file not found in $PATH", quoted(name))]
    NotInPath { name: OsString },

    #[error("exec: {}: {source}", quoted(name))]
    Exec { name: OsString, source: Errno },

    #[error("cannot start the step's command: {0}")]
    Start(io::Error),

    #[error("cannot watch the step's command: {0}")]
    Wait(io::Error),

    #[error(
        "commit failed: {count} processes of the step cannot be ended, the first is {first}; \
         nothing was changed"
    )]
    Unkillable { count: usize, first: String },
}

/// The tool's exit codes, as `--help` lists them.
pub(crate) mod exit {
    /// `commit` was refused or failed.
    pub(crate) const COMMIT_FAILED: u8 = 1;
    /// `step` itself failed: unknown user, commit or report.
    pub(crate) const STEP_FAILED: u8 = 125;
    /// The step's command was found and cannot be executed.
    pub(crate) const CANNOT_EXECUTE: u8 = 126;
    /// The step's command was not found.
    pub(crate) const NOT_FOUND: u8 = 127;
    /// lint found something.
    pub(crate) const LINT_FOUND: u8 = 1;
    /// lint could not run.
    pub(crate) const LINT_FAILED: u8 = 2;
}

impl Error {
    /// The exit code of a `step` that ends with this error.
    pub(crate) fn step_exit_code(&self) -> u8 {
        match self {
            Self::NotInPath { .. }
            | Self::Exec {
                source: Errno::NOENT,
                ..
            } => exit::NOT_FOUND,
            Self::Exec { .. } => exit::CANNOT_EXECUTE,
            _ => exit::STEP_FAILED,
        }
    }
}

fn why(source: Errno) -> String {
    if source == IN_THE_WAY {
        return "it is made under the name .NAME.osderive-new first, and that is the name of a file of somebody else's in \
                the same directory: move it away"
            .to_owned();
    }
    source.to_string()
}

pub(crate) fn escaped(path: &std::ffi::OsStr) -> String {
    escape_path(path.as_encoded_bytes())
}

fn quoted(name: &OsString) -> String {
    format!("\"{}\"", escaped(name))
}
