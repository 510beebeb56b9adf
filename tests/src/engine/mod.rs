//! The engine host: a Docker engine for tests and demos, either the one that the user's `docker` reaches or a
//! private one from Debian packages. Callers ask for [`Engine::docker`] and need not know which it is.

pub(crate) mod private;
mod selection;
mod version;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

pub use private::group_name;
pub use selection::Selection;
pub use version::Version;

use crate::error::{Error, Result};
use crate::places::Places;
use crate::process::capture;
use private::PrivateEngine;

/// The oldest engine that osderive supports.
const FLOOR: u32 = 24;

/// The engines that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The engine that the user's own `docker` command reaches.
    Reachable,
    /// Private: Docker 26.1 from Debian 13 with the classic overlay2 graph driver.
    TrixieGraphdriver,
    /// Private: Docker 26.1 from Debian 13 with the containerd image store.
    TrixieContainerd,
    /// Private: Docker 28 or newer from Debian unstable with the overlay2 graph driver, its own default.
    SidGraphdriver,
    /// Private: Docker 28 or newer from Debian unstable with the containerd image store.
    SidContainerd,
}

impl Kind {
    /// Every kind of private engine, oldest first.
    pub const PRIVATE: [Self; 4] = [
        Self::TrixieGraphdriver,
        Self::TrixieContainerd,
        Self::SidGraphdriver,
        Self::SidContainerd,
    ];

    /// The private engine that is started where no engine is asked for and none is reachable.
    pub const DEFAULT: Self = Self::SidGraphdriver;

    /// Every kind of private engine, each beside its opposite: with another Docker, and with the other image store.
    pub const OPPOSITE: [[Self; 2]; 2] = [
        [Self::TrixieGraphdriver, Self::SidContainerd],
        [Self::TrixieContainerd, Self::SidGraphdriver],
    ];

    /// The name used in options, paths and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::TrixieGraphdriver => "trixie-graphdriver",
            Self::TrixieContainerd => "trixie-containerd",
            Self::SidGraphdriver => "sid-graphdriver",
            Self::SidContainerd => "sid-containerd",
        }
    }

    /// Where a private engine of this kind keeps its images; `None` for the reachable one, which may be any.
    pub fn image_store(self) -> Option<ImageStore> {
        match self {
            Self::Reachable => None,
            Self::TrixieGraphdriver | Self::SidGraphdriver => Some(ImageStore::Graphdriver),
            Self::TrixieContainerd | Self::SidContainerd => Some(ImageStore::Containerd),
        }
    }

    /// The first number of the Docker that a private engine of this kind has at least; `None` for the reachable one.
    pub fn major(self) -> Option<u32> {
        match self {
            Self::Reachable => None,
            Self::TrixieGraphdriver | Self::TrixieContainerd => Some(26),
            Self::SidGraphdriver | Self::SidContainerd => Some(28),
        }
    }

    /// The names of all kinds, as a sentence lists them.
    pub(crate) fn names() -> String {
        let private = Self::PRIVATE.map(Self::name).join(", ");
        format!("{}, {private}", Self::Reachable)
    }

    /// The kind asked for by `$OSDERIVE_ENGINE`, if any.
    ///
    /// # Errors
    /// When it names no kind.
    pub fn from_environment() -> Result<Option<Self>> {
        match std::env::var("OSDERIVE_ENGINE") {
            Ok(name) if !name.is_empty() => name.parse().map(Some),
            _ => Ok(None),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Reachable]
            .into_iter()
            .chain(Self::PRIVATE)
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Error::UnknownKind(name.to_owned()))
    }
}

/// Where an engine keeps its images. It decides what a build can export: only the containerd store holds
/// attestations and image indexes, and only it exports a build cache to a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageStore {
    /// A graph driver such as overlay2.
    Graphdriver,
    /// containerd's content store and snapshotters.
    Containerd,
}

impl ImageStore {
    /// Asks through a ready `docker` command.
    fn ask(docker: &mut Command) -> Result<Self> {
        let question = ["info", "--format", "{{json .DriverStatus}}"];
        let status = capture("tell its image store", docker.args(question))?;
        Ok(if status.contains("io.containerd.snapshotter") {
            Self::Containerd
        } else {
            Self::Graphdriver
        })
    }
}

/// A running engine. A private one ends when this is dropped, and also when this process is killed.
#[derive(Debug)]
pub struct Engine {
    kind: Kind,
    version: Version,
    image_store: ImageStore,
    private: Option<PrivateEngine>,
}

