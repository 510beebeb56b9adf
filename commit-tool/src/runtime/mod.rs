//! The OCI runtime that podman and buildah start containers with, under the name `osderive-runtime`, or with the name of
//! the real one behind it: `osderive-runtime-crun`. It has the RUNs of
//! a build committed that ask for it by the build argument `OSDERIVE`, and takes away what the builder leaves in their
//! layers. All else goes to the real runtime at once, as it came.
//!
//! For each RUN buildah calls `create --bundle DIR … buildah-NAME`, `start`, `state` many times, and `delete` (buildah
//! `run_common.go`, `runUsingRuntime`). Ids of `podman run` are hexadecimal numbers.

mod bundle;
mod call;
mod selinux;
mod traces;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use osderive_commit::say;
use osderive_lints::{
    BuildArgumentError, escape_path,
    oci_runtime::{FOLDERS, KNOWN, NAME, REAL},
};
use thiserror::Error;

use crate::error::exit;
use call::{Call, Verb};
use traces::Traces;

/// Why a container is not started.
#[derive(Debug, Error)]
enum Failure {
    #[error("no OCI runtime found: install crun or runc, or name one in {REAL}")]
    NoRuntime,
    #[error("{REAL} names no OCI runtime: {}", escape_path(.0.as_encoded_bytes()))]
    NoSuchRuntime(OsString),
    #[error("{}: {source}", escape_path(path.as_os_str().as_encoded_bytes()))]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {what}", escape_path(path.as_os_str().as_encoded_bytes()))]
    Config { path: PathBuf, what: String },
    #[error(transparent)]
    Argument(#[from] BuildArgumentError),
}

/// Whether this program was started as the runtime.
pub(crate) fn is_asked_for() -> bool {
    of_own_name(&env::args_os().next().unwrap_or_default()).is_some()
}

/// What stands behind the runtime's name in that of a program; none of another program.
fn of_own_name(program: &OsStr) -> Option<&OsStr> {
    let name = Path::new(program).file_name()?.as_bytes();
    let behind = name.strip_prefix(NAME.as_bytes())?;
    let is_ours = behind.is_empty() || behind.len() > 1 && behind[0] == b'-';
    is_ours.then(|| OsStr::from_bytes(behind.get(1..).unwrap_or_default()))
}

/// Does what the engine asks for; only a failure comes back from it.
pub(crate) fn run() -> u8 {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    match serve(&arguments) {
        Ok(never) => match never {},
        Err(failure) => {
            say(&format!("osderive: {failure}\n"));
            exit::STEP_FAILED
        }
    }
}

fn serve(arguments: &[OsString]) -> Result<std::convert::Infallible, Failure> {
    let runtime = real()?;
    if let Some(call) = Call::of(arguments).filter(Call::is_of_build) {
        let traces = Traces::of(&call.id);
        match call.verb {
            Verb::Create => {
                let rootfs = bundle::prepare(&call.bundle)?;
                if let (Some(traces), Some(rootfs)) = (traces, rootfs) {
                    traces.before_create(&rootfs);
                }
            }
            Verb::Start => traces.iter().for_each(Traces::before_start),
            Verb::Delete => traces.iter().for_each(Traces::before_delete),
        }
    }
    let source = Command::new(&runtime).args(arguments).exec();
    Err(Failure::File {
        path: runtime,
        source,
    })
}

/// The real runtime: never this program itself.
fn real() -> Result<PathBuf, Failure> {
    let own = fs::canonicalize("/proc/self/exe").ok();
    let is_other = |path: &PathBuf| {
        let resolved = fs::canonicalize(path).ok();
        resolved.is_some() && resolved != own
    };
    if let Some(given) = env::var_os(REAL).filter(|given| !given.is_empty()) {
        let path = PathBuf::from(&given);
        let found = if path.components().count() > 1 {
            Some(path).filter(is_other)
        } else {
            folders().map(|folder| folder.join(&path)).find(is_other)
        };
        return found.ok_or(Failure::NoSuchRuntime(given));
    }
    let program = env::args_os().next().unwrap_or_default();
    let told = of_own_name(&program).filter(|name| !name.is_empty());
    let names = told.into_iter().chain(KNOWN.iter().map(OsStr::new));
    let mut all = names.flat_map(|name| folders().map(move |folder| folder.join(name)));
    all.find(is_other).ok_or(Failure::NoRuntime)
}

fn folders() -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let of_path: Vec<PathBuf> = env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect();
    of_path.into_iter().chain(FOLDERS.map(PathBuf::from))
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| Failure::File {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_name_may_tell_the_real_runtime() {
        let real = |program: &str| of_own_name(program.as_ref()).map(OsStr::to_owned);
        assert_eq!(real("/a/osderive-runtime"), Some("".into()));
        assert_eq!(real("osderive-runtime-crun"), Some("crun".into()));
        for other in [
            "osderive",
            "osderive-runtime-",
            "osderive-runtimes",
            "osderive-runtime/crun",
            "",
        ] {
            assert_eq!(real(other), None, "{other}");
        }
    }
}
