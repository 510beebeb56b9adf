//! The root file system of an image as one tree, as an ordinary system has it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::engine::Engine;
use crate::error::{Error, Result, io_error};
use crate::process::capture;
use crate::roots::remove;

/// A file of some hundred megabytes, which goes with the value.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
}

impl Archive {
    /// Takes it out of the engine (`docker export`).
    pub(super) fn of_tree(engine: &Engine, image: &str, path: &Path) -> Result<Self> {
        let mut create = engine.docker();
        create.args(["create", "--network=none", image, "/bin/true"]);
        let container = capture(&format!("make a container of {image}"), &mut create)?;
        let output = File::create(path).map_err(io_error("write", path))?;
        let archive = Self {
            path: path.to_owned(),
        };
        let mut docker = engine.docker();
        docker.args(["export", &container]);
        let status = docker.stdin(Stdio::null()).stdout(output).status();
        let mut rm = engine.docker();
        rm.args(["rm", "--volumes", &container]);
        capture(&format!("remove a container of {image}"), &mut rm)?;
        match status {
            Ok(status) if status.success() => Ok(archive),
            _ => Err(Error::Engine {
                action: format!("export {image}"),
                message: format!("{status:?}"),
            }),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            eprintln!("warning: {error}");
        }
    }
}
