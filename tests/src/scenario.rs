//! One build of a test: a context folder of its own, a Containerfile, a `docker build`, and what
//! came out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::engine::Engine;
use crate::error::{Error, Result, io_error};
use crate::places::Places;
use crate::process::{ATTEMPTS, capture, engine_output};
use crate::roots;
use crate::saved_image::SavedImage;

/// What a scenario is built by.
#[derive(Clone, Copy, Debug, Default)]
pub enum Door {
    /// Docker, with osderive as the frontend.
    #[default]
    Docker,
    /// podman or buildah, with the host command before them.
    Host {
        /// The host command.
        osderive: &'static Path,
        /// `podman` or `buildah`.
        engine: &'static str,
        /// `oci`, or `chroot` where no runtime is called.
        isolation: &'static str,
    },
}

/// A context folder and the image that is built from it.
pub struct Scenario<'a> {
    engine: &'a Engine,
    door: Door,
    folder: PathBuf,
    tag: String,
}

/// A finished build.
#[derive(Debug)]
pub struct Built {
    /// Whether it succeeded.
    pub success: bool,
    /// The whole plain progress log with the closing error. Findings that podman and buildah have no list of stand at its
    /// end as Docker's client lists them.
    pub log: String,
}

/// Removes the context folders of all tests on an engine, and what their builds wrote there.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_folders(engine: &Engine, places: &Places) -> Result<()> {
    let folders = folders(engine, places)?;
    fs::remove_dir_all(&folders).map_err(io_error("remove", &folders))
}

fn folders(engine: &Engine, places: &Places) -> Result<PathBuf> {
    places.directory(Path::new("e2e").join(engine.place()))
}

impl<'a> Scenario<'a> {
    /// Makes an empty context folder. `name` is unique within the test run.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(engine: &'a Engine, places: &Places, name: &str) -> Result<Self> {
        let folder = folders(engine, places)?.join(name);
        roots::remove(&folder)?;
        fs::create_dir(&folder).map_err(io_error("make", &folder))?;
        Ok(Self {
            engine,
            door: Door::Docker,
            folder,
            tag: format!("e2e-{name}"),
        })
    }

    /// The scenario built by another door.
    #[must_use]
    pub fn by(self, door: Door) -> Self {
        Self { door, ..self }
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

    /// A build of the context under the scenario's name, to add options to.
    pub fn command(&self) -> Command {
        let mut command;
        match self.door {
            Door::Docker => {
                command = self.engine.docker();
                command.args(["build", "--progress=plain", "--provenance=false"]);
            }
            Door::Host {
                osderive,
                engine,
                isolation,
            } => {
                command = self.engine.command(&osderive.to_string_lossy());
                command
                    .env("XDG_CACHE_HOME", self.folder.with_extension("cache"))
                    // That of Docker's client names a file that is not there, which is an error to buildah.
                    .env_remove("DOCKER_CONFIG")
                    .arg("--report")
                    .arg(format!("github={}", self.findings().display()))
                    // An image in the OCI format has no SHELL.
                    .args([
                        engine,
                        "build",
                        "--network=host",
                        "--layers",
                        "--format=docker",
                    ])
                    .args(["--isolation", isolation]);
            }
        }
        command
            .current_dir(&self.folder)
            .args(["--file", "Containerfile", "--tag", &self.tag]);
        command
    }

    /// Where the host command writes its findings.
    fn findings(&self) -> PathBuf {
        self.folder.with_extension("findings")
    }

    /// The program that has the image in its store.
    fn client(&self) -> &'static str {
        match self.door {
            Door::Docker => "docker",
            Door::Host { .. } => "podman",
        }
    }

    /// Builds the context with further options.
    ///
    /// # Errors
    /// When docker cannot be run; a failed build is no error here.
    pub fn build(&self, options: &[&str]) -> Result<Built> {
        let mut built = self.build_once(options)?;
        if is_cut_off(&built.log) {
            eprintln!("» once more, since the client lost its last words");
            // All is in the cache, and what is told at the end comes from there too.
            let again = self.build_once(options)?;
            built.log.push_str(listing(&again.log));
        }
        Ok(built)
    }

    fn build_once(&self, options: &[&str]) -> Result<Built> {
        let mut command = self.command();
        command.args(options).arg(".");
        let output = engine_output(&mut command).map_err(|error| refused("build", &error))?;
        let mut log = String::from_utf8_lossy(&output.stderr).into_owned();
        if let Door::Host { .. } = self.door {
            log.insert_str(0, &String::from_utf8_lossy(&output.stdout));
            let annotations = fs::read_to_string(self.findings()).unwrap_or_default();
            log.push_str(&as_listing(&annotations));
        }
        Ok(Built {
            success: output.status.success(),
            log,
        })
    }

    /// The image as saved, with its last `keep` layers.
    ///
    /// # Errors
    /// When it cannot be saved or read.
    pub fn saved(&self, keep: usize) -> Result<SavedImage> {
        let mut save = self.engine.command(self.client());
        save.arg("save").stdin(Stdio::null());
        let read = |archive: &mut dyn Read| {
            let image = SavedImage::read(archive, keep);
            image.map_err(|error| refused("save a readable image", &error))
        };
        if let Door::Host { .. } = self.door {
            // podman streams no archive that has an index.
            let path = self.folder.with_extension("tar");
            save.args(["--quiet", "--format=oci-archive", "--output"]);
            save.arg(&path).arg(&self.tag);
            capture(&format!("save {}", self.tag), &mut save)?;
            let mut archive = File::open(&path).map_err(io_error("open", &path))?;
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            return read(&mut archive);
        }
        save.arg(&self.tag).stdout(Stdio::piped());
        let spawned = save.spawn();
        let mut client = spawned.map_err(|error| refused("save an image", &error))?;
        let image = client.stdout.take().map(|mut archive| read(&mut archive));
        let status = client
            .wait()
            .map_err(|error| refused("save an image", &error))?;
        if !status.success() {
            return Err(Error::Engine {
                action: format!("save {}", self.tag),
                message: status.to_string(),
            });
        }
        image.unwrap_or_else(|| read(&mut std::io::empty()))
    }

    /// What `image inspect` says of the image.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn inspect(&self) -> Result<Value> {
        let mut command = self.engine.command(self.client());
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
        let mut command = self.engine.command(self.client());
        command.args(["run", "--rm", "--network=none", "--entrypoint=/bin/sh"]);
        command.args([&self.tag, "-c", shell]);
        capture("run a container", &mut command)
    }

    /// Whether the image, which has a shell, has something at a path relative to its root. To save it takes an engine
    /// seconds.
    ///
    /// # Errors
    /// When no container tells.
    pub fn has(&self, path: &str) -> Result<bool> {
        let ask = format!("test -e '/{path}' && echo there || echo missing");
        // As in [`unpack`], an engine may lose what the container printed.
        for _ in 0..ATTEMPTS {
            match self.output_of(&ask)?.trim() {
                "there" => return Ok(true),
                "missing" => return Ok(false),
                _ => {}
            }
        }
        Err(Error::Engine {
            action: format!("look for {path} in {}", self.tag),
            message: "the container printed nothing".to_owned(),
        })
    }

    /// Unpacks what the image has of `paths`, relative to its root, below a directory: with numeric
    /// owners, modes and extended attributes.
    ///
    /// # Errors
    /// When the image or tar fails.
    pub fn unpack(&self, paths: &[&str], directory: &Path) -> Result<()> {
        unpack(self.engine, self.client(), &self.tag, paths, directory)
    }
}

