//! Where a run keeps what it found out, by what that rests on.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::build::Build;
use crate::boot::harness::Runner;
use crate::error::{Error, Result, io_error};
use crate::roots::twelve_digits;

/// Where a run keeps what it found out, and on what that rests.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) folder: PathBuf,
    pub(super) base: String,
    pub(super) product: String,
    pub(super) lints: String,
    pub(super) runner: Runner,
}

impl Store {
    /// The file of a trial: another one when the base, the instructions or (for ours) the product are others.
    pub(super) fn trial(&self, packages: &str, build: Build) -> PathBuf {
        self.file(packages, &self.kind(build.name()), build, "")
    }

    /// The file of a build that failed.
    pub(super) fn failure(&self, packages: &str, build: Build) -> PathBuf {
        let kind = format!("{}-failure", build.name());
        self.file(packages, &kind, build, "")
    }

    /// The file of what the lints say: another one when they are others as well.
    pub(super) fn forecast(&self, packages: &str, build: Build) -> PathBuf {
        let kind = format!("{}-forecast", build.name());
        self.file(packages, &kind, build, &self.lints)
    }

    pub(super) fn reference(&self, packages: &str) -> PathBuf {
        self.file(packages, &self.kind("reference"), Build::Plain, "")
    }

    /// What machines of one runner do says nothing of those of another.
    fn kind(&self, kind: &str) -> String {
        match self.runner {
            Runner::Qemu => kind.to_owned(),
            Runner::Nspawn => format!("{kind}-fast"),
        }
    }

    fn file(&self, packages: &str, kind: &str, build: Build, lints: &str) -> PathBuf {
        let product = match build {
            Build::Ours => &self.product,
            Build::Plain | Build::Peer => "",
        };
        let containerfile = build.containerfile(packages);
        let inputs = format!("{} {product} {lints} {containerfile}", self.base);
        let name = packages.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
        let digits = twelve_digits(&Sha256::digest(inputs));
        self.folder.join(format!("{name}.{kind}-{digits}.json"))
    }

    pub(super) fn known<T: for<'de> Deserialize<'de>>(file: &Path) -> Option<T> {
        serde_json::from_slice(&fs::read(file).ok()?).ok()
    }

    pub(super) fn keep<T: Serialize>(file: &Path, result: &T) -> Result<()> {
        let text = serde_json::to_string_pretty(result).map_err(|error| Error::Engine {
            action: "describe a result".to_owned(),
            message: error.to_string(),
        })?;
        let partial = file.with_extension("partial");
        fs::write(&partial, text).map_err(io_error("write", &partial))?;
        fs::rename(&partial, file).map_err(io_error("put in place", file))
    }
}

/// A hash of all files below a folder and of their names.
pub(super) fn sources_hash(folder: &Path) -> Result<String> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let path = entry.map_err(io_error("read", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.as_os_str().as_encoded_bytes());
        hash.update(fs::read(&file).map_err(io_error("read", &file))?);
    }
    Ok(twelve_digits(&hash.finalize()))
}
