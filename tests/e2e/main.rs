//! Real builds on real engines: given this Containerfile, this is what ends up in the image.
//! `OSDERIVE_ENGINES` says on which kinds of engine ([`Selection`]); without it, one is chosen as by
//! `cargo xtask engine`. Test names are prefixed by the engine's kind. An engine starts with its first test.

mod accounts;
mod attestations;
mod branches;
mod by_hand;
mod check;
mod ci;
mod commit;
mod dockerfile;
mod doors;
mod fedora;
mod fidelity;
mod flags;
mod host;
mod identity;
mod ids;
mod image;
mod kernel;
mod lifecycle;
mod needs;
mod opt;
mod options;
mod packages;
mod platforms;
mod podman;
mod previous;
mod rootless;
mod step;
mod var;

use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind, Selection};
use osderive_tests::product::Profile;
use osderive_tests::saved_image::Layer;
use osderive_tests::scenario::{self, Door, Scenario};

use needs::Need;

/// The Containerfile's first line that makes osderive the frontend.
const SYNTAX: &str = "# syntax=osderive";

/// An engine that has the base images and the frontend image.
struct Setup {
    engine: Engine,
    places: Places,
    door: Door,
    /// Whether [`host::load_bases`] is done.
    has_bases_for_podman: OnceLock<()>,
}

impl Setup {
    fn new(engine: Engine, places: &Places, door: Door) -> Result<Self> {
        engine.load_base(Base::Ostree, places)?;
        engine.load_base(Base::Plain, places)?;
        engine.load_frontend(Profile::Test, places)?;
        let setup = Self {
            engine,
            places: places.clone(),
            door,
            has_bases_for_podman: OnceLock::new(),
        };
        setup.tidy()?;
        match door {
            Door::Docker => setup.warm_bases()?,
            Door::Host { .. } => {
                host::load_bases(&setup);
                setup
                    .engine
                    .load_frontend_for_podman(Profile::Test, places)?;
            }
        }
        Ok(setup)
    }

    /// Has the engine look at each base once, by itself. BuildKit before 0.32 does not tell builds of a FROM that it
    /// looked at first while one of them goes on: its cache is not asked then, and rebuilds beside other tests run
    /// every step again (moby/buildkit#6955).
    fn warm_bases(&self) -> Result<()> {
        for base in [Base::Ostree, Base::Plain] {
            let containerfile = format!("FROM {}\n", base.name());
            let scenario = self.scenario(&format!("warm-{}", base.name()), &containerfile);
            scenario.build(&[])?.expect_success();
        }
        Ok(())
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
        if self.empty_cache()? {
            host::remove_images(self)?;
        }
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
        printed_by(self.engine.docker().args(arguments), action)
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
            .by(self.door)
    }
}

/// What a command prints.
fn printed_by(command: &mut Command, action: &str) -> Result<String> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "failed to {action}: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The paths of a layer that begin with `prefix`.
fn below<'a>(layer: &'a Layer, prefix: &str) -> Vec<&'a str> {
    let paths = layer.keys().map(String::as_str);
    paths.filter(|path| path.starts_with(prefix)).collect()
}

/// A test of an engine.
struct Test {
    name: &'static str,
    needs: Need,
    run: fn(&Setup),
}

/// A group's tests as a table whose names are the functions', each with what it [`Need`]s after a colon. The table is
/// `TESTS` if no other name is given.
#[macro_export]
macro_rules! tests {
    ($table:ident = $($name:ident $(: $need:ident)?),* $(,)?) => {
        pub(crate) const $table: &[$crate::Test] = &[$($crate::Test {
            name: stringify!($name),
            needs: [$($crate::Need::$need,)? $crate::Need::Nothing][0],
            run: $name,
        }),*];
    };
    ($($test:tt)*) => {
        $crate::tests!(TESTS = $($test)*);
    };
}

type Group = (&'static str, &'static [Test]);

/// On which kinds of engine tests run if nobody says.
#[derive(Clone, Copy)]
enum On {
    /// Two opposite ones.
    Two,
    /// This one.
    One(Kind),
    /// None.
    None,
}

/// Groups of tests that run on the same kinds of engine.
struct Part {
    on: On,
    groups: &'static [Group],
}

/// What an engine may do in its own way.
const GROUPS: Part = Part {
    on: On::Two,
    groups: &[
        ("attestations", attestations::TESTS),
        ("commit", commit::TESTS),
        ("dockerfile", dockerfile::TESTS),
        ("fidelity", fidelity::TESTS),
        ("lifecycle", lifecycle::TESTS),
        ("options", options::TESTS),
        ("step", step::TESTS),
    ],
};