/// Unpacks what an image has of `paths`, as [`Scenario::unpack`] does. The engine's `client` has it: docker, or podman
/// beside it.
///
/// # Errors
/// When the image or tar fails.
pub fn unpack(
    engine: &Engine,
    client: &str,
    image: &str,
    paths: &[&str],
    directory: &Path,
) -> Result<()> {
    let archive = pack(engine, client, image, paths)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--numeric-owner", "--same-permissions"])
        .args(["--xattrs", "--xattrs-include=*"])
        .arg("--directory")
        .arg(directory)
        .arg("--file")
        .arg(archive.path());
    capture(&format!("unpack {image}"), &mut tar).map(drop)
}

/// An archive of what an image has of `paths`.
fn pack(engine: &Engine, client: &str, image: &str, paths: &[&str]) -> Result<NamedTempFile> {
    const PACK: &str = "cd / && ls -d \"$@\" 2>/dev/null | \
        tar --create --numeric-owner --xattrs --xattrs-include='*' --files-from=-";
    let mut attempts = 0;
    loop {
        let archive = NamedTempFile::new().map_err(|error| refused("make a file", &error))?;
        let output = archive.reopen();
        let output = output.map_err(|error| refused("open a file", &error))?;
        let mut run = engine.command(client);
        run.args(["run", "--rm", "--network=none", "--entrypoint=/bin/sh"]);
        run.args([image, "-c", PACK, "sh"]).args(paths);
        run.stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped());
        let packed = run.spawn().and_then(Child::wait_with_output);
        let packed = packed.map_err(|error| refused("run a container", &error))?;
        if !packed.status.success() {
            return Err(Error::Engine {
                action: format!("pack {image}"),
                message: String::from_utf8_lossy(&packed.stderr).into_owned(),
            });
        }
        // An archive of nothing has bytes too. An engine that has more to do than it can sometimes hands out
        // nothing of what a short container printed, and says that all went well (seen with Docker 26.1).
        let bytes = archive.as_file().metadata().map_or(0, |file| file.len());
        attempts += 1;
        if bytes > 0 || attempts == ATTEMPTS {
            return Ok(archive);
        }
        eprintln!("» once more, since the engine lost what the container printed");
    }
}

