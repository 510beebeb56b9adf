//! The directory that reports are written into, for a build frontend to read.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use cap_std_ext::dirext::CapStdExtDirExt as _;
use serde::Serialize;

use crate::error::{Error, Result};

/// The report mount, opened before a command could put anything else in its place.
pub(crate) struct ReportDir {
    path: PathBuf,
    dir: Dir,
}

impl ReportDir {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| {
            Error::OpenReport {
                dir: path.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            dir,
        })
    }

    /// Writes a document.
    pub(crate) fn write_json(&self, name: &str, document: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec(document).map_err(io::Error::from);
        let written = json.and_then(|json| replace(&self.dir, name, &json));
        written.map_err(|source| self.unwritten(name, source))
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        replace(&self.dir, name, content).map_err(|source| self.unwritten(name, source))
    }

    fn unwritten(&self, name: &str, source: io::Error) -> Error {
        Error::WriteReport {
            path: self.path.join(name),
            source,
        }
    }
}

/// Writes a file beside its place and renames it there, so that none is ever read in half.
fn replace(dir: &Dir, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = format!(".{name}.new");
    // The step's command may have left anything there, a link or a directory too.
    for taken in [&beside, name] {
        dir.remove_all_optional(taken)?;
    }
    let mut file = dir.open_with(&beside, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(content)?;
    dir.rename(&beside, dir, name)
}
