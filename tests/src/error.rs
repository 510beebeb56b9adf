//! The one error type of the harness: each variant says what was attempted, where, and what to do about it.
//! Commands of xtask print it as it is; tests match on it.

use std::io;
use std::path::PathBuf;

use crate::engine::Kind;

/// What can go wrong between a test and a running engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("failed to {action} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted, as it reads after "failed to".
        action: &'static str,
        /// The file or directory it was attempted on.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("failed to start {program}: {source}; on Debian or Ubuntu: apt-get install {package}")]
    Program {
        /// The program's name.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("failed to {action} ({status}); the log {log} ends with:\n{tail}", log = log.display())]
    Command {
        /// What was attempted, as it reads after "failed to".
        action: String,
        /// How the program ended.
        status: String,
        /// Where all that it printed is.
        log: PathBuf,
        /// The end of what it printed.
        tail: String,
    },
    /// This machine cannot hold a private engine.
    #[error(
        "a private engine needs {missing}; either {remedy}, or start a Docker engine (24 or newer) that `docker version` reaches"
    )]
    Unsuitable {
        /// What the machine lacks.
        missing: String,
        /// How to get it.
        remedy: String,
    },
    /// No engine answers on the user's own `docker` command, or it is too old.
    #[error("no reachable Docker engine: {0}; OSDERIVE_ENGINE={default} asks for a private one", default = Kind::DEFAULT)]
    Unreachable(String),
    /// A private engine was started but does not answer.
    #[error("the {kind} engine did not start: {reason}; its log {log} ends with:\n{tail}", log = log.display())]
    EngineDown {
        /// The engine's kind.
        kind: &'static str,
        /// What was observed.
        reason: String,
        /// The log of dockerd and of what starts it.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// The engine refused a request of ours.
    #[error("the engine failed to {action}: {message}")]
    Engine {
        /// What was asked for, as it reads after "failed to".
        action: String,
        /// What the client printed.
        message: String,
    },
    /// An image of a boot test does not build.
    #[error("{image} does not build; the log ends with:\n{tail}")]
    Build {
        /// What was to be built.
        image: String,
        /// The end of the build's log.
        tail: String,
    },
    /// The published importer takes no image of this kind.
    #[error(
        "{image} has no label ostree.final-diffid, so the published importer (ostree-ext 0.15) takes it for no ostree \
         container; build it on a base image that is one, such as {base} (`FROM {base}`), or make one of its base with \
         `ostree-ext-cli container encapsulate`"
    )]
    Unimportable {
        /// The image's name.
        image: String,
        /// The harness's own base image that is such a container.
        base: &'static str,
    },
    /// A booted machine did not report.
    #[error("the machine did not report: {reason}; its console {console} ends with:\n{tail}", console = console.display())]
    NoReport {
        /// How its end came.
        reason: String,
        /// All that it wrote to its console.
        console: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// A name that is no engine kind.
    #[error("{0:?} is no engine kind; there are: {kinds}", kinds = Kind::names())]
    UnknownKind(String),
}

/// The harness's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Turns an [`io::Error`] into [`Error::Io`], for `map_err`.
pub(crate) fn io_error(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
