//! Starts a step's command, as root or with the privileges of a user and no more. Identity is a
//! property of threads to the kernel: a thread of its own takes the user's, starts the command,
//! which inherits it, and ends; the tool itself stays root for the commit.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::{
        fd::AsFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, MetadataExt as _, chown},
            process::CommandExt as _,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use osderive_commit::{Identity, errno};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Gid, Uid, accessat, fchown, fstat},
    io::Errno,
    process::Pid,
    termios::isatty,
    thread::{
        CapabilitySet, capabilities, capability_is_in_ambient_set,
        configure_capability_in_ambient_set, set_capabilities, set_keep_capabilities,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::error::{Error, Result, escaped};

/// Who a command runs as.
#[derive(Clone, Debug)]
pub(crate) enum RunAs {
    /// Whoever runs the tool.
    Caller,
    /// Another user.
    User {
        identity: Identity,
        /// What HOME becomes; none leaves it as it is.
        home: Option<OsString>,
        /// The working directory, made where it is missing; none leaves it as it is.
        directory: Option<PathBuf>,
    },
}

/// Starts a command with this process's stdio, directory and environment.
pub(crate) fn launch(command: &[OsString], run_as: &RunAs) -> Result<Pid> {
    match run_as {
        RunAs::Caller => start(command, None, None),
        RunAs::User {
            identity,
            home,
            directory,
        } => {
            give_stdio_to(identity.uid);
            if let Some(directory) = directory {
                make_for(identity, directory).map_err(|source| osderive_commit::Error::Place {
                    action: "make the working directory",
                    path: escaped(directory.as_os_str()),
                    source: errno(&source),
                })?;
            }
            let start_as_user = || {
                become_user(identity).map_err(|source| Error::Privileges {
                    uid: identity.uid,
                    gid: identity.gid,
                    source,
                })?;
                start(command, home.as_deref(), directory.as_deref())
            };
            thread::scope(|scope| scope.spawn(start_as_user).join())
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }
    }
}

/// Makes what is missing of a directory, as a user's, with the mode that engines give a working directory.
fn make_for(user: &Identity, directory: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.exists();
    let missing: Vec<&Path> = directory.ancestors().take_while(is_missing).collect();
    for path in missing.into_iter().rev() {
        fs::DirBuilder::new().mode(0o755).create(path)?;
        chown(path, Some(user.uid), Some(user.gid))?;
    }
    Ok(())
}

fn start(command: &[OsString], home: Option<&OsStr>, directory: Option<&Path>) -> Result<Pid> {
    let name = &command[0];
    let mut process = Command::new(look_up(name)?);
    process.arg0(name).args(&command[1..]);
    if let Some(home) = home {
        process.env("HOME", home);
    }
    if let Some(directory) = directory {
        process.current_dir(directory);
    }
    let child = process.spawn().map_err(|error| match errno(&error) {
        Errno::AGAIN | Errno::NOMEM => Error::Start(error),
        source => Error::Exec {
            name: name.clone(),
            source,
        },
    })?;
    Ok(Pid::from_child(&child))
}

/// Finds an executable by the rules of runc: a name without a slash on PATH, and there whatever
/// cannot be executed is passed over.
fn look_up(name: &OsStr) -> Result<OsString> {
    if name.as_bytes().contains(&b'/') {
        return match executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(source) => Err(Error::Exec {
                name: name.to_owned(),
                source,
            }),
        };
    }
    env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .filter(|directory| !directory.as_os_str().is_empty())
        .map(|directory| directory.join(name).into_os_string())
        .find(|path| !name.is_empty() && executable(path).is_ok())
        .ok_or_else(|| Error::NotInPath {
            name: name.to_owned(),
        })
}

/// Whether this thread may execute a file.
fn executable(path: &OsStr) -> Result<(), Errno> {
    let found = fs::metadata(path).map_err(|error| errno(&error))?;
    if found.is_dir() {
        return Err(Errno::ISDIR);
    }
    // For root, too, one execute bit has to be set.
    if found.mode() & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    match accessat(CWD, Path::new(path), Access::EXEC_OK, AtFlags::EACCESS) {
        // No faccessat2: the kernel decides when the command is executed.
        Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
        outcome => outcome,
    }
}

/// Makes stdin, stdout and stderr the user's, as runc does: else a command could not open /dev/stdout, which is a pipe
/// that root made. A file or device that a stream was redirected to stays whose it is.
fn give_stdio_to(uid: u32) {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    for stream in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        let Ok(found) = fstat(stream) else { continue };
        let is_only_a_stream = match FileType::from_raw_mode(found.st_mode) {
            FileType::Fifo | FileType::Socket => true,
            FileType::CharacterDevice => isatty(stream),
            _ => false,
        };
        if is_only_a_stream && found.st_uid != uid {
            // One that cannot be given away (a socket of another namespace) still works for whoever has it open.
            let _ = fchown(stream, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// Takes another identity for this thread, for good.
fn become_user(identity: &Identity) -> Result<(), Errno> {
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    let gid = Gid::from_raw(identity.gid);
    let uid = Uid::from_raw(identity.uid);
    let ambient = ambient_capabilities();
    set_thread_groups(&groups)?;
    set_thread_res_gid(gid, gid, gid)?;
    if ambient.is_empty() {
        // The kernel takes all capabilities with the last root id.
        return set_thread_res_uid(uid, uid, uid);
    }
    // `RUN --security=insecure` gives a user capabilities by the ambient set, which a change of
    // uid empties.
    let sets = capabilities(None)?;
    set_keep_capabilities(true)?;
    set_thread_res_uid(uid, uid, uid)?;
    set_keep_capabilities(false)?;
    set_capabilities(None, sets)?;
    for capability in ambient {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn ambient_capabilities() -> Vec<CapabilitySet> {
    (0..u64::BITS)
        .map(|bit| CapabilitySet::from_bits_retain(1 << bit))
        // The first number that the kernel does not know ends the list.
        .map_while(|capability| Some((capability, capability_is_in_ambient_set(capability).ok()?)))
        .filter_map(|(capability, is_set)| is_set.then_some(capability))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn error_of(name: &[u8]) -> Error {
        look_up(&OsString::from_vec(name.to_vec())).expect_err("fails")
    }

    #[test]
    fn a_name_is_found_on_path() {
        let path = look_up(OsStr::new("sh")).expect("a shell");
        assert!(path.as_bytes().ends_with(b"/sh"));
    }

    #[test]
    fn what_is_missing_is_told_as_runc_tells_it() {
        assert_eq!(
            error_of(b"no-such-program").to_string(),
            "exec: \"no-such-program\": executable file not found in $PATH"
        );
        assert_eq!(error_of(b"no-such-program").step_exit_code(), 127);
        assert_eq!(error_of(b"").step_exit_code(), 127);
        assert_eq!(error_of(b"/no/such/program").step_exit_code(), 127);
    }

    #[test]
    fn what_cannot_be_executed_is_126() {
        assert_eq!(error_of(b"/etc/passwd").step_exit_code(), 126);
        assert_eq!(error_of(b"/etc").step_exit_code(), 126);
    }
}
