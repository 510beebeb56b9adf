//! What osderive costs a build by podman.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{INSTRUCTIONS, median, milliseconds};
use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Result, io_error};
use crate::places::Places;
use crate::process::capture;
use crate::product::{self, Profile};
use crate::scenario::Scenario;

const PAIRS: usize = 10;

/// A bundle of a RUN that asks for a commit, with no more than a runtime needs.
const CONFIG: &str = r#"{
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["/ostree-container", "--version"],
        "env": ["PATH=/usr/bin", "OSDERIVE=1"],
        "cwd": "/"
    },
    "root": {"path": "rootfs"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}
    ],
    "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}
}"#;

/// Medians over pairs, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Podman {
    /// What a rebuild of an unchanged Containerfile takes longer than without osderive.
    pub noop_overhead_ms: f64,
    /// What our runtime adds to a RUN that is committed, but for the step in it.
    pub shim_ms: f64,
}

/// Measures builds by the podman beside an engine.
///
/// # Errors
/// When a build fails.
pub fn podman(engine: &Engine, places: &Places) -> Result<Podman> {
    for base in [Base::Ostree, Base::Plain] {
        engine.load_base_for_podman(base, places)?;
    }
    let host = product::host(Profile::Release, places)?;
    let host = host.display().to_string();
    let scenario = |name: &str, text: &str| {
        Scenario::new(engine, places, name)?
            .file("Containerfile", text)?
            .file("file", "content")
    };
    let unchanged = scenario("bench-podman", INSTRUCTIONS)?;
    let build = |program: &[&str], options: &[&str]| {
        let mut command = engine.command(program[0]);
        command
            .current_dir(unchanged.folder())
            .env("XDG_CACHE_HOME", places.state().join("bench-cache"))
            .args(&program[1..])
            .args(["build", "--quiet", "--network=host", "--tag=bench"])
            .args(options)
            .arg(".");
        command
    };
    let noop_overhead_ms = difference(
        || build(&["podman"], &[]),
        || build(&[&host, "podman"], &[]),
    )?;

    Ok(Podman {
        noop_overhead_ms,
        shim_ms: shim(engine, places)?,
    })
}

/// Calls of a runtime in the order in which buildah makes them for a RUN; it asks for the state more than once where the
/// RUN takes longer.
const CALLS: [&[&str]; 4] = [
    &["create", "--bundle=."],
    &["start"],
    &["state"],
    &["delete"],
];

/// The runtime behind ours.
const CRUN: &str = "crun";

/// A container as buildah names those of a RUN.
const CONTAINER: &str = "buildah-bench";

/// What our runtime adds to the calls that buildah makes for a RUN that is committed, but for the step in it: builds
/// cannot tell, because buildah looks for the end of a RUN ten times a second.
fn shim(engine: &Engine, places: &Places) -> Result<f64> {
    let scenario = Scenario::new(engine, places, "bench-shim")?;
    let bundle = scenario.folder();
    product::install_tool(Profile::Release, places, &bundle.join("rootfs"))?;
    let runtime = bundle.join("osderive-runtime");
    symlink(product::tool(Profile::Release, places)?, &runtime)
        .map_err(io_error("link", &runtime))?;
    let config = bundle.join("config.json");

    let command = |runtime: &Path, words: &[&str]| {
        let mut command = engine.command(&runtime.to_string_lossy());
        command.current_dir(bundle).args(words).arg(CONTAINER);
        command
    };
    let is_over = || {
        let state = capture("ask for a state", &mut command(CRUN.as_ref(), &["state"]))?;
        Ok(state.contains("\"stopped\""))
    };
    let calls = |runtime: &Path| {
        // Ours changes it.
        fs::write(&config, CONFIG).map_err(io_error("write", &config))?;
        let mut all = Duration::ZERO;
        for words in CALLS {
            if words[0] == "state" {
                while !is_over()? {
                    thread::sleep(Duration::from_millis(10));
                }
            }
            let mut command = command(runtime, words);
            // The container keeps them.
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let start = Instant::now();
            capture(
                &format!("call a runtime: {}", words.join(" ")),
                &mut command,
            )?;
            all += start.elapsed();
        }
        Ok(milliseconds(all))
    };
    in_pairs(|| calls(CRUN.as_ref()), || calls(&runtime))
}

/// How much longer a command takes than another one.
fn difference(without: impl Fn() -> Command, with: impl Fn() -> Command) -> Result<f64> {
    let timed = |mut command: Command| {
        let start = Instant::now();
        capture("build with podman", &mut command)?;
        Ok(milliseconds(start.elapsed()))
    };
    in_pairs(|| timed(without()), || timed(with()))
}

/// The median of what one measurement has more than the other.
fn in_pairs(without: impl Fn() -> Result<f64>, with: impl Fn() -> Result<f64>) -> Result<f64> {
    let mut differences = Vec::new();
    for round in 0..=PAIRS {
        let (without, with) = (without()?, with()?);
        // The first ones fill the cache.
        if round > 0 {
            differences.push(with - without);
        }
    }
    Ok(median(differences))
}
