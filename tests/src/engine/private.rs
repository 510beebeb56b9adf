//! A private engine: dockerd from Debian packages in mount, pid, network and control group namespaces of its own.
//! Process 1 in there ends with a pipe from this process, so the kernel itself clears everything away.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{ImageStore, Kind, Version};
use crate::error::{Error, Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::tail;
use crate::roots::{self, Recipe, Shape, Suite};

pub(crate) const LAUNCHER: &str = include_str!("launcher.sh");
const SUPERVISOR: &str = include_str!("supervisor.sh");
const INSIDE: &str = include_str!("inside.sh");
const CLIENT: &str = include_str!("client.sh");

/// Where programs are, in roots of Debian.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const SOCKET: &str = "unix:///run/docker.sock";
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
const SLOTS: usize = 64;

/// What the images and steps of one engine's tests take at most, in bytes, with some room.
const SPACE: u64 = 6 << 30;

const PACKAGES: &[&str] = &[
    "aardvark-dns",
    "buildah",
    "ca-certificates",
    "crun",
    "docker-buildx",
    "docker-cli",
    "docker-registry",
    "docker.io",
    "git",
    "iproute2",
    "iptables",
    "kmod",
    "mount",
    "netavark",
    "nftables",
    "ostree",
    "podman",
    "procps",
    "skopeo",
    "slirp4netns",
    "xz-utils",
    "zstd",
];

/// The recipe of the root that a private kind of engine runs in; `None` for the reachable kind.
pub(super) fn recipe(kind: Kind) -> Option<Recipe> {
    let (name, suite) = match kind {
        Kind::Reachable => return None,
        Kind::TrixieGraphdriver | Kind::TrixieContainerd => ("engine-trixie", Suite::Trixie),
        Kind::SidGraphdriver | Kind::SidContainerd => ("engine-sid", Suite::Sid),
    };
    Some(Recipe {
        name,
        suite,
        packages: PACKAGES.iter().map(ToString::to_string).collect(),
        prepare: "",
        finish: "",
        shape: Shape::Directory,
    })
}

fn daemon_settings(kind: Kind) -> serde_json::Value {
    let mut settings = serde_json::json!({
        "hosts": ["unix:///run/docker.sock"],
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        // A disk with little room would have it forget steps in the middle of a test.
        "builder": { "gc": { "enabled": false } },
    });
    if kind.image_store() == Some(ImageStore::Containerd) {
        settings["features"] = serde_json::json!({ "containerd-snapshotter": true });
    } else {
        settings["storage-driver"] = "overlay2".into();
    }
    settings
}

/// Room for an engine's images below the state directory, or an error that says how much is missing.
fn require_space(places: &Places) -> Result<()> {
    let state = places.state();
    let disk = rustix::fs::statvfs(state)
        .map_err(|errno| io_error("ask for the free space of", state)(errno.into()))?;
    let free = disk.f_bavail * disk.f_frsize;
    if free >= SPACE {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes >> 20;
    Err(Error::Unsuitable {
        missing: format!(
            "{} MiB of free disk space in {}, which has {}",
            mebibytes(SPACE),
            state.display(),
            mebibytes(free)
        ),
        remedy: "make room, or name a directory of another disk in OSDERIVE_STATE".to_owned(),
    })
}

/// A directory for one engine at a time, with that engine's images and build cache.
#[derive(Debug)]
struct Slot {
    directory: PathBuf,
    _lock: FileLock,
}

impl Slot {
    /// The first slot of this kind that no live harness holds.
    fn take(kind: Kind, places: &Places) -> Result<Self> {
        for number in 0..SLOTS {
            let directory = places.directory(format!("engines/{kind}/slot-{number}"))?;
            if let Some(lock) = FileLock::attempt(&directory.join("lock"))? {
                return Ok(Self {
                    directory,
                    _lock: lock,
                });
            }
        }
        Err(Error::Unsuitable {
            missing: format!("a free slot ({SLOTS} {kind} engines run already)"),
            remedy: "end some of them".to_owned(),
        })
    }

    fn log(&self) -> PathBuf {
        self.directory.join("engine.log")
    }

    fn wipe(&self) -> Result<()> {
        roots::remove(&self.directory.join("docker"))?;
        roots::remove(&self.directory.join("containers"))
    }
}

/// A name for the control group of what runs in a directory, which no other directory's has.
pub fn group_name(directory: &Path) -> String {
    let path = directory.to_string_lossy();
    format!("osderive{}", path.replace(['/', '.'], "-"))
}

/// A running private engine; dropping it ends it.
#[derive(Debug)]
pub(super) struct PrivateEngine {
    // Fields are dropped in this order: the processes end before the slot is free again.
    processes: Processes,
    slot: Slot,
    log: PathBuf,
    workspace: PathBuf,
}

impl PrivateEngine {
    pub(super) fn start(kind: Kind, places: &Places) -> Result<Self> {
        let Some(recipe) = recipe(kind) else {
            return Err(Error::Unreachable("it is not ours to start".to_owned()));
        };
        roots::require_root()?;
        require_space(places)?;
        let root = recipe.build(places)?;
        let slot = Slot::take(kind, places)?;
        let start = || Processes::start(&slot, kind, &root.path, places);
        let processes = start().or_else(|error| {
            eprintln!("{error}\n» start the {kind} engine once more, with empty storage");
            slot.wipe()?;
            start()
        })?;
        Ok(Self {
            processes,
            log: slot.log(),
            slot,
            workspace: places.workspace().to_owned(),
        })
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = client(self.processes.pid, program);
        command.current_dir(&self.workspace);
        command
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The name of its slot.
    pub(super) fn slot(&self) -> &OsStr {
        self.slot.directory.file_name().unwrap_or_default()
    }

    pub(super) fn shell_prefix(&self) -> String {
        let pid = self.processes.pid;
        format!(
            "nsenter --target {pid} --mount --uts --ipc --net --pid --cgroup --wdns=\"$PWD\" -- \
             env PATH={PATH} HOME=/root DOCKER_HOST={SOCKET}"
        )
    }
}

/// An engine's processes, all of which end when the lifeline is closed.
#[derive(Debug)]
struct Processes {
    launcher: Child,
    lifeline: Option<ChildStdin>,
    /// Process 1 of the engine's namespaces, by its number out here.
    pid: u32,
}

impl Processes {
    fn start(slot: &Slot, kind: Kind, root: &Path, places: &Places) -> Result<Self> {
        let log = slot.log();
        let mut launcher = launch(slot, kind, root, places, &log)?;
        let output = launcher.stdout.take();
        let mut processes = Self {
            lifeline: launcher.stdin.take(),
            launcher,
            pid: 0,
        };
        let down = |reason: &str| Error::EngineDown {
            kind: kind.name(),
            reason: reason.to_owned(),
            log: log.clone(),
            tail: tail(&log),
        };
        let first_line = output.and_then(|output| BufReader::new(output).lines().next());
        processes.pid = first_line
            .and_then(Result::ok)
            .and_then(|line| line.strip_prefix("pid ")?.parse().ok())
            .ok_or_else(|| down("its namespaces or its uplink could not be set up"))?;
        processes.await_daemon().map_err(|reason| down(&reason))?;
        Ok(processes)
    }

    /// Waits until dockerd answers; the error says what was seen instead.
    fn await_daemon(&mut self) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let Err(error) = Version::ask(&mut client(self.pid, "docker")) else {
                return Ok(());
            };
            if let Ok(Some(status)) = self.launcher.try_wait() {
                return Err(format!("it ended early ({status})"));
            }
            if start.elapsed() > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(format!(
                    "dockerd did not answer within {seconds} s: {error}"
                ));
            }
            sleep(POLL);
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.launcher.try_wait(), Ok(None)) {
                return;
            }
            sleep(POLL / 5);
        }
        eprintln!("warning: process {} of an engine does not end", self.pid);
    }
}

fn launch(slot: &Slot, kind: Kind, root: &Path, places: &Places, log: &Path) -> Result<Child> {
    let errors = File::create(log).map_err(io_error("write the log", log))?;
    Command::new("/bin/sh")
        .args(["-c", LAUNCHER, "launcher"])
        .arg(slot.directory.join("alive"))
        .arg(group_name(&slot.directory))
        .args([root, &slot.directory, places.workspace(), places.state()])
        .env("SUPERVISOR", SUPERVISOR)
        .env("INSIDE", INSIDE)
        .env("DAEMON_JSON", daemon_settings(kind).to_string())
        .env("PATH", PATH)
        .env_remove("TMPDIR")
        // Ctrl-c is for the harness; the engine follows when its pipe closes.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(io_error("run", "/bin/sh"))
}

fn client(pid: u32, program: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", CLIENT, "client", &pid.to_string(), program])
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("DOCKER_HOST", SOCKET)
        .env("DOCKER_CONFIG", "/root/.docker");
    for foreign in [
        "BUILDX_BUILDER",
        "DOCKER_CONTEXT",
        "DOCKER_TLS",
        "DOCKER_TLS_VERIFY",
        "TMPDIR",
    ] {
        command.env_remove(foreign);
    }
    command
}