impl Engine {
    /// The engine that `wish` or `$OSDERIVE_ENGINE` names; else a reachable one that is new enough; else
    /// [`Kind::DEFAULT`].
    ///
    /// # Errors
    /// When the kind asked for cannot be had, or nothing at all.
    pub fn select(wish: Option<Kind>, places: &Places) -> Result<Self> {
        let wish = match wish {
            Some(kind) => Some(kind),
            None => Kind::from_environment()?,
        };
        match wish {
            Some(kind) => Self::start(kind, places),
            None => Self::start(Kind::Reachable, places).or_else(|error| {
                eprintln!("{error}; starting a private engine");
                Self::start(Kind::DEFAULT, places)
            }),
        }
    }

    /// Connects to the reachable engine or starts a private one (about two seconds, the first time some
    /// minutes for its root).
    ///
    /// # Errors
    /// When it does not answer, is too old, or this machine cannot hold it.
    pub fn start(kind: Kind, places: &Places) -> Result<Self> {
        if kind == Kind::Reachable {
            return Self::reach();
        }
        let private = PrivateEngine::start(kind, places)?;
        let version = Version::ask(&mut private.command("docker"))?;
        let image_store = ImageStore::ask(&mut private.command("docker"))?;
        Ok(Self {
            kind,
            version,
            image_store,
            private: Some(private),
        })
    }

    fn reach() -> Result<Self> {
        let version = Version::ask(&mut Command::new("docker"))
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        if version.server_major() < FLOOR {
            return Err(Error::Unreachable(format!(
                "Docker {} is too old ({FLOOR} or newer is needed)",
                version.server
            )));
        }
        capture(
            "find its buildx plugin",
            Command::new("docker").args(["buildx", "version"]),
        )
        .map_err(|error| {
            Error::Unreachable(format!("{error}; on Debian: apt-get install docker-buildx"))
        })?;
        Ok(Self {
            kind: Kind::Reachable,
            version,
            image_store: ImageStore::ask(&mut Command::new("docker"))?,
            private: None,
        })
    }

    /// The engine's kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The versions of the engine and of its client.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Where the engine keeps its images.
    pub fn image_store(&self) -> ImageStore {
        self.image_store
    }

    /// A `docker` command that talks to this engine, BuildKit on.
    ///
    /// With a private engine the client sees the workspace and the state directory at their own paths and
    /// nothing else of the machine; it begins in the workspace unless [`Command::current_dir`] says otherwise.
    /// To interrupt a client, start it as a process group and signal the group.
    pub fn docker(&self) -> Command {
        let mut command = self.command("docker");
        command.env("DOCKER_BUILDKIT", "1");
        command
    }

    /// Any other program, among a private engine's processes (`podman`, `buildah`, `skopeo`, `ostree`…),
    /// or of the machine itself if the engine is the reachable one.
    pub fn command(&self, program: &str) -> Command {
        match &self.private {
            Some(private) => private.command(program),
            None => Command::new(program),
        }
    }

    /// What no other running engine of this machine is called: the kind and, of a private one, its slot.
    pub(crate) fn place(&self) -> PathBuf {
        let kind = Path::new(self.kind.name());
        match &self.private {
            Some(private) => kind.join(private.slot()),
            None => kind.to_owned(),
        }
    }

    /// The log of a private engine's daemon.
    pub fn log(&self) -> Option<&std::path::Path> {
        self.private.as_ref().map(PrivateEngine::log)
    }

    /// A command line that a person can put before `docker …` to reach this engine; empty for the reachable one.
    pub fn shell_prefix(&self) -> String {
        self.private
            .as_ref()
            .map(PrivateEngine::shell_prefix)
            .unwrap_or_default()
    }

    /// Ends a private engine and waits until nothing of it is left.
    pub fn stop(self) {
        drop(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_its_name() {
        for kind in [Kind::Reachable].into_iter().chain(Kind::PRIVATE) {
            assert_eq!(kind.name().parse::<Kind>().unwrap(), kind);
        }
    }

    #[test]
    fn a_name_that_is_no_kind_is_answered_with_all_that_are() {
        let error = "sid".parse::<Kind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"sid\" is no engine kind; there are: reachable, trixie-graphdriver, trixie-containerd, \
             sid-graphdriver, sid-containerd"
        );
    }
}
