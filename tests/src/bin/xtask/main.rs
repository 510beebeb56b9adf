//! The workspace's own commands: `cargo xtask …`.
//! Each does all of its set-up itself, so that a fresh machine needs nothing but cargo.

mod capture;
mod demo;
mod test;

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind};
use osderive_tests::{Places, bench};
use serde_json::json;

/// Builds, shows and tests osderive.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build `examples/debian-web` with osderive and without, and show what was committed and why.
    Demo {
        #[command(flatten)]
        engine: EngineChoice,
    },
    /// Check and test everything, on every kind of private engine.
    Test {
        /// Words of test names, as for `cargo test`; all tests without them.
        filters: Vec<String>,
    },
    /// Measure what osderive costs.
    Bench {
        /// Also write the figures to this file, as one flat JSON object.
        #[arg(long)]
        json: Option<PathBuf>,
        #[command(flatten)]
        engine: EngineChoice,
    },
    /// Start an engine that has the product and the base images, say how to reach it, and keep it
    /// until ctrl-c or the end of standard input.
    Engine {
        #[command(flatten)]
        engine: EngineChoice,
    },
    /// Build the base images as tar archives and print their paths.
    Base,
    /// Capture the definitions of the golden tests anew from the private engines.
    CaptureDefinitions,
}

#[derive(clap::Args)]
struct EngineChoice {
    /// The engine to use: `reachable`, or a private one such as `sid-graphdriver`
    /// [default: `$OSDERIVE_ENGINE`, else a reachable one, else `sid-graphdriver`].
    #[arg(long = "engine", value_name = "KIND")]
    kind: Option<Kind>,
}

impl EngineChoice {
    fn start(&self, places: &Places) -> Result<Engine> {
        Ok(Engine::select(self.kind, places)?)
    }
}

fn main() -> Result<ExitCode> {
    let places = Places::of_workspace()?;
    match Arguments::parse().task {
        Task::Demo { engine } => demo::run(&engine.start(&places)?, &places)?,
        Task::Test { filters } => return test::run(&filters, &places),
        Task::Bench { json, engine } => measure(json.as_deref(), &engine.start(&places)?, &places)?,
        Task::Engine { engine } => serve(&engine.start(&places)?, &places)?,
        Task::Base => build_bases(&places)?,
        Task::CaptureDefinitions => capture::run(&places)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(engine: &Engine, places: &Places) -> Result<()> {
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(places)?;
    println!("{} engine: {}", engine.kind(), engine.version());
    if let Some(log) = engine.log() {
        println!("its log: {}", log.display());
    }
    println!("reach it with:\n  {} docker …", engine.shell_prefix());
    println!("ctrl-c or the end of standard input ends it");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn build_bases(places: &Places) -> Result<()> {
    for base in [Base::Ostree, Base::Plain] {
        println!("{}", base.build(places)?.archive.display());
    }
    Ok(())
}

fn measure(file: Option<&Path>, engine: &Engine, places: &Places) -> Result<()> {
    let rebuild = bench::rebuild(engine, places)?;
    let wrapper = bench::wrapper(places)?;
    let round = |figure: f64| (figure * 100.0).round() / 100.0;
    let figures = json!({
        "noop_overhead_ms": round(rebuild.overhead_ms),
        "noop_engine_part_ms": round(rebuild.engine_part_ms),
        "wrapper_ms_100k": round(wrapper),
    });
    let text = format!("{figures:#}");
    println!("{} engine: {}\n{text}", engine.kind(), engine.version());
    if let Some(file) = file {
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
