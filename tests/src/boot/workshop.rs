//! The workshop: a private Debian root with QEMU, systemd-nspawn, libostree and what makes disks, for nothing of it may be
//! installed on the machine. Programs run in it with the state directory at its own path.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::importer;
use crate::error::Result;
use crate::places::Places;
use crate::roots::{Recipe, Root, Shape, Suite};

/// QEMU 7.2 of Debian 12 fails half of the boots, QEMU 10 of Debian 13 none.
const SUITE: Suite = Suite::Trixie;

const PACKAGES: &[&str] = &[
    "e2fsprogs",
    "gcc",
    "libc6-dev",
    "libostree-dev",
    "libssl-dev",
    "mount",
    "ostree",
    "pkgconf",
    "qemu-system-x86",
    "skopeo",
    "systemd-container",
    "zlib1g-dev",
];

/// The root with all that boots images.
#[derive(Debug)]
pub(super) struct Workshop {
    root: Root,
    state: PathBuf,
    importer: PathBuf,
}

impl Workshop {
    /// The workshop, made now (some minutes) unless it was before.
    pub(super) fn obtain(places: &Places) -> Result<Self> {
        let recipe = Recipe {
            name: "boot",
            suite: SUITE,
            packages: PACKAGES.iter().map(ToString::to_string).collect(),
            prepare: "",
            finish: "",
            shape: Shape::Directory,
        };
        let mut workshop = Self {
            root: recipe.build(places)?,
            state: places.state().to_owned(),
            importer: PathBuf::new(),
        };
        workshop.importer = importer::obtain(&workshop, places)?;
        Ok(workshop)
    }

    /// The reference importer, a program of this root.
    pub(super) fn importer(&self) -> &Path {
        &self.importer
    }

    /// Where the root is.
    pub(super) fn root(&self) -> &Path {
        &self.root.path
    }

    /// The state directory, which has all that programs of the root read and write.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// Twelve hexadecimal digits that change with the root's contents.
    pub(super) fn hash(&self) -> &str {
        &self.root.hash
    }

    /// A program of the root. It sees nothing else of the machine than the state directory.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        self.command_with(program, &[])
    }

    /// As [`command`](Self::command), with further directories of the machine at their own paths.
    pub(super) fn command_with(&self, program: impl AsRef<Path>, shared: &[&Path]) -> Command {
        let shared = [&[self.state.as_path()], shared].concat();
        let mut command = self.root.command(program, &self.state, &shared);
        command
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("RUST_BACKTRACE");
        command
    }
}