/// What the check of the finished image tells. One kind is enough, of which most can be asked.
const CHECKS: Part = Part {
    on: On::One(Kind::SidContainerd),
    groups: &[("check", check::TESTS)],
};

/// What becomes of a step's work, in minutes: the tool does the same on every engine, so one kind is
/// enough. It is the one that users of `cargo xtask` get.
const SYNTHESIS: Part = Part {
    on: On::One(Kind::DEFAULT),
    groups: &[
        ("accounts", accounts::TESTS),
        ("branches", branches::TESTS),
        ("by_hand", by_hand::TESTS),
        ("ci", ci::TESTS),
        ("fedora", fedora::TESTS),
        ("flags", flags::TESTS),
        ("ids", ids::TESTS),
        ("identity", identity::TESTS),
        ("image", image::TESTS),
        ("kernel", kernel::TESTS),
        ("opt", opt::TESTS),
        ("packages", packages::TESTS),
        ("platforms", platforms::TESTS),
        ("podman", podman::TESTS),
        ("previous", previous::TESTS),
        ("rootless", rootless::TESTS),
        ("var", var::TESTS),
    ],
};

/// Tests that only `cargo xtask test --all-engines` has the time for.
const SELDOM: Part = Part {
    on: On::None,
    groups: &[
        ("fedora", fedora::OF_OTHER_SHAPES),
        ("flags", flags::LONG),
        ("image", image::OF_OTHER_MACHINES),
    ],
};

/// What podman and buildah do as well, by the host command. `OSDERIVE_DOOR` asks for it.
const OF_ANY_DOOR: Part = Part {
    on: On::One(Kind::DEFAULT),
    groups: &[
        ("accounts", accounts::TESTS),
        ("branches", branches::TESTS),
        ("check", check::TESTS),
        ("commit", commit::TESTS),
        ("identity", identity::TESTS),
        ("ids", ids::TESTS),
        ("image", image::TESTS),
        ("kernel", kernel::TESTS),
        ("opt", opt::TESTS),
        ("options", options::TESTS),
        ("packages", packages::TESTS),
        ("previous", previous::TESTS),
        ("step", step::TESTS),
        ("var", var::TESTS),
    ],
};

/// The door that `OSDERIVE_DOOR` names, but for the program: engine and isolation.
fn door_of_environment() -> Result<Option<(&'static str, &'static str)>> {
    let Some(name) = std::env::var_os("OSDERIVE_DOOR") else {
        return Ok(None);
    };
    Ok(match name.to_str() {
        Some("docker") => None,
        Some("podman") => Some(("podman", "oci")),
        Some("buildah") => Some(("buildah", "oci")),
        Some("chroot") => Some(("buildah", "chroot")),
        _ => anyhow::bail!("OSDERIVE_DOOR: there are docker, podman, buildah and chroot"),
    })
}

/// Tests that change what all builds of an engine share; they run one by one after the others.
const ALONE: Part = Part {
    on: On::Two,
    groups: &[("lifecycle", lifecycle::ALONE)],
};

/// The same where one kind of engine is enough.
const ALONE_ON_ONE: Part = Part {
    on: On::One(Kind::DEFAULT),
    groups: &[("podman", podman::ALONE)],
};

