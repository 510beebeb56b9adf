//! Debian root file systems by mmdebstrap, cached by the hash of all that goes into them.
//! Engines run in such roots and base images are made of them; no package is installed on this machine.

mod mmdebstrap;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::{ending_with_us, run_logged};

const ENTER: &str = include_str!("enter.sh");

/// Raised when the way of building changes in a manner that the other inputs do not show.
const BUILDER_VERSION: u32 = 1;

/// Every timestamp in a tree that is packed as a tar archive is clamped to this (2025-08-09, trixie's release).
pub(crate) const SOURCE_DATE_EPOCH: &str = "1754697600";

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

/// A file that the scripts of a recipe find in the folder `$FILES`.
#[derive(Debug)]
pub struct Given {
    /// Its name there.
    pub name: &'static str,
    /// What is in it.
    pub content: Vec<u8>,
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
    /// The identity of the recipe with these files: twelve hexadecimal digits.
    fn hash(&self, files: &[Given]) -> String {
        let mut hash = Sha256::new_with_prefix(format!(
            "{BUILDER_VERSION} {} {} {self:?}",
            mmdebstrap::SETUP,
            mmdebstrap::CLEANUP
        ));
        for file in files {
            hash.update(format!("{} {}\n", file.name, file.content.len()));
            hash.update(&file.content);
        }
        twelve_digits(&hash.finalize())
    }

    /// The architectures of the packages where there is another one than this machine's, which comes first: a package
    /// names its own behind a colon.
    fn architectures(&self) -> Option<String> {
        let named = self.packages.iter().filter_map(|name| name.split_once(':'));
        let mut foreign: Vec<&str> = named.map(|(_, architecture)| architecture).collect();
        foreign.dedup();
        (!foreign.is_empty()).then(|| format!("{},{}", debian_architecture(), foreign.join(",")))
    }

    /// The root, built now (half a minute to some minutes) unless it was built before.
    /// Two processes never build the same root twice: the second waits for the first.
    ///
    /// # Errors
    /// When this machine lacks a program or root rights, or mmdebstrap fails.
    pub fn build(&self, places: &Places) -> Result<Root> {
        self.build_with(&[], places)
    }

    /// As [`build`](Self::build), with files for the scripts.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(&self, files: &[Given], places: &Places) -> Result<Root> {
        let hash = self.hash(files);
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
                self.build_as(places, &stem, &partial, files)?;
                fs::rename(&partial, &path).map_err(io_error("put in place", &path))?;
            }
        }
        Ok(Root { path, hash })
    }

    fn build_as(
        &self,
        places: &Places,
        stem: &Path,
        partial: &Path,
        files: &[Given],
    ) -> Result<()> {
        require_root()?;
        let tool = mmdebstrap::Tool::obtain(places)?;
        // A killed build leaves these; nobody else uses them while the lock is held.
        let scratch = beside(stem, "scratch");
        remove(partial)?;
        remove(&scratch)?;
        fs::create_dir(&scratch).map_err(io_error("make", &scratch))?;
        let given = beside(stem, "files");
        remove(&given)?;
        fs::create_dir(&given).map_err(io_error("make", &given))?;
        for file in files {
            let path = given.join(file.name);
            fs::write(&path, &file.content).map_err(io_error("write", &path))?;
        }
        let mut command = tool.command(self, partial);
        command
            .env("TMPDIR", &scratch)
            .env("FILES", &given)
            .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
        let action = format!("build {} from Debian {}", self.name, self.suite.name());
        run_logged(&action, &mut command, &beside(stem, "log"))?;
        remove(&given)?;
        remove(&scratch)
    }
}

impl Root {
    /// A program of the root, a directory, that begins in a folder. It sees nothing else of the machine than what is
    /// shared, at its own path; what it writes elsewhere goes with it.
    pub fn command(&self, program: impl AsRef<Path>, folder: &Path, shared: &[&Path]) -> Command {
        let mut command = ending_with_us("unshare");
        command
            .args(["--mount", "--pid", "--ipc"])
            .args(["--fork", "--kill-child", "sh", "-c", ENTER, "enter"])
            .args([&self.path, folder])
            .arg(shared.len().to_string())
            .args(shared)
            .arg(program.as_ref())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TMPDIR", "/tmp");
        command
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

/// What Debian calls this machine.
pub(crate) fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
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
