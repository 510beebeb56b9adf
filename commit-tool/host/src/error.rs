//! Why a build does not begin or is not what it should be, told as what, where and what to do.

use std::io;
use std::path::{Path, PathBuf};

use osderive_lints::escape_path;
use osderive_lints::policy::{BuildOptionError, PolicyError};
use thiserror::Error;

/// What this command ends with when it fails itself, as `podman` does.
pub(crate) const FAILED: u8 = 125;

/// What it ends with when something was found that fails the build.
pub(crate) const FOUND: u8 = 1;

/// What `osderive lint` ends with when it could not look at all, as the linter does.
pub(crate) const LINT_FAILED: u8 = 2;

/// A failure of this command.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("osderive {engine} goes before a build: `osderive {engine} build …`")]
    NotABuild { engine: &'static str },

    #[error("{}: {source}", shown(path))]
    File { path: PathBuf, source: io::Error },

    #[error("{what} is not supported: {instead}")]
    Unsupported { what: String, instead: &'static str },

    #[error("{}: {what}", shown(file))]
    Containerfile { file: PathBuf, what: String },

    #[error("{file}:{line}: under chroot isolation this RUN cannot be committed: {what}")]
    Unwritable {
        file: String,
        line: u32,
        what: String,
    },

    #[error("osderive podman install and uninstall take nothing but --user")]
    Install,

    #[error("{} is not of osderive, so it stays; move it away first", shown(.0))]
    NotOurs(PathBuf),

    #[error("cannot look at the base image {0}: pull it first")]
    NoBase(String),

    #[error("no Containerfile or Dockerfile in {}; name one with -f", shown(.0))]
    NoContainerfile(PathBuf),

    #[error("there is no stage {0:?} in the Containerfile")]
    NoTarget(String),

    #[error(transparent)]
    Option(#[from] BuildOptionError),

    #[error("{}", .0.message)]
    Policy(PolicyError),

    #[error(
        "cannot find ostree-container, the tool that runs in each step; it is looked for beside {}, in ../libexec/osderive \
         and in $OSDERIVE_TOOL",
        shown(.0)
    )]
    NoTool(PathBuf),

    #[error("--report goes before a build; `osderive lint` has --format and --output")]
    NoBuild,

    #[error("cannot start {program}: {source}; install it, or build with another engine")]
    NoEngine { program: String, source: io::Error },

    #[error(
        "a RUN of the image ran without osderive: its OCI runtime was not the one that commits it. Name no isolation but \
         `oci` or `rootless`, and no runtime in a wrapper script; the image is {0}"
    )]
    NotCommitted(String),

    #[error(
        "the image {0} was built, and the engine refuses one of its names; its message is above"
    )]
    NoName(String),

    #[error("cannot read the report of {what}: {why}")]
    Report { what: String, why: String },
}

/// In a file or directory.
pub(crate) fn in_file(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}

fn shown(path: &Path) -> String {
    escape_path(path.as_os_str().as_encoded_bytes())
}
