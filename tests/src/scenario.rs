//! One build of a test: a context folder of its own, a Containerfile, a `docker build`, and what
//! came out of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::engine::Engine;
use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::capture;
use crate::saved_image::SavedImage;

/// A context folder and the image that is built from it.
pub struct Scenario<'a> {
    engine: &'a Engine,
    folder: PathBuf,
    tag: String,
}

/// A finished `docker build`.
#[derive(Debug)]
pub struct Built {
    /// Whether it succeeded.
    pub success: bool,
    /// The whole plain progress log with the closing error.
    pub log: String,
}

impl<'a> Scenario<'a> {
    /// Makes an empty context folder. `name` is unique within the test run.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(engine: &'a Engine, places: &Places, name: &str) -> Result<Self> {
        let folder = places.directory(&format!("e2e/{}/{name}", engine.kind().name()))?;
        fs::remove_dir_all(&folder).map_err(io_error("empty", &folder))?;
        fs::create_dir(&folder).map_err(io_error("make", &folder))?;
        Ok(Self {
            engine,
            folder,
            tag: format!("e2e-{name}"),
        })
    }

    /// Writes a file of the context; `Containerfile` is the build's own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(self, path: &str, content: &str) -> Result<Self> {
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        }
        fs::write(&path, content).map_err(io_error("write", &path))?;
        Ok(self)
    }

    /// The context folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The image's name.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// A `docker build` of the context under the scenario's name, to add options to.
    pub fn command(&self) -> Command {
        let mut command = self.engine.docker();
        command
            .current_dir(&self.folder)
            .args(["build", "--progress=plain", "--provenance=false"])
            .args(["--file", "Containerfile", "--tag", &self.tag]);
        command
    }

    /// Builds the context with further options.
    ///
    /// # Errors
    /// When docker cannot be run; a failed build is no error here.
    pub fn build(&self, options: &[&str]) -> Result<Built> {
        let mut command = self.command();
        command.args(options).arg(".");
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| refused("build", &error))?;
        Ok(Built {
            success: output.status.success(),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// The image as saved, with its last `keep` layers.
    ///
    /// # Errors
    /// When it cannot be saved or read.
    pub fn saved(&self, keep: usize) -> Result<SavedImage> {
        let mut command = self.engine.docker();
        let mut client = command
            .args(["save", &self.tag])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| refused("save an image", &error))?;
        let image = client
            .stdout
            .take()
            .map(|archive| SavedImage::read(archive, keep));
        let status = client
            .wait()
            .map_err(|error| refused("save an image", &error))?;
        if !status.success() {
            return Err(Error::Engine {
                action: format!("save {}", self.tag),
                message: status.to_string(),
            });
        }
        let image = image.unwrap_or_else(|| SavedImage::read(std::io::empty(), keep));
        image.map_err(|error| refused("save a readable image", &error))
    }

    /// What `docker image inspect` says of the image.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn inspect(&self) -> Result<Value> {
        let mut command = self.engine.docker();
        command.args(["image", "inspect", &self.tag]);
        let json = capture("inspect an image", &mut command)?;
        let mut list: Value =
            serde_json::from_str(&json).map_err(|error| refused("inspect an image", &error))?;
        Ok(list[0].take())
    }

    /// What a command in a container of the image prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn output_of(&self, shell: &str) -> Result<String> {
        let mut command = self.engine.docker();
        command.args(["run", "--rm", "--network=none", "--entrypoint=/bin/sh"]);
        command.args([&self.tag, "-c", shell]);
        capture("run a container", &mut command)
    }
}

/// The Containerfile steps that came from the cache, such as `[builder 2/3]`, in the log's order.
/// Other work, such as loading the frontend, is not among them.
pub fn cached_steps(log: &str) -> Vec<&str> {
    let mut names = BTreeMap::new();
    let mut cached: Vec<&str> = Vec::new();
    for line in log.lines() {
        let Some((number, rest)) = line
            .split_once(' ')
            .filter(|(number, _)| number.starts_with('#'))
        else {
            continue;
        };
        if rest == "CACHED" {
            cached.extend(names.get(number));
        } else if let Some(end) = rest.find(']').filter(|_| rest.starts_with('[')) {
            names.insert(number, &rest[..=end]);
        }
    }
    // The base image is a step that may or may not be reported as cached.
    let count = |name: &str| {
        name.rsplit([' ', '['])
            .next()
            .map(str::to_owned)
            .unwrap_or_default()
    };
    cached.retain(|name| count(name).contains('/') && !count(name).starts_with("1/"));
    cached
}

fn refused(action: &str, error: &dyn std::error::Error) -> Error {
    Error::Engine {
        action: action.to_owned(),
        message: error.to_string(),
    }
}

impl Built {
    /// The log, once the build has succeeded.
    ///
    /// # Panics
    /// When it failed; the log is the message.
    pub fn expect_success(self) -> String {
        assert!(self.success, "the build failed:\n{}", self.log);
        self.log
    }

    /// The log, once the build has failed.
    ///
    /// # Panics
    /// When it succeeded.
    pub fn expect_failure(self) -> String {
        assert!(!self.success, "the build succeeded:\n{}", self.log);
        self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_steps_are_told_from_other_work() {
        let log = "#3 docker-image://osderive\n#3 CACHED\n#4 [1/3] FROM base\n#4 CACHED\n\
                   #5 [2/3] RUN a\n#6 [3/3] RUN b\n#5 CACHED\n#6 0.1 CACHED\n#6 DONE 0.1s\n";
        assert_eq!(cached_steps(log), ["[2/3]"]);
    }
}
