//! The command line of an OCI runtime, as podman and buildah write it for crun and runc.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, path::PathBuf};

/// Options before the command that have their value in the next word (crun(1), runc(8)).
const WITH_VALUE: [&str; 7] = [
    "--cgroup-manager",
    "--criu",
    "--log",
    "--log-format",
    "--log-level",
    "--root",
    "--rootless",
];

/// What begins the ids of containers that are steps of a build (buildah `new.go`, `DefaultNamePrefix` and the id that
/// `run_common.go` gives the runtime).
const OF_BUILD: &[u8] = b"buildah-";

/// A command that something is to be done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Start,
    Delete,
}

/// One of these commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) verb: Verb,
    pub(super) id: OsString,
    /// Of `create`; the working directory where none is given.
    pub(super) bundle: PathBuf,
}

impl Call {
    /// Reads the arguments; none of another command.
    pub(super) fn of(arguments: &[OsString]) -> Option<Self> {
        let mut words = arguments.iter();
        let verb = loop {
            let word = words.next()?;
            if WITH_VALUE.iter().any(|option| word == option) {
                words.next()?;
            } else if !word.as_bytes().starts_with(b"-") {
                break word;
            }
        };
        let verb = match verb.as_bytes() {
            b"create" => Verb::Create,
            b"start" => Verb::Start,
            b"delete" => Verb::Delete,
            _ => return None,
        };
        let id = words.clone().next_back()?.clone();
        let mut bundle = PathBuf::from(".");
        while let Some(word) = words.next() {
            if word == "--bundle" || word == "-b" {
                bundle = words.next()?.into();
            } else if let Some(path) = word.as_bytes().strip_prefix(b"--bundle=") {
                bundle = std::ffi::OsStr::from_bytes(path).into();
            }
        }
        Some(Self { verb, id, bundle })
    }

    /// Whether it is about a step of a build.
    pub(super) fn is_of_build(&self) -> bool {
        let id = self.id.as_bytes();
        id.starts_with(OF_BUILD) && !id.contains(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Option<Call> {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        Call::of(&words)
    }

    #[test]
    fn a_step_is_told_from_a_container() {
        let words =
            "--log-level create --root /run/crun create --bundle /b --pid-file /p buildah-buildah1";
        let create = call(words).expect("a call");
        assert_eq!(
            (create.verb, create.bundle.as_os_str()),
            (Verb::Create, "/b".as_ref())
        );
        assert!(create.is_of_build());
        assert!(
            !call("create --bundle=/b 3f2a9c")
                .expect("a call")
                .is_of_build()
        );
        assert!(
            !call("delete buildah-../../x")
                .expect("a call")
                .is_of_build()
        );
    }

    #[test]
    fn other_commands_are_nobodys() {
        for words in [
            "state buildah-a",
            "--version",
            "run -b /b buildah-a",
            "features",
            "--root",
        ] {
            assert_eq!(call(words), None, "{words}");
        }
        assert_eq!(
            call("--systemd-cgroup start buildah-a")
                .expect("a call")
                .verb,
            Verb::Start
        );
    }
}
