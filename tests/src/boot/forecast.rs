//! What the lints say beforehand of an image's first boot, and whether it came so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use osderive_lints::predict::{Doubt, Prediction};
use osderive_lints::tree::{Layered, Tree as _};
use osderive_lints::units::{Dependency, Start};
use osderive_lints::{Certainty, Image};
use serde::{Deserialize, Serialize};

use super::compare::losses;
use super::harness::Way;
use super::layout::Layout;
use super::report::{Report, UnitState};
use crate::error::{Error, Result};

/// A unit that the lints say fails, surely or probably. What merely may fail is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Expected {
    /// Its name.
    pub unit: String,
    /// Why.
    pub reason: String,
    /// Whether something of the boot starts it. Others fail once something does.
    pub is_at_boot: bool,
    /// Whether it fails on a machine that is installed with the image.
    pub fresh: bool,
    /// Whether it fails on one that is upgraded to it.
    pub upgraded: bool,
}

impl Expected {
    fn of(prediction: &Prediction) -> Self {
        Self {
            unit: prediction.unit.clone(),
            reason: format!("{:?}", prediction.reason),
            is_at_boot: prediction.start == Start::AtBoot,
            fresh: prediction.fails_on.fresh,
            upgraded: prediction.fails_on.upgraded,
        }
    }

    fn is_about(&self, way: Way) -> bool {
        match way {
            Way::Fresh => self.fresh,
            Way::Upgraded | Way::TakenId => self.upgraded,
        }
    }
}

/// What the lints say of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// What fails.
    pub expected: BTreeSet<Expected>,
    /// What fails as far as the lints know no package by its name.
    #[serde(default)]
    pub without_quirks: BTreeSet<Expected>,
    /// Units that start before or after what makes their files, as it comes: whether they fail, each boot decides anew.
    #[serde(default)]
    pub by_chance: BTreeSet<Expected>,
    /// The units that others do not start without, by those.
    pub required: BTreeMap<String, BTreeSet<String>>,
}

impl Forecast {
    /// Without what is said of the base image as well.
    #[must_use]
    pub fn without(&self, base: &Self) -> Self {
        let left = |all: &BTreeSet<Expected>, known: &BTreeSet<Expected>| {
            all.difference(known).cloned().collect()
        };
        Self {
            expected: left(&self.expected, &base.expected),
            without_quirks: left(&self.without_quirks, &base.without_quirks),
            by_chance: self.by_chance.clone(),
            required: self.required.clone(),
        }
    }

    /// As the lints say it when they know no package by its name.
    #[must_use]
    pub fn without_quirks(&self) -> Self {
        Self {
            expected: self.without_quirks.clone(),
            ..self.clone()
        }
    }

