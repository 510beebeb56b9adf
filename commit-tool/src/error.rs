//! Why the tool itself failed, told as what, where and what to do. A step whose own command fails
//! is no error: its exit code passes through.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
};

use osderive_lints::escape_path;
use rustix::io::Errno;
use thiserror::Error;

/// The tool's one result type.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the tool.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Commit(#[from] osderive_commit::Error),

    #[error("cannot open the report directory {}: {source}", escaped(dir.as_os_str()))]
    OpenReport { dir: PathBuf, source: io::Error },

    #[error(
        "cannot write {}: {source}; the build engine cannot learn what this step did",
        escaped(path.as_os_str())
    )]
    WriteReport { path: PathBuf, source: io::Error },

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

pub(crate) fn escaped(path: &OsStr) -> String {
    escape_path(path.as_encoded_bytes())
}

fn quoted(name: &OsString) -> String {
    format!("\"{}\"", escaped(name))
}
