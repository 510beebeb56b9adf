//! What osderive costs a build by podman.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::{INSTRUCTIONS, median, milliseconds};
use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Result, io_error};
use crate::places::Places;
use crate::process::capture;
use crate::product::{self, Profile};
use crate::scenario::Scenario;

const PAIRS: usize = 10;

/// RUNs of the build that the runtime is measured in.
const RUNS: u16 = 10;

/// Medians over pairs, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Podman {
    /// What a rebuild of an unchanged Containerfile takes longer than without osderive.
    pub noop_overhead_ms: f64,
    /// What our runtime adds to a RUN that does not ask for a commit.
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

    let runs = format!("FROM debian-plain\n{}", "RUN true\n".repeat(RUNS.into()));
    let unchanged = scenario("bench-shim", &runs)?;
    let runtime = unchanged.folder().join("osderive-runtime");
    let tool = product::tool(Profile::Release, places)?;
    symlink(tool, &runtime).map_err(io_error("link", &runtime))?;
    let build = |runtime: &Path| {
        let mut command = engine.command("podman");
        command
            .current_dir(unchanged.folder())
            .args([
                "build",
                "--quiet",
                "--network=host",
                "--no-cache",
                "--layers=false",
            ])
            .arg("--runtime")
            .arg(runtime)
            .arg(".");
        command
    };
    let of_build = difference(|| build(Path::new("crun")), || build(&runtime))?;
    Ok(Podman {
        noop_overhead_ms,
        shim_ms: of_build / f64::from(RUNS),
    })
}

/// How much longer a command takes than another one.
fn difference(without: impl Fn() -> Command, with: impl Fn() -> Command) -> Result<f64> {
    let timed = |mut command: Command| {
        let start = std::time::Instant::now();
        capture("build with podman", &mut command)?;
        Ok(milliseconds(start.elapsed()))
    };
    let mut differences = Vec::new();
    for round in 0..=PAIRS {
        let (without, with) = (timed(without())?, timed(with())?);
        // The first ones fill the cache.
        if round > 0 {
            differences.push(with - without);
        }
    }
    Ok(median(differences))
}
