//! Debian root file systems by mmdebstrap, cached by the hash of all that goes into them.
//! Engines run in such roots and base images are made of them; no package is installed on this machine.

mod mmdebstrap;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::run_logged;

/// Raised when the way of building changes in a manner that the other inputs do not show.
const BUILDER_VERSION: u32 = 1;

/// Every timestamp in a tree that is packed as a tar archive is clamped to this (2025-08-09, trixie's release).
const SOURCE_DATE_EPOCH: &str = "1754697600";

/// The Debian suites in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// Debian unstable.
    Sid,
}

impl Suite {
    /// The suite's name in the archive.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Sid => "sid",
        }
    }
}

/// The shape that a root is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A directory, to run programs in.
    Directory,
    /// A reproducible tar archive.
    Tar,
}

/// All that decides what a root contains.
#[derive(Debug)]
pub struct Recipe {
    /// What it is for; begins the name of what is built.
    pub name: &'static str,
    /// Where the packages come from.
    pub suite: Suite,
    /// The packages beside apt and the essential ones.
    pub packages: Vec<String>,
    /// A shell script that gets the root's path before any package is there, or nothing.
    pub prepare: &'static str,
    /// A shell script that gets the root's path when all packages are configured, or nothing.
    pub finish: &'static str,
    /// The shape of the result.
    pub shape: Shape,
}

/// A root that has been built.
#[derive(Debug, Clone)]
pub struct Root {
    /// The directory or tar archive.
    pub path: PathBuf,
    /// Twelve hexadecimal digits that change with the recipe.
    pub hash: String,
}

impl Recipe {
    /// The recipe's identity: twelve hexadecimal digits.
    pub fn hash(&self) -> String {
        let inputs = format!(
            "{BUILDER_VERSION} {} {} {self:?}",
            mmdebstrap::SETUP,
            mmdebstrap::CLEANUP
        );
        twelve_digits(&Sha256::digest(inputs))
    }

    /// The root, built now (half a minute to some minutes) unless it was built before.
    /// Two processes never build the same root twice: the second waits for the first.
    ///
    /// # Errors
    /// When this machine lacks a program or root rights, or mmdebstrap fails.
    pub fn build(&self, places: &Places) -> Result<Root> {
        let hash = self.hash();
        let directory = places.directory(match self.shape {
            Shape::Directory => "roots",
            Shape::Tar => "images",
        })?;
        let stem = directory.join(format!("{}-{hash}", self.name));
        let (path, partial) = match self.shape {
            Shape::Directory => (stem.clone(), beside(&stem, "partial")),
            Shape::Tar => (beside(&stem, "tar"), beside(&stem, "partial.tar")),
        };
        if !path.exists() {
            let _lock = FileLock::wait(&beside(&stem, "lock"))?;
            if !path.exists() {
                self.build_as(places, &stem, &partial)?;
                fs::rename(&partial, &path).map_err(io_error("put in place", &path))?;
            }
        }
        Ok(Root { path, hash })
    }

    fn build_as(&self, places: &Places, stem: &Path, partial: &Path) -> Result<()> {
        require_root()?;
        let tool = mmdebstrap::Tool::obtain(places)?;
        // A killed build leaves these; nobody else uses them while the lock is held.
        let scratch = beside(stem, "scratch");
        remove(partial)?;
        remove(&scratch)?;
        fs::create_dir(&scratch).map_err(io_error("make", &scratch))?;
        let mut command = tool.command(self, partial);
        command
            .env("TMPDIR", &scratch)
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
        let action = format!("build {} from Debian {}", self.name, self.suite.name());
        run_logged(&action, &mut command, &beside(stem, "log"))?;
        remove(&scratch)
    }
}

/// The beginning of a hash, as names of cached things have it.
pub(crate) fn twelve_digits(hash: &[u8]) -> String {
    hash.iter()
        .take(6)
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// `PATH` with `.extension` after its whole name.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Removes a file or a whole directory, if it is there.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(io_error("remove", path))
}

/// Root rights on a Debian-like machine, or an error that says so.
pub(crate) fn require_root() -> Result<()> {
    let unsuitable = |missing: &str, remedy: &str| {
        Err(Error::Unsuitable {
            missing: missing.to_owned(),
            remedy: remedy.to_owned(),
        })
    };
    if !rustix::process::geteuid().is_root() {
        return unsuitable("root rights", "run this as root");
    }
    let programs = [
        ("apt-get", "apt"),
        ("dpkg-deb", "dpkg"),
        ("perl", "perl"),
        ("unshare", "util-linux"),
        ("mount", "mount"),
    ];
    for (program, package) in programs {
        if !in_path(program) {
            return unsuitable(
                &format!("Debian or Ubuntu with the program {program}"),
                &format!("run `apt-get install {package}`"),
            );
        }
    }
    Ok(())
}

fn in_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}
