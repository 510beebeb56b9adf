//! Which units fail at the first boot of an image, and why: what systemd asks of a unit before it
//! runs anything of it, answered on the [`Machine`] of an image.

mod conditions;
mod holds;
mod namespace;
mod state;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use self::trial::Trial;
use crate::machine::{History, Machine};
use crate::packages::{self, Package};
use crate::units::{Start, Unit};
use crate::{Certainty, Image};

/// One unit that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// Its name.
    pub unit: String,
    /// When it is started.
    pub start: Start,
    /// On which machines.
    pub fails_on: FailsOn,
    /// Why.
    pub reason: Reason,
    /// Where that is said.
    pub place: SaidAt,
    /// What keeps it from being a fact.
    pub doubts: BTreeSet<Doubt>,
    /// Whether a package's own unit says so. Where that fails, it fails on an ordinary system with the package as well, and
    /// whoever builds an image cannot help it.
    pub is_of_package: bool,
}

/// Something that only a machine knows, for which a unit may not fail after all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// Nothing of the boot surely starts the unit.
    NotStarted,
    /// A condition of the unit decides on the machine.
    Conditions {
        /// Whether it holds on most machines.
        usually: bool,
    },
    /// What is missing lies where programs write, so one of them may make it first.
    MadeByOthers,
    /// Another service of accounts may know the account: its name in nsswitch.conf.
    OtherAccounts(String),
    /// A unit that may run then has the account as its `DynamicUser=`: its name.
    DynamicUser(String),
    /// A generator may make the unit that is missing: its path.
    Generator(String),
    /// systemd-tmpfiles makes what is missing, and nothing orders the unit after it.
    BeforeTmpfiles,
}

impl Prediction {
    /// Whether the unit fails on each machine that is installed with the image, whatever happens there, by what the
    /// image's author brought. A machine that is upgraded has a state of its own, which no image tells.
    pub fn is_fact(&self) -> bool {
        self.reason.certainty() == Certainty::Certain
            && self.doubts.is_empty()
            && self.fails_on.fresh
            && !self.is_of_package
    }

    /// How sure it is, with what is in doubt: where the conditions of a unit mostly do not hold, it does not
    /// start on most machines, and so does not fail.
    pub fn certainty(&self) -> Certainty {
        let of_doubts = self.doubts.iter().map(|doubt| match doubt {
            // Which comes first is decided anew at each boot.
            Doubt::Conditions { usually: false } | Doubt::BeforeTmpfiles => Certainty::Possible,
            _ => Certainty::Likely,
        });
        let least = of_doubts.max().unwrap_or(Certainty::Certain);
        least.max(self.reason.certainty())
    }

    /// For messages: what becomes of the unit.
    pub fn outcome(&self) -> &'static str {
        if matches!(self.reason, Reason::Condition { .. }) {
            "is not started"
        } else if self.doubts.contains(&Doubt::NotStarted) {
            "fails, once it is started,"
        } else {
            "fails"
        }
    }

    /// For messages, behind the reason: what the failure depends on; empty for a fact.
    pub fn unless(&self) -> String {
        let texts = self.doubts.iter().filter_map(|doubt| match doubt {
            // Said before the reason.
            Doubt::NotStarted => None,
            Doubt::Conditions { .. } => Some("where its conditions hold".to_owned()),
            Doubt::MadeByOthers => Some("unless something makes it first".to_owned()),
            Doubt::OtherAccounts(service) => {
                Some(format!("unless `{service}` of nsswitch.conf knows it"))
            }
            Doubt::DynamicUser(unit) => Some(format!("unless {unit} runs, which makes it")),
            Doubt::Generator(path) => Some(format!("unless /{path} makes it")),
            Doubt::BeforeTmpfiles => {
                Some("where it starts before systemd-tmpfiles-setup.service".to_owned())
            }
        });
        let texts: Vec<String> = texts.collect();
        match texts.as_slice() {
            [] => String::new(),
            texts => format!(", {}", texts.join(" and ")),
        }
    }
}

/// Where a unit says something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidAt {
    /// The absolute path of the unit's file or of a drop-in.
    pub file: String,
    /// The line, from 1; none where no line says it.
    pub line: Option<u32>,
}

/// The machines that a unit fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailsOn {
    /// One that is installed with the image.
    pub fresh: bool,
    /// One that is upgraded to it, on which an account was added before.
    pub upgraded: bool,
}

impl FailsOn {
    const FRESH: Self = Self {
        fresh: true,
        upgraded: false,
    };
    const UPGRADED: Self = Self {
        fresh: false,
        upgraded: true,
    };