    /// Compares with what became of the units of a machine at its first boot.
    pub fn compare(
        &self,
        way: Way,
        reference: &Report,
        units: &BTreeMap<String, UnitState>,
    ) -> Hits {
        let machine = Report {
            units: units.clone(),
            ..Report::default()
        };
        let lost: BTreeSet<String> = losses(reference, &machine)
            .into_iter()
            .map(|loss| loss.unit)
            .collect();
        let failed =
            |unit: &str| lost.contains(unit) || units.get(unit).is_some_and(UnitState::has_failed);
        let active = |units: &BTreeMap<String, UnitState>, unit: &str| {
            units.get(unit).is_some_and(UnitState::is_active)
        };
        let is_active = |unit: &str| active(units, unit);

        // A timer that is active in neither had a condition that does not hold on such machines (`/sys/class/ipmi`).
        let is_left_out = |unit: &str| {
            let condition = reference.unmet_condition(unit);
            if condition.is_some_and(is_about_the_machine) {
                return true;
            }
            // Nor can what needs something that does not start in the reference (`rpc_pipefs.target`, where the kernel has no
            // such file system). A service may have ended by itself.
            let is_out = |needed: &&str| {
                let state = reference.units.get(*needed);
                state.is_some_and(|state| {
                    state.has_failed() || !needed.ends_with(".service") && !state.is_active()
                })
            };
            if self.required_by(unit).iter().any(is_out) {
                return true;
            }
            let name = unit.strip_suffix(".service");
            let timer = name.map(|name| format!("{name}.timer"));
            timer.is_some_and(|timer| {
                units.contains_key(&timer)
                    && !is_active(&timer)
                    && !active(&reference.units, &timer)
            })
        };

        let mut reasons: BTreeMap<&str, Vec<&Expected>> = BTreeMap::new();
        for expected in self
            .expected
            .iter()
            .filter(|expected| expected.is_about(way))
        {
            reasons.entry(&expected.unit).or_default().push(expected);
        }
        let told = |unit: &str, why| Told {
            way,
            unit: unit.to_owned(),
            why,
        };
        let mut hits = Hits::default();
        for (unit, expected) in &reasons {
            let reasons: Vec<&str> = expected.iter().map(|one| one.reason.as_str()).collect();
            let told = told(unit, reasons.join(", "));
            let is_at_boot = expected.iter().any(|one| one.is_at_boot);
            // What systemd refuses to start does not fail: it is not started, on an ordinary system either.
            let is_refused = || is_at_boot && !is_active(unit) && reference.was_never_started(unit);
            if failed(unit) || is_refused() {
                hits.true_positives.push(told);
            } else if is_active(unit) || (is_at_boot && !is_left_out(unit)) {
                hits.false_positives.push(told);
            }
        }
        let by_chance = self.by_chance.iter().filter(|unit| unit.is_about(way));
        let by_chance: BTreeSet<String> = by_chance.map(|expected| expected.unit.clone()).collect();
        for unit in lost.difference(&by_chance) {
            // What a socket or a path starts again and again takes it down.
            let started = started_by(unit).filter(|service| failed(service));
            let is_expected = reasons.contains_key(unit.as_str())
                || started.is_some_and(|service| reasons.contains_key(service.as_str()));
            if !is_expected && !self.required_by(unit).iter().any(|needed| failed(needed)) {
                hits.false_negatives.push(told(unit, String::new()));
            }
        }
        hits
    }

    /// All units that a unit does not start without.
    fn required_by(&self, unit: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut queue = vec![unit];
        while let Some(unit) = queue.pop() {
            for needed in self.required.get(unit).into_iter().flatten() {
                if found.insert(needed.as_str()) {
                    queue.push(needed);
                }
            }
        }
        found
    }
}

/// Whether a condition asks for what a container or a virtual machine has not, whatever its image has: rights, devices, a
/// kernel of its own.
fn is_about_the_machine(condition: &str) -> bool {
    const ABOUT: [&str; 4] = [
        "ConditionCapability=",
        "ConditionKernelCommandLine=",
        "ConditionSecurity=",
        "ConditionVirtualization=",
    ];
    const BELOW: [&str; 3] = ["/dev/", "/proc/", "/sys/"];
    let Some((kind, value)) = condition.split_once('=') else {
        return false;
    };
    ABOUT.iter().any(|about| condition.starts_with(about))
        || (kind.starts_with("ConditionPath") || kind.starts_with("ConditionDirectory"))
            && BELOW
                .iter()
                .any(|below| value.trim_start_matches(['|', '!']).starts_with(below))
}

/// The service that a socket or a path starts, as far as their names tell.
fn started_by(unit: &str) -> Option<String> {
    let (name, kind) = unit.rsplit_once('.')?;
    ["socket", "path"]
        .contains(&kind)
        .then(|| format!("{name}.service"))
}

/// What was said of a unit, or came of it unsaid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How the machine came to the image.
    pub way: Way,
    /// The unit.
    pub unit: String,
    /// What was said; empty where nothing was.
    pub why: String,
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} {}", self.way, self.unit, self.why)
    }
}

/// What came as the lints said, and what did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Failed as said.
    pub true_positives: Vec<Told>,
    /// Said to fail, and did not.
    pub false_positives: Vec<Told>,
    /// Failed or missing, and nothing said so. Units that miss only others that failed are none.
    pub false_negatives: Vec<Told>,
}

impl Hits {
    /// How many came as said, did not come, and came unsaid.
    pub fn counts(&self) -> [usize; 3] {
        [
            self.true_positives.len(),
            self.false_positives.len(),
            self.false_negatives.len(),
        ]
    }

    /// The part of what failed that was foreseen; `None` when nothing failed.
    pub fn recall(&self) -> Option<f64> {
        let [foreseen, _, missed] = self.counts();
        part(foreseen, foreseen + missed)
    }

