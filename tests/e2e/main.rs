//! Real builds on real engines: given this Containerfile, this is what ends up in the image.
//! `OSDERIVE_ENGINES` lists the engine kinds to test on; without it, one is chosen as by
//! `cargo xtask engine`. Test names are prefixed by the engine's kind.

mod accounts;
mod attestations;
mod branches;
mod by_hand;
mod check;
mod commit;
mod dockerfile;
mod doors;
mod fidelity;
mod identity;
mod ids;
mod kernel;
mod lifecycle;
mod opt;
mod options;
mod packages;
mod previous;
mod step;
mod var;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use libtest_mimic::{Arguments, Trial};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind};
use osderive_tests::saved_image::Layer;
use osderive_tests::scenario::{self, Scenario};

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
        setup.tidy()?;
        Ok(setup)
    }

    /// Removes the folders, images and steps of tests, of which none may be running: several GB with one kind of
    /// engine.
    fn tidy(&self) -> Result<()> {
        let names = ["image", "ls", "--quiet", "--filter", "reference=e2e-*"];
        let images = self.run("list the tests' images", &names)?;
        let mut remove = vec!["image", "rm", "--force"];
        remove.extend(images.split_whitespace());
        if remove.len() > 3 {
            self.run("remove the tests' images", &remove)?;
        }
        self.empty_cache()?;
        Ok(scenario::remove_folders(&self.engine, &self.places)?)
    }

    /// Forgets the steps of former runs, whose logs tests would miss; says whether it did. The cache of the
    /// user's own engine is not ours to empty.
    fn empty_cache(&self) -> Result<bool> {
        if self.engine.kind() == Kind::Reachable {
            return Ok(false);
        }
        self.run("empty the cache", &["builder", "prune", "--all", "--force"])?;
        Ok(true)
    }

    /// What a docker command prints.
    fn run(&self, action: &str, arguments: &[&str]) -> Result<String> {
        let output = self.engine.docker().args(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "failed to {action}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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

/// Whether the scenario's image has what its last instruction left at `path`.
fn top_has(scenario: &Scenario<'_>, path: &str) -> bool {
    let image = scenario.saved(1).expect("a readable image");
    image.shipped().contains_key(path)
}

type Test = (&'static str, fn(&Setup));

/// A group's tests as a table whose names are the functions'.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] = &[$((stringify!($name), $name)),*];
    };
}

const GROUPS: &[(&str, &[Test])] = &[
    ("attestations", attestations::TESTS),
    ("commit", commit::TESTS),
    ("dockerfile", dockerfile::TESTS),
    ("fidelity", fidelity::TESTS),
    ("lifecycle", lifecycle::TESTS),
    ("options", options::TESTS),
    ("step", step::TESTS),
];

/// What the check of the finished image tells. One kind is enough, the last: with another image store it could be
/// asked less.
const CHECKS: &[(&str, &[Test])] = &[("check", check::TESTS)];

/// What becomes of a step's work, in minutes: the tool does the same on every engine, so one kind is
/// enough. It is the one that users of `cargo xtask` get; the first has those of [`ONCE`].
const SYNTHESIS: &[(&str, &[Test])] = &[
    ("accounts", accounts::TESTS),
    ("branches", branches::TESTS),
    ("by_hand", by_hand::TESTS),
    ("ids", ids::TESTS),
    ("identity", identity::TESTS),
    ("kernel", kernel::TESTS),
    ("opt", opt::TESTS),
    ("packages", packages::TESTS),
    ("previous", previous::TESTS),
    ("var", var::TESTS),
];

/// Tests that change what all builds of an engine share; they run one by one after the others.
const ALONE: [(&str, &[Test]); 1] = [("lifecycle", lifecycle::ALONE)];

/// Tests that take minutes and gigabytes and that the engine's kind makes no difference to; they run
/// one by one on the first kind only, when the others' images are gone.
const ONCE: [(&str, &[Test]); 2] = [("doors", doors::ONCE), ("packages", packages::ONCE)];

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    if arguments.list {
        let mut all = trials(GROUPS, "any", None);
        all.extend(trials(CHECKS, "any", None));
        all.extend(trials(SYNTHESIS, "any", None));
        all.extend(trials(&ALONE, "any", None));
        all.extend(trials(&ONCE, "any", None));
        return Ok(libtest_mimic::run(&arguments, all).exit_code());
    }
    let places = Places::of_workspace()?;
    let mut failed = false;
    let kinds = kinds()?;
    let last = kinds.len() - 1;
    let default = kinds.iter().position(|kind| *kind == Some(Kind::DEFAULT));
    let of_synthesis = default.unwrap_or(last);
    for (index, kind) in kinds.into_iter().enumerate() {
        let engine = match kind {
            Some(kind) => Engine::start(kind, &places)?,
            None => Engine::select(None, &places)?,
        };
        let name = engine.kind().name();
        println!("\n{name} engine: {}", engine.version());
        let setup = Arc::new(Setup::new(engine, &places)?);
        let mut together = trials(GROUPS, name, Some(&setup));
        if index == last {
            together.extend(trials(CHECKS, name, Some(&setup)));
        }
        if index == of_synthesis {
            together.extend(trials(SYNTHESIS, name, Some(&setup)));
        }
        failed |= libtest_mimic::run(&arguments, together).has_failed();
        let one_by_one = Arguments {
            test_threads: Some(1),
            ..arguments.clone()
        };
        let alone = trials(&ALONE, name, Some(&setup));
        failed |= libtest_mimic::run(&one_by_one, alone).has_failed();
        setup.tidy()?;
        if index == 0 {
            let once = trials(&ONCE, name, Some(&setup));
            failed |= libtest_mimic::run(&one_by_one, once).has_failed();
            setup.tidy()?;
        }
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
