//! The workspace's own commands: `cargo xtask …`.
//! Each does all of its set-up itself, so that a fresh machine needs nothing but cargo.

use std::io::{Read, stdin};

use anyhow::Result;
use clap::{Parser, Subcommand};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind};

/// Builds, shows and tests osderive.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start an engine, say how to reach it, and keep it until ctrl-c or the end of standard input.
    Engine {
        /// reachable, trixie-graphdriver, trixie-containerd or sid
        /// [default: `$OSDERIVE_ENGINE`, else a reachable one, else sid].
        #[arg(long)]
        kind: Option<Kind>,
    },
    /// Build the base images as tar archives and print their paths.
    Base,
}

fn main() -> Result<()> {
    let places = Places::of_workspace()?;
    match Arguments::parse().task {
        Task::Engine { kind } => serve(kind, &places),
        Task::Base => build_bases(&places),
    }
}

fn serve(kind: Option<Kind>, places: &Places) -> Result<()> {
    let engine = Engine::select(kind, places)?;
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