    /// The part of what was said that did not come; `None` when nothing was said.
    pub fn false_alarm_rate(&self) -> Option<f64> {
        let [foreseen, alarms, _] = self.counts();
        part(alarms, foreseen + alarms)
    }

    /// What is about some of the units.
    #[must_use]
    pub fn about(&self, is_one: impl Fn(&str) -> bool) -> Self {
        let some = |all: &[Told]| {
            let some = all.iter().filter(|told| is_one(&told.unit));
            some.cloned().collect()
        };
        Self {
            true_positives: some(&self.true_positives),
            false_positives: some(&self.false_positives),
            false_negatives: some(&self.false_negatives),
        }
    }

    /// Takes in what is not there yet.
    pub fn unite(&mut self, other: &Self) {
        let unite = |all: &mut Vec<Told>, more: &[Told]| {
            for told in more {
                if !all.contains(told) {
                    all.push(told.clone());
                }
            }
        };
        unite(&mut self.true_positives, &other.true_positives);
        unite(&mut self.false_positives, &other.false_positives);
        unite(&mut self.false_negatives, &other.false_negatives);
    }

    /// Takes in others.
    pub fn add(&mut self, other: Self) {
        self.true_positives.extend(other.true_positives);
        self.false_positives.extend(other.false_positives);
        self.false_negatives.extend(other.false_negatives);
    }
}

fn part(some: usize, all: usize) -> Option<f64> {
    let (some, all) = (u32::try_from(some).ok()?, u32::try_from(all).ok()?);
    (all > 0).then(|| f64::from(some) / f64::from(all))
}

pub(super) fn of(layout: &Layout) -> Result<Forecast> {
    let tree = Layered::oci_layout(layout.path(), None).map_err(|error| Error::Engine {
        action: format!(
            "save an image in {} that the lints read",
            layout.path().display()
        ),
        message: error.to_string(),
    })?;
    let gathered = tree.walk(&|_, _| {});
    let image = Image::read(&tree, gathered, Some(tree.config()));
    let expected = told(&image);
    let by_chance = image.predictions().iter();
    let by_chance =
        by_chance.filter(|prediction| prediction.doubts.contains(&Doubt::BeforeTmpfiles));
    let by_chance = by_chance.map(Expected::of).collect();
    let units = image.units();
    let required = units.starting().map(|(unit, _)| {
        let dependencies = units.dependencies(&unit.name).into_iter();
        let names = dependencies
            .filter(|(_, dependency)| *dependency == Dependency::Requires)
            .map(|(to, _)| to.as_str().to_owned())
            .collect();
        (unit.name.as_str().to_owned(), names)
    });
    let required = required
        .filter(|(_, names): &(_, BTreeSet<_>)| !names.is_empty())
        .collect();
    Ok(Forecast {
        expected,
        by_chance,
        required,
        without_quirks: told(&image.without_quirks()),
    })
}