    /// For messages: `on every machine`, `on machines upgraded to the image`.
    pub fn text(self) -> &'static str {
        match (self.fresh, self.upgraded) {
            (true, false) => "on machines installed with the image",
            (false, true) => "on machines upgraded to the image",
            _ => "on every machine",
        }
    }
}

/// Why a unit fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// `User=` names nobody.
    User(String),
    /// `Group=` or `SupplementaryGroups=` names no group.
    Group(String),
    /// A program is missing.
    Program(String),
    /// A program may not be executed.
    NotExecutable(String),
    /// A script's interpreter is missing.
    Interpreter {
        /// The script.
        script: String,
        /// What its first line names.
        interpreter: String,
    },
    /// A directory is missing that the unit is to run in.
    WorkingDirectory(String),
    /// A path is missing that the unit's own view of the file system is made with.
    Namespace {
        /// The setting's name.
        key: &'static str,
        /// The path.
        path: String,
    },
    /// The directory of a file is missing that the unit writes its output to.
    Output(String),
    /// A file of variables is missing.
    Environment(String),
    /// What it asserts is not so.
    Assertion {
        /// The setting's name.
        key: String,
        /// Its value, with a `!` before what shall not be.
        value: String,
    },
    /// A condition asks for something in /var that the image was built with or the unit's package brings, and that is lost:
    /// the unit does not fail, and does not start.
    Condition {
        /// The setting's name.
        key: String,
        /// Its value.
        value: String,
    },
    /// A unit that it cannot do without is missing, or masked.
    Requires {
        /// The unit's name.
        unit: String,
        /// Whether it is there, and masked.
        masked: bool,
    },
    /// A user is missing that the installation of the unit's package has made: nearly all programs
    /// then fail to become that user.
    PackageUser {
        /// The user's name.
        user: String,
        /// The package.
        package: String,
    },
    /// A group is missing that the installation of the unit's package has made and its configuration names.
    PackageGroup {
        /// The group's name.
        group: String,
        /// The package.
        package: String,
    },
    /// A user of the unit may not look into a directory, whose mode or owner the import loses.
    Unreachable {
        /// The directory.
        directory: String,
        /// The user's name.
        user: String,
    },
    /// A directory at the top level is dropped by the import that the installation of the unit's package has made.
    TopLevel {
        /// The directory.
        path: String,
        /// The package.
        package: String,
    },
    /// Something in /var is missing that the unit's package brings, or that the unit says it needs:
    /// some programs fail without, some make it.
    State {
        /// The path.
        path: String,
        /// The package; empty where the unit itself names the path.
        package: String,
        /// Whether that is more than possible: the unit, a script of it or its package's configuration
        /// names the directory.
        is_likely: bool,
    },
}

impl Reason {
    /// Whether systemd itself looks for a path before it starts the unit's program, and misses it.
    fn is_of_a_path(&self) -> bool {
        matches!(
            self,
            Self::Assertion { .. }
                | Self::Program(_)
                | Self::Interpreter { .. }
                | Self::WorkingDirectory(_)
                | Self::Namespace { .. }
                | Self::Output(_)
                | Self::Environment(_)
        )
    }

    /// How sure the unit fails.
    pub fn certainty(&self) -> Certainty {
        match self {
            // Whoever asserts something may want it so.
            Self::Assertion { .. }
            | Self::Condition { .. }
            | Self::PackageUser { .. }
            | Self::PackageGroup { .. }
            | Self::Unreachable { .. }
            | Self::TopLevel { .. } => Certainty::Likely,
            Self::State { is_likely, .. } if *is_likely => Certainty::Likely,
            Self::State { .. } => Certainty::Possible,
            _ => Certainty::Certain,
        }
    }

    /// The status that systemd tells (systemd.exec(5), "Process Exit Codes"); none where the unit
    /// fails by other means.
    pub fn status(&self) -> Option<&'static str> {
        match self {
            Self::User(_) => Some("217/USER"),
            Self::Group(_) => Some("216/GROUP"),
            Self::Program(_) | Self::NotExecutable(_) | Self::Interpreter { .. } => {
                Some("203/EXEC")
            }
            Self::WorkingDirectory(_) => Some("200/CHDIR"),
            Self::Namespace { .. } => Some("226/NAMESPACE"),
            Self::Output(_) => Some("209/STDOUT"),
            Self::Environment(_)
            | Self::Assertion { .. }
            | Self::Condition { .. }
            | Self::Requires { .. }
            | Self::PackageUser { .. }
            | Self::PackageGroup { .. }
            | Self::Unreachable { .. }
            | Self::TopLevel { .. }
            | Self::State { .. } => None,
        }
    }
}