/// Tests that take minutes and gigabytes and that the engine's kind makes no difference to. They run one by one and take away
/// their images. `cargo xtask test` runs them beside the others.
const LARGE: Part = Part {
    on: On::One(Kind::TrixieGraphdriver),
    groups: &[
        ("doors", doors::LARGE),
        ("fedora", fedora::LARGE),
        ("packages", packages::LARGE),
    ],
};

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    // Builds wait for disks and processes now and then: one more than there are processors leaves them less idle.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(processors + 1);
    let places = Places::of_workspace()?;
    let selection = Selection::from_environment()?;
    let kinds: Vec<Option<Kind>> = match &selection {
        Selection::Any => vec![None],
        Selection::Opposite => Kind::PRIVATE.map(Some).to_vec(),
        Selection::Each(kinds) => kinds.iter().copied().map(Some).collect(),
    };
    let door = door_of_environment()?;
    let engines = kinds.iter().map(|kind| OnDemand::new(*kind, door, &places));
    if arguments.list {
        let parts: &[Part] = match door {
            Some(_) => &[OF_ANY_DOOR],
            None => &[GROUPS, CHECKS, SYNTHESIS, SELDOM, ALONE, ALONE_ON_ONE],
        };
        let large: &[Part] = if door.is_some() { &[] } else { &[LARGE] };
        let all = engines.flat_map(|engine| {
            let trials = trials(parts, &selection, &engine);
            trials
                .into_iter()
                .chain(ignored(large, &selection, &engine))
        });
        return Ok(libtest_mimic::run(&arguments, all.collect()).exit_code());
    }
    let one_by_one = Arguments {
        test_threads: Some(1),
        ..arguments.clone()
    };
    let mut failed = false;
    for engine in engines {
        let mut run = |trials: Vec<Trial>, arguments: &Arguments| {
            failed |= libtest_mimic::run(arguments, trials).has_failed();
        };
        let of = |parts: &[Part]| trials(parts, &selection, &engine);
        if door.is_some() {
            run(of(&[OF_ANY_DOOR]), &arguments);
            engine.tidy()?;
            continue;
        }
        run(of(&[SYNTHESIS, SELDOM, GROUPS, CHECKS]), &arguments);
        run(of(&[ALONE, ALONE_ON_ONE]), &one_by_one);
        engine.tidy()?;
        run(ignored(&[LARGE], &selection, &engine), &one_by_one);
        engine.tidy()?;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// The tests of these parts that an engine is to have.
fn trials(parts: &[Part], selection: &Selection, engine: &Arc<OnDemand>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for part in parts {
        let groups = part.groups.iter();
        let tests = groups.flat_map(|(group, tests)| tests.iter().map(move |test| (group, test)));
        for (number, (group, test)) in tests.enumerate() {
            let is_for_door = engine.door.is_none() || test.needs.met_by_any_door();
            if is_for_door && part.is_for(engine.kind, selection, number, test.needs) {
                let name = format!("{}::{group}::{}", engine.name(), test.name);
                let engine = Arc::clone(engine);
                trials.push(Trial::ignorable_test(name, move || engine.run(test)));
            }
        }
    }
    trials
}

/// The same as tests that are ignored unless they are asked for.
fn ignored(parts: &[Part], selection: &Selection, engine: &Arc<OnDemand>) -> Vec<Trial> {
    let trials = trials(parts, selection, engine).into_iter();
    trials.map(|trial| trial.with_ignored_flag(true)).collect()
}

impl Part {
    /// Whether a kind of engine is to have the part's test with this number.
    fn is_for(
        &self,
        kind: Option<Kind>,
        selection: &Selection,
        number: usize,
        needs: Need,
    ) -> bool {
        let Some(kind) = kind else { return true };
        match (selection, self.on) {
            (Selection::Opposite, On::None) => false,
            (Selection::Opposite, On::One(one)) => one == kind,
            (Selection::Opposite, On::Two) => {
                let pairs = (number..number + 2).map(|number| selection.kinds(number));
                let has_the_needed = |pair: &Vec<Kind>| pair.iter().any(|kind| needs.met_by(*kind));
                let mut pairs = pairs.filter(has_the_needed);
                pairs.next().is_some_and(|pair| pair.contains(&kind))
            }
            _ => true,
        }
    }
}

/// An engine of this kind, or whichever there is, from its first test on.
struct OnDemand {
    kind: Option<Kind>,
    /// Engine and isolation of another door than Docker's.
    door: Option<(&'static str, &'static str)>,
    places: Places,
    setup: OnceLock<Result<Setup, String>>,
}

impl OnDemand {
    fn new(
        kind: Option<Kind>,
        door: Option<(&'static str, &'static str)>,
        places: &Places,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            door,
            places: places.clone(),
            setup: OnceLock::new(),
        })
    }

    fn name(&self) -> &'static str {
        self.kind.map_or("any", Kind::name)
    }

    fn door(&self) -> Door {
        let Some((engine, isolation)) = self.door else {
            return Door::Docker;
        };
        Door::Host {
            osderive: host::osderive(&self.places),
            engine,
            isolation,
        }
    }

    fn start(&self) -> Result<Setup> {
        let engine = match self.kind {
            Some(kind) => Engine::start(kind, &self.places)?,
            None => Engine::select(None, &self.places)?,
        };
        println!("{} engine: {}", engine.kind(), engine.version());
        Setup::new(engine, &self.places, self.door())
    }

    /// A test that the engine has not what it needs for is told as ignored.
    fn run(&self, test: &Test) -> Result<Completion, Failed> {
        let setup = (self.setup).get_or_init(|| self.start().map_err(|error| format!("{error:#}")));
        let setup = setup.as_ref()?;
        if let Some(reason) = test.needs.missing_in(&setup.engine) {
            return Ok(Completion::ignored_with(reason));
        }
        (test.run)(setup);
        Ok(Completion::Completed)
    }

    /// Removes what its tests left, if there were any.
    fn tidy(&self) -> Result<()> {
        match self.setup.get() {
            Some(Ok(setup)) => setup.tidy(),
            _ => Ok(()),
        }
    }
}
