//! The workspace's own commands: `cargo xtask …`.
//! Each does all of its set-up itself, so that a fresh machine needs nothing but cargo.

mod boot;
mod boot_rate;
mod capture;
mod demo;
mod image;
mod test;

use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use osderive_tests::base::{Base, repository};
use osderive_tests::bench::Compared;
use osderive_tests::boot::Runner;
use osderive_tests::dist::dist;
use osderive_tests::engine::{Engine, Kind, Selection};
use osderive_tests::product::{Profile, install_host};
use osderive_tests::{Places, bench};
use serde_json::{Map, Value};

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
        /// How to build osderive: `product-test` takes a third of the time.
        #[arg(long, hide = true, default_value = "release")]
        profile: Profile,
    },
    /// Check and test everything, each end-to-end test on two opposite kinds of private engine.
    Test {
        /// Words of test names, as for `cargo test`; all tests without them.
        filters: Vec<String>,
        /// Run each end-to-end test on all four kinds of private engine, and by podman and buildah what is not about
        /// BuildKit. Build the product twice as users get it.
        #[arg(long)]
        all_engines: bool,
    },
    /// Measure what osderive costs.
    Bench {
        /// Only these figures; those of steps and of lints need no engine.
        #[arg(long, value_enum)]
        only: Option<Figures>,
        /// Also write the figures to this file, as one flat JSON object.
        #[arg(long)]
        json: Option<PathBuf>,
        /// Compare steps and lints with those of another build of `ostree-container`, in pairs.
        #[arg(long, value_name = "TOOL", conflicts_with = "json")]
        against: Option<PathBuf>,
        #[command(flatten)]
        engine: EngineChoice,
    },
    /// Start an engine that has the product and the base images, say how to reach it, and keep it
    /// until ctrl-c or the end of standard input.
    Engine {
        #[command(flatten)]
        engine: EngineChoice,
        /// How to build osderive: `product-test` takes a third of the time.
        #[arg(long, hide = true, default_value = "release")]
        profile: Profile,
    },
    /// Build the frontend image by an engine of this machine, for `# syntax=` lines, and push it where it is asked for.
    Image(image::Arguments),
    /// Build the host command `osderive`, for podman and buildah, and say where it is.
    Host,
    /// Build what people install the host command from: an archive, a .deb and an .rpm, with checksums and an SBOM.
    Dist {
        /// The folder that they are put into.
        #[arg(long, value_name = "DIR", default_value = "target/dist")]
        out: PathBuf,
        /// How to build osderive: `product-test` takes a third of the time.
        #[arg(long, hide = true, default_value = "release")]
        profile: Profile,
    },
    /// Boot an image of an engine, imported as clients do, and tell what became of it.
    Boot(boot::Arguments),
    /// Tell which of a list of packages boot, built with osderive and without.
    BootRate(boot_rate::Arguments),
    /// Build the base images as tar archives and print their paths.
    Base,
    /// Make the pages of docs/rules anew from the rules.
    Rules,
    /// Capture the definitions of the golden tests anew from the private engines.
    CaptureDefinitions,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figures {
    /// A rebuild in which nothing changed.
    Rebuild,
    /// What the tool adds to a step.
    Steps,
    /// What a lint costs.
    Lint,
    /// What a build by podman costs.
    Podman,
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

fn runner(is_fast: bool) -> Runner {
    if is_fast {
        Runner::Nspawn
    } else {
        Runner::Qemu
    }
}

/// An error is told in its own words: whoever runs these commands looks for the cause in what was tried, not in them.
fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    let places = Places::of_workspace()?;
    match Arguments::parse().task {
        Task::Demo { engine, profile } => demo::run(&engine.start(&places)?, profile, &places)?,
        Task::Test {
            filters,
            all_engines,
        } => {
            let engines = if all_engines {
                Selection::Each(Kind::PRIVATE.to_vec())
            } else {
                Selection::Opposite
            };
            return test::run(&filters, &engines, &places);
        }
        Task::Bench {
            only,
            against: Some(other),
            ..
        } => compare(only, &other, &places)?,
        Task::Bench {
            only, json, engine, ..
        } => measure(only, json.as_deref(), &engine, &places)?,
        Task::Rules => write_rules(&places)?,
        Task::Engine { engine, profile } => serve(&engine.start(&places)?, profile, &places)?,
        Task::Image(arguments) => image::run(&arguments, &places)?,
        Task::Host => println!("{}/osderive", install_host(&places)?.display()),
        Task::Dist { out, profile } => {
            dist(profile, &places, &out)?;
            println!("{}", out.display());
        }
        Task::Boot(arguments) => return boot::run(&arguments, &places),
        Task::BootRate(arguments) => boot_rate::run(&arguments, &places)?,
        Task::Base => build_bases(&places)?,
        Task::CaptureDefinitions => capture::run(&places)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(engine: &Engine, profile: Profile, places: &Places) -> Result<()> {
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(profile, places)?;
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
    for base in Base::ALL {
        println!("{}", base.build(places)?.archive.display());
    }
    println!("{}", repository(places)?.display());
    Ok(())
}

fn measure(
    only: Option<Figures>,
    file: Option<&Path>,
    engine: &EngineChoice,
    places: &Places,
) -> Result<()> {
    let is_wanted = |part| only.is_none_or(|only| only == part);
    let mut figures = Map::new();
    let mut add = |name: &str, figure: f64| {
        // What has been measured is not lost when the rest fails.
        eprintln!("  {name}: {figure:.2}");
        figures.insert(name.to_owned(), ((figure * 100.0).round() / 100.0).into());
    };
    if is_wanted(Figures::Rebuild) {
        let engine = engine.start(places)?;
        println!("{} engine: {}", engine.kind(), engine.version());
        let rebuild = bench::rebuild(&engine, places)?;
        add("noop_overhead_ms", rebuild.overhead_ms);
        add("noop_engine_part_ms", rebuild.engine_part_ms);
        add("noop_floor_ms", rebuild.floor_ms);
    }
    if is_wanted(Figures::Steps) {
        for steps in bench::steps(places)? {
            let size = steps.size;
            add(&format!("commit_noop_ms_{size}"), steps.noop_ms);
            add(&format!("commit_package_ms_{size}"), steps.package_ms);
            add(&format!("commit_10kfiles_ms_{size}"), steps.many_files_ms);
            if size == "100k" {
                add("wrapper_ms_100k", steps.noop_ms);
                add("wrapper_on_disk_ms_100k", steps.noop_on_disk_ms);
            }
        }
    }
    if is_wanted(Figures::Lint) {
        let lint = bench::lint(places)?;
        add("lint_vs_find_ratio_100k", lint.vs_find_100k);
        add("lint_peak_mib_100k", lint.peak_mib_100k);
        add("lint_peak_mib_1m", lint.peak_mib_1m);
        add("archive_vs_hash_ratio", lint.archive_vs_hash);
        add("lint_large_rpmdb_ratio", lint.large_rpmdb);
        add("lint_peak_mib_large_rpmdb", lint.peak_mib_large_rpmdb);
    }
    if is_wanted(Figures::Podman) {
        let podman = bench::podman(&engine.start(places)?, places)?;
        add("podman_noop_overhead_ms", podman.noop_overhead_ms);
        add("shim_ms", podman.shim_ms);
    }
    publish(&figures.into(), file)
}

fn compare(only: Option<Figures>, other: &Path, places: &Places) -> Result<()> {
    let is_wanted = |part| only.is_none_or(|only| only == part);
    let mut compared = Vec::new();
    if is_wanted(Figures::Lint) {
        compared.push(bench::lint_against(other, places)?);
    }
    if is_wanted(Figures::Steps) {
        compared.extend(bench::steps_against(other, places)?);
    }
    for Compared { name, other, ours } in compared {
        println!(
            "{name}: {other:.2} by the other, {ours:.2} by ours, {:.3} times",
            ours / other
        );
    }
    Ok(())
}

fn publish(figures: &Value, file: Option<&Path>) -> Result<()> {
    let text = format!("{figures:#}");
    println!("{text}");
    if let Some(file) = file {
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Writes the pages of all rules, and removes those of rules that are no more.
fn write_rules(places: &Places) -> Result<()> {
    let folder = places.workspace().join("docs/rules");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    for (name, text) in osderive_lints::rules::pages() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