/// Whether a client wrote only the beginning of the head of its list of warnings, and ended with success (seen once,
/// with Docker 26.1's).
fn is_cut_off(log: &str) -> bool {
    log.ends_with("\n ")
}

/// The list of warnings, with its head.
fn listing(log: &str) -> &str {
    let is_head = |line: &&str| line.contains(" found (use ") && line.contains("--debug to expand");
    let head = log.lines().find(is_head);
    let start = head.and_then(|head| log.find(head));
    start.map_or("", |start| &log[start..])
}

/// Annotations as Docker's client shows them: errors, and a list of warnings.
fn as_listing(annotations: &str) -> String {
    let of = |command| {
        annotations
            .lines()
            .filter_map(move |line| listed(line, command))
    };
    let errors: String = of("::error ").map(|error| error + "\n").collect();
    let warnings: Vec<String> = of("::warning ")
        .map(|warning| format!(" - {warning}\n"))
        .collect();
    if warnings.is_empty() {
        return errors;
    }
    let head = format!(
        "\n {} warnings found (use --debug to expand):\n",
        warnings.len()
    );
    errors + &head + &warnings.concat()
}

fn listed(annotation: &str, command: &str) -> Option<String> {
    let (properties, message) = annotation.strip_prefix(command)?.split_once("::")?;
    let property = |name: &str| {
        let mut all = properties.split(',');
        all.find_map(|property| property.strip_prefix(name))
    };
    let message = message.split("%0A").next()?.replace("%25", "%");
    let line = property("line=").map(|line| format!(" (line {line})"));
    let line = line.unwrap_or_default();
    Some(format!("{}: {message}{line}", property("title=")?))
}

/// The findings that a build's log ends with, sorted: each rule with its message. The client lists them by the
/// steps that they are about, which an engine reports in any order.
pub fn findings(log: &str) -> Vec<(&str, &str)> {
    let listed = listing(log).lines().skip(1);
    let mut found: Vec<(&str, &str)> = listed.map_while(finding).collect();
    found.sort_unstable();
    found
}

fn finding(line: &str) -> Option<(&str, &str)> {
    // The end of the heading's colour stands before the first.
    let line = line.trim_start_matches("\x1b[0m");
    line.strip_prefix(" - ")?.split_once(": ")
}

/// The Containerfile steps that came from the cache, such as `[builder 2/3]`, in the log's order.
/// Other work, such as loading the frontend, is not among them.
pub fn cached_steps(log: &str) -> Vec<&str> {
    let mut names = BTreeMap::new();
    // An engine may report a step more than once.
    let mut reported = BTreeSet::new();
    let mut cached: Vec<&str> = Vec::new();
    for line in log.lines() {
        let Some((number, rest)) = line
            .split_once(' ')
            .filter(|(number, _)| number.starts_with('#'))
        else {
            continue;
        };
        if rest == "CACHED" {
            cached.extend(names.get(number).filter(|_| reported.insert(number)));
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
                   #5 [2/3] RUN a\n#6 [3/3] RUN b\n#5 CACHED\n#5 CACHED\n#6 0.1 CACHED\n#6 DONE 0.1s\n";
        assert_eq!(cached_steps(log), ["[2/3]"]);
    }

    #[test]
    fn annotations_are_listed_as_warnings() {
        let annotations = "::warning file=C,line=3,endLine=3,title=rule-a::x 1%25%0A/path%0Ahelp: y\n\
                           ::error title=rule-b::z\n::warning title=rule-c::w\n";
        let listed = as_listing(annotations);
        assert!(listed.starts_with("rule-b: z\n"), "{listed}");
        let found = [("rule-a", "x 1% (line 3)"), ("rule-c", "w")];
        assert_eq!(findings(&listed), found);
        assert_eq!(as_listing("::notice title=osderive::1 more\n"), "");
    }

    #[test]
    fn findings_are_told_from_the_rest_of_the_log() {
        let log = "#7 0.5 osderive: warning: a - b: c\n\n \x1b[33m2 warnings found (use docker --debug to \
                   expand):\n\x1b[0m - rule-a: x - y: z (line 3)\n - rule-b: w (line 4)\nERROR: no - b: c\n";
        let found = [("rule-a", "x - y: z (line 3)"), ("rule-b", "w (line 4)")];
        assert_eq!(findings(log), found);
        assert!(!is_cut_off(log) && is_cut_off(&log[..log.find('\x1b').unwrap()]));
        assert_eq!(findings(&format!("#1 DONE\n\n {}", listing(log))), found);
    }
}
