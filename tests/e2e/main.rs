//! Real builds on real engines: given this Containerfile, this is what ends up in the image.
//! `OSDERIVE_ENGINES` lists the engine kinds to test on; without it, one is chosen as by
//! `cargo xtask engine`. Test names are prefixed by the engine's kind.

mod accounts;
mod attestations;
mod by_hand;
mod commit;
mod dockerfile;
mod fidelity;
mod lifecycle;
mod options;
mod step;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind};
use osderive_tests::saved_image::Layer;
use osderive_tests::scenario::Scenario;

/// The Containerfile's first line that makes osderive the frontend.
const SYNTAX: &str = "# syntax=osderive";

/// An engine that has the base images and the frontend image.
struct Setup {
    engine: Engine,
    places: Places,
}

impl Setup {
    fn new(engine: Engine, places: &Places) -> Result<Self> {
        engine.load_base(Base::Ostree, places)?;
        engine.load_base(Base::Plain, places)?;
        engine.load_frontend(places)?;
        let setup = Self {
            engine,
            places: places.clone(),
        };
        setup.empty_cache()?;
        Ok(setup)
    }

    /// Forgets the steps of former runs, whose logs tests would miss; says whether it did. The cache of the
    /// user's own engine is not ours to empty.
    fn empty_cache(&self) -> Result<bool> {
        if self.engine.kind() == Kind::Reachable {
            return Ok(false);
        }
        let mut docker = self.engine.docker();
        let output = docker.args(["builder", "prune", "-af"]).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "emptying the cache: {errors}");
        Ok(true)
    }

    /// A scenario whose Containerfile derives from the bootable base with osderive.
    fn derive(&self, name: &str, instructions: &str) -> Scenario<'_> {
        let containerfile = format!("{SYNTAX}\nFROM debian-ostree-base\n{instructions}\n");
        self.scenario(name, &containerfile)
    }

    /// A scenario with this whole Containerfile.
    fn scenario(&self, name: &str, containerfile: &str) -> Scenario<'_> {
        Scenario::new(&self.engine, &self.places, name)
            .and_then(|scenario| scenario.file("Containerfile", containerfile))
            .expect("a context folder")
    }
}

/// The paths of a layer that begin with `prefix`.
fn below<'a>(layer: &'a Layer, prefix: &str) -> Vec<&'a str> {
    let paths = layer.keys().map(String::as_str);
    paths.filter(|path| path.starts_with(prefix)).collect()
}

/// Whether the top layer of the scenario's image has an entry at `path`.
fn top_has(scenario: &Scenario<'_>, path: &str) -> bool {
    let image = scenario.saved(1).expect("a readable image");
    image.top().contains_key(path)
}

type Test = (&'static str, fn(&Setup));

/// A group's tests as a table whose names are the functions'.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[$((stringify!($name), $name)),*];
    };
}

const GROUPS: [(&str, &[Test]); 9] = [
    ("accounts", accounts::TESTS),
    ("attestations", attestations::TESTS),
    ("by_hand", by_hand::TESTS),
    ("commit", commit::TESTS),
    ("dockerfile", dockerfile::TESTS),
    ("fidelity", fidelity::TESTS),
    ("lifecycle", lifecycle::TESTS),
    ("options", options::TESTS),
    ("step", step::TESTS),
];

/// Tests that change what all builds of an engine share; they run one by one after the others.
const ALONE: [(&str, &[Test]); 1] = [("lifecycle", lifecycle::ALONE)];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    if arguments.list {
        let mut all = trials(&GROUPS, "any", None);
        all.extend(trials(&ALONE, "any", None));
        return Ok(libtest_mimic::run(&arguments, all).exit_code());
    }
    let places = Places::of_workspace()?;
    let mut failed = false;
    for kind in kinds()? {
        let engine = match kind {
            Some(kind) => Engine::start(kind, &places)?,
            None => Engine::select(None, &places)?,
        };
        let name = engine.kind().name();
        println!("\n{name} engine: {}", engine.version());
        let setup = Arc::new(Setup::new(engine, &places)?);
        let together = trials(&GROUPS, name, Some(&setup));
        failed |= libtest_mimic::run(&arguments, together).has_failed();
        let one_by_one = Arguments {
            test_threads: Some(1),
            ..arguments.clone()
        };
        let alone = trials(&ALONE, name, Some(&setup));
        failed |= libtest_mimic::run(&one_by_one, alone).has_failed();
    }
    Ok(ExitCode::from(u8::from(failed)))
}

fn kinds() -> Result<Vec<Option<Kind>>> {
    let Ok(list) = std::env::var("OSDERIVE_ENGINES") else {
        return Ok(vec![None]);
    };
    list.split(',')
        .map(|kind| Ok(Some(kind.parse().context("in OSDERIVE_ENGINES")?)))
        .collect()
}

fn trials(
    groups: &[(&str, &'static [Test])],
    kind: &str,
    setup: Option<&Arc<Setup>>,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (group, tests) in groups {
        for (name, test) in *tests {
            let setup = setup.cloned();
            trials.push(Trial::test(format!("{kind}::{group}::{name}"), move || {
                if let Some(setup) = &setup {
                    test(setup);
                }
                Ok(())
            }));
        }
    }
    trials
}