/// The units that fail at the first boot, by name: on a machine that is installed with the image,
/// and on one that is upgraded to it. What the base image has already is told as well: a caller
/// who knows the base subtracts what it predicts of that one.
pub fn predict(image: &Image<'_>) -> Vec<Prediction> {
    let mut search = Search {
        image,
        packages: packages::by_unit(image),
        found: BTreeMap::new(),
    };
    let [fresh, upgraded] =
        [History::Fresh, History::Upgraded].map(|history| Machine::boot(image, history));
    search.look_on(&fresh, FailsOn::FRESH);
    search.look_on(&upgraded, FailsOn::UPGRADED);
    search.look_before_tmpfiles(&fresh, FailsOn::FRESH);
    search.look_before_tmpfiles(&upgraded, FailsOn::UPGRADED);
    search.found.into_values().collect()
}

/// What is asked, and what was found.
struct Search<'a> {
    image: &'a Image<'a>,
    packages: BTreeMap<String, Rc<Package>>,
    found: BTreeMap<(String, Reason), Prediction>,
}

impl Search<'_> {
    fn look_on(&mut self, machine: &Machine<'_>, fails_on: FailsOn) {
        let image = self.image;
        for (unit, start) in image.units().starting() {
            let trial = Trial {
                image,
                machine,
                unit,
            };
            let package = self.packages.get(unit_file(unit));
            for failure in trial.failures(start, package.map(|package| &**package)) {
                let doubts = trial.doubts(start, &failure.0);
                let is_assertion = matches!(failure.0, Reason::Assertion { .. });
                // Whoever makes it may do so before.
                if !(is_assertion && doubts.contains(&Doubt::MadeByOthers)) {
                    self.add(unit, start, failure, doubts, fails_on);
                }
            }
        }
    }

    /// Adds what fails on a machine only where the unit starts before systemd-tmpfiles has made the files of /var. A machine
    /// that is upgraded has from before what its old image declared, and not what the unit's package is the first to bring.
    fn look_before_tmpfiles(&mut self, machine: &Machine<'_>, fails_on: FailsOn) {
        let image = self.image;
        let units = image.units();
        let early = units.early();
        let before = Machine::before_tmpfiles(image);
        for (unit, start) in units.starting() {
            if !early.contains(&unit.name) {
                continue;
            }
            let [before, after] = [&before, machine].map(|machine| Trial {
                image,
                machine,
                unit,
            });
            let package = self.packages.get(unit_file(unit)).cloned();
            let later = after.failures(start, package.as_deref());
            for failure in before.failures(start, package.as_deref()) {
                let (reason, _) = &failure;
                let is_later = later.iter().any(|(later, _)| later == reason);
                let is_asked = match reason {
                    Reason::State { is_likely, .. } => *is_likely,
                    _ => fails_on == FailsOn::FRESH && reason.is_of_a_path(),
                };
                if is_later || !is_asked {
                    continue;
                }
                let mut doubts = before.doubts(start, reason);
                doubts.remove(&Doubt::MadeByOthers);
                doubts.insert(Doubt::BeforeTmpfiles);
                self.add(unit, start, failure, doubts, fails_on);
            }
        }
    }

    fn add(
        &mut self,
        unit: &Unit,
        start: Start,
        (reason, place): (Reason, SaidAt),
        doubts: BTreeSet<Doubt>,
        fails_on: FailsOn,
    ) {
        let name = unit.name.as_str();
        let key = (name.to_owned(), reason.clone());
        let is_of_package = self.is_of_package(&place.file);
        let prediction = self.found.entry(key).or_insert_with(|| Prediction {
            unit: name.to_owned(),
            start,
            fails_on: FailsOn::default(),
            reason,
            place,
            doubts: BTreeSet::new(),
            is_of_package,
        });
        prediction.doubts.extend(doubts);
        prediction.fails_on.fresh |= fails_on.fresh;
        prediction.fails_on.upgraded |= fails_on.upgraded;
    }

    /// Whether a file is a unit as a package brings it. What is in /etc and what is a drop-in are others'.
    fn is_of_package(&self, file: &str) -> bool {
        let places = ["/usr/lib/systemd/system/", "/lib/systemd/system/"];
        let mut names = places.iter().filter_map(|place| file.strip_prefix(place));
        names.any(|name| self.packages.contains_key(name))
    }
}

/// The file name of the unit or its template.
fn unit_file(unit: &Unit) -> &str {
    let file = unit.files.first().map_or("", String::as_str);
    file.rsplit('/').next().unwrap_or(file)
}