fn told(image: &Image<'_>) -> BTreeSet<Expected> {
    let predictions = image.predictions().iter();
    let told = predictions.filter(|prediction| prediction.certainty() <= Certainty::Likely);
    told.map(Expected::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(states: &[(&str, &str)]) -> BTreeMap<String, UnitState> {
        let state = |(name, active): &(&str, &str)| {
            let state = UnitState {
                load: "loaded".to_owned(),
                active: (*active).to_owned(),
                sub: String::new(),
                restarts: 0,
            };
            ((*name).to_owned(), state)
        };
        states.iter().map(state).collect()
    }

    fn expected(unit: &str, is_at_boot: bool) -> Expected {
        Expected {
            unit: unit.to_owned(),
            reason: "why".to_owned(),
            is_at_boot,
            fresh: true,
            upgraded: false,
        }
    }

    fn units_of(told: &[Told]) -> Vec<&str> {
        told.iter().map(|told| told.unit.as_str()).collect()
    }

    fn hits(expected: &[Expected], way: Way, machine: &[(&str, &str)]) -> Hits {
        let reference = Report {
            units: units(&[("a.service", "active"), ("b.service", "active")]),
            ..Report::default()
        };
        let needs = BTreeSet::from(["a.service".to_owned()]);
        let forecast = Forecast {
            expected: expected.iter().cloned().collect(),
            required: BTreeMap::from([("b.service".to_owned(), needs)]),
            ..Forecast::default()
        };
        forecast.compare(way, &reference, &units(machine))
    }

    #[test]
    fn what_fails_as_said_is_a_hit_and_what_needs_it_is_none() {
        let machine = [("a.service", "failed"), ("b.service", "inactive")];
        let said = [expected("a.service", true)];
        let hits = hits(&said, Way::Fresh, &machine);
        assert_eq!(hits.counts(), [1, 0, 0]);
        assert_eq!(hits.true_positives[0].to_string(), "fresh: a.service why");
    }

    #[test]
    fn what_is_refused_as_said_is_a_hit() {
        let status = |process: &str| {
            let lines = format!(
                "@@failures\n* a.service - A\n     Active: inactive (dead)\n{process}@@end\n"
            );
            Report::read(&lines).expect("a report")
        };
        let forecast = Forecast {
            expected: BTreeSet::from([expected("a.service", true)]),
            ..Forecast::default()
        };
        let machine = units(&[("a.service", "inactive")]);
        let counts =
            |reference: &Report| forecast.compare(Way::Fresh, reference, &machine).counts();
        assert_eq!(counts(&status("")), [1, 0, 0]);
        assert_eq!(counts(&status("    Process: 7 ExecStart=/a\n")), [0, 1, 0]);
    }

    #[test]
    fn what_needs_what_does_not_start_in_the_reference_counts_for_nothing() {
        let counts = |needed: &str, state: &str| {
            let reference = Report {
                units: units(&[("a.service", "inactive"), (needed, state)]),
                ..Report::default()
            };
            let needs = BTreeSet::from([needed.to_owned()]);
            let forecast = Forecast {
                expected: BTreeSet::from([expected("a.service", true)]),
                required: BTreeMap::from([("a.service".to_owned(), needs)]),
                ..Forecast::default()
            };
            let machine = units(&[("a.service", "inactive"), (needed, state)]);
            forecast.compare(Way::Fresh, &reference, &machine).counts()
        };
        assert_eq!(counts("pipefs.target", "inactive"), [0, 0, 0]);
        assert_eq!(counts("b.service", "failed"), [0, 0, 0]);
        assert_eq!(counts("pipefs.target", "active"), [0, 1, 0]);
        assert_eq!(counts("b.service", "inactive"), [0, 1, 0]);
    }

    #[test]
    fn a_socket_that_its_failing_service_takes_down_is_none() {
        let reference = Report {
            units: units(&[("a.service", "active"), ("a.socket", "active")]),
            ..Report::default()
        };
        let machine = units(&[("a.service", "inactive"), ("a.socket", "failed")]);
        let said = |said: &[Expected]| {
            let forecast = Forecast {
                expected: said.iter().cloned().collect(),
                ..Forecast::default()
            };
            forecast.compare(Way::Fresh, &reference, &machine).counts()
        };
        assert_eq!(said(&[expected("a.service", true)]), [1, 0, 0]);
        assert_eq!(said(&[]), [0, 0, 2]);
    }

    #[test]
    fn what_was_said_of_another_machine_counts_not() {
        let machine = [("a.service", "failed"), ("b.service", "active")];
        let said = [expected("a.service", true)];
        let hits = hits(&said, Way::Upgraded, &machine);
        assert_eq!(hits.counts(), [0, 0, 1]);
        assert_eq!(units_of(&hits.false_negatives), ["a.service"]);
        assert_eq!(hits.about(|unit| unit != "a.service"), Hits::default());
    }

    #[test]
    fn what_runs_though_said_to_fail_is_a_false_alarm() {
        let machine = [("a.service", "active"), ("b.service", "active")];
        let said = [
            expected("a.service", true),
            expected("b.service", false),
            expected("not-started.service", false),
            expected("gone.service", true),
        ];
        let hits = hits(&said, Way::Fresh, &machine);
        assert_eq!(hits.counts(), [0, 3, 0]);
        let alarms = ["a.service", "b.service", "gone.service"];
        assert_eq!(units_of(&hits.false_positives), alarms);
    }

    #[test]
    fn what_a_timer_would_start_says_nothing_where_such_machines_leave_the_timer_out() {
        let forecast = Forecast {
            expected: BTreeSet::from([expected("once.service", true)]),
            ..Forecast::default()
        };
        let alarms = |in_reference, here| {
            let states = |timer| units(&[("once.service", "inactive"), ("once.timer", timer)]);
            let reference = Report {
                units: states(in_reference),
                ..Report::default()
            };
            let hits = forecast.compare(Way::Fresh, &reference, &states(here));
            hits.false_positives.len()
        };
        assert_eq!(alarms("active", "active"), 1);
        assert_eq!(alarms("active", "inactive"), 1);
        assert_eq!(alarms("inactive", "inactive"), 0);
    }

    #[test]
    fn what_a_container_may_not_start_says_nothing_and_what_the_image_decides_does() {
        let forecast = Forecast {
            expected: BTreeSet::from([expected("a.service", true)]),
            ..Forecast::default()
        };
        let alarms = |condition| {
            let states = || units(&[("a.service", "inactive")]);
            let lines = [
                "* a.service - A".to_owned(),
                "  Condition: start condition unmet at noon".to_owned(),
                format!("             `- {condition} was not met"),
            ];
            let reference = Report {
                units: states(),
                failures: lines.to_vec(),
                ..Report::default()
            };
            let hits = forecast.compare(Way::Fresh, &reference, &states());
            hits.false_positives.len()
        };
        assert_eq!(alarms("ConditionCapability=CAP_SYS_TIME"), 0);
        assert_eq!(alarms("ConditionVirtualization=!container"), 0);
        assert_eq!(alarms("ConditionPathExists=|/dev/kvm"), 0);
        assert_eq!(alarms("ConditionPathExists=/etc/a.conf"), 1);
    }

    #[test]
    fn what_each_boot_decides_anew_is_neither_foreseen_nor_missed() {
        let forecast = Forecast {
            by_chance: BTreeSet::from([Expected {
                upgraded: false,
                ..expected("a.service", true)
            }]),
            ..Forecast::default()
        };
        let reference = Report {
            units: units(&[("a.service", "active"), ("b.service", "active")]),
            ..Report::default()
        };
        let lost = units(&[("a.service", "failed"), ("b.service", "failed")]);
        let hits = forecast.compare(Way::Fresh, &reference, &lost);
        assert_eq!(hits.counts(), [0, 0, 1]);
        let hits = forecast.compare(Way::Upgraded, &reference, &lost);
        assert_eq!(hits.counts(), [0, 0, 2]);
    }

    #[test]
    fn a_prediction_of_what_fails_in_the_reference_too_is_true() {
        let reference = Report {
            units: units(&[("a.service", "failed")]),
            ..Report::default()
        };
        let forecast = Forecast {
            expected: BTreeSet::from([expected("a.service", true)]),
            ..Forecast::default()
        };
        let hits = forecast.compare(Way::Fresh, &reference, &units(&[("a.service", "failed")]));
        assert_eq!(hits.counts(), [1, 0, 0]);
    }

    #[test]
    fn the_figures_are_parts_of_what_failed_and_of_what_was_said() {
        let told = Told {
            way: Way::Fresh,
            unit: "a.service".to_owned(),
            why: String::new(),
        };
        let hits = Hits {
            true_positives: vec![told.clone(); 3],
            false_positives: vec![told.clone(); 1],
            false_negatives: vec![told; 2],
        };
        assert_eq!(
            (hits.recall(), hits.false_alarm_rate()),
            (Some(0.6), Some(0.25))
        );
        let none = Hits::default();
        assert_eq!((none.recall(), none.false_alarm_rate()), (None, None));
    }

    #[test]
    fn what_two_packages_of_an_image_share_counts_once() {
        let told = |unit: &str| Told {
            way: Way::Fresh,
            unit: unit.to_owned(),
            why: String::new(),
        };
        let hits = |units: &[&str]| Hits {
            false_negatives: units.iter().map(|unit| told(unit)).collect(),
            ..Hits::default()
        };
        let mut all = hits(&["shared.service", "a.service"]);
        all.unite(&hits(&["b.service", "shared.service"]));
        assert_eq!(all.counts(), [0, 0, 3]);
    }

    #[test]
    fn what_the_base_image_has_is_not_the_images() {
        let both = Forecast {
            expected: BTreeSet::from([expected("a.service", true), expected("b.service", true)]),
            ..Forecast::default()
        };
        let base = Forecast {
            expected: BTreeSet::from([expected("a.service", true)]),
            ..Forecast::default()
        };
        let left: Vec<String> = both
            .without(&base)
            .expected
            .into_iter()
            .map(|expected| expected.unit)
            .collect();
        assert_eq!(left, ["b.service"]);
    }
}
