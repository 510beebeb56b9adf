//! What the lints say beforehand of an image's first boot, and whether it came so.

use std::collections::{BTreeMap, BTreeSet};

use osderive_lints::Image;
use osderive_lints::predict::{Certainty, Prediction};
use osderive_lints::tree::{Gathered, Layered};
use osderive_lints::units::{Dependency, Start};
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
    /// The units that others do not start without, by those.
    pub required: BTreeMap<String, BTreeSet<String>>,
}

impl Forecast {
    /// Without what is said of the base image as well.
    #[must_use]
    pub fn without(&self, base: &Self) -> Self {
        Self {
            expected: self.expected.difference(&base.expected).cloned().collect(),
            required: self.required.clone(),
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
        let is_active = |unit: &str| {
            units
                .get(unit)
                .is_some_and(|state| state.active == "active")
        };

        let mut reasons: BTreeMap<&str, Vec<&Expected>> = BTreeMap::new();
        for expected in self
            .expected
            .iter()
            .filter(|expected| expected.is_about(way))
        {
            reasons.entry(&expected.unit).or_default().push(expected);
        }
        let mut hits = Hits::default();
        for (unit, expected) in &reasons {
            let told: Vec<&str> = expected.iter().map(|one| one.reason.as_str()).collect();
            let line = format!("{way}: {unit}: {}", told.join(", "));
            if failed(unit) {
                hits.true_positives.push(line);
            } else if expected.iter().any(|one| one.is_at_boot) || is_active(unit) {
                hits.false_positives.push(line);
            }
        }
        for unit in &lost {
            let is_expected = reasons.contains_key(unit.as_str());
            if !is_expected && !self.required_by(unit).iter().any(|needed| failed(needed)) {
                hits.false_negatives.push(format!("{way}: {unit}"));
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

/// What came as the lints said, and what did not. Each line names the way and the unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Failed as said.
    pub true_positives: Vec<String>,
    /// Said to fail, and did not.
    pub false_positives: Vec<String>,
    /// Failed or missing, and nothing said so. Units that miss only others that failed are none.
    pub false_negatives: Vec<String>,
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
    let image = Image::read(&tree, Gathered::default(), Some(tree.config()));
    let told = image
        .predictions()
        .iter()
        .filter(|prediction| prediction.reason.certainty() <= Certainty::Likely);
    let units = image.units();
    let required = units.starting().map(|(unit, _)| {
        let dependencies = units.dependencies(&unit.name).into_iter();
        let names = dependencies
            .filter(|(_, dependency)| *dependency == Dependency::Requires)
            .map(|(to, _)| to.as_str().to_owned())
            .collect();
        (unit.name.as_str().to_owned(), names)
    });
    Ok(Forecast {
        expected: told.map(Expected::of).collect(),
        required: required
            .filter(|(_, names): &(_, BTreeSet<_>)| !names.is_empty())
            .collect(),
    })
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

    fn hits(expected: &[Expected], way: Way, machine: &[(&str, &str)]) -> [Vec<String>; 3] {
        let reference = Report {
            units: units(&[("a.service", "active"), ("b.service", "active")]),
            ..Report::default()
        };
        let needs = BTreeSet::from(["a.service".to_owned()]);
        let forecast = Forecast {
            expected: expected.iter().cloned().collect(),
            required: BTreeMap::from([("b.service".to_owned(), needs)]),
        };
        let hits = forecast.compare(way, &reference, &units(machine));
        [
            hits.true_positives,
            hits.false_positives,
            hits.false_negatives,
        ]
    }

    const NONE: Vec<String> = Vec::new();

    #[test]
    fn what_fails_as_said_is_a_hit_and_what_needs_it_is_none() {
        let machine = [("a.service", "failed"), ("b.service", "inactive")];
        let hit = vec!["fresh: a.service: why".to_owned()];
        let said = [expected("a.service", true)];
        assert_eq!(hits(&said, Way::Fresh, &machine), [hit, NONE, NONE]);
    }

    #[test]
    fn what_was_said_of_another_machine_counts_not() {
        let machine = [("a.service", "failed"), ("b.service", "active")];
        let missed = vec!["upgraded: a.service".to_owned()];
        let said = [expected("a.service", true)];
        assert_eq!(hits(&said, Way::Upgraded, &machine), [NONE, NONE, missed]);
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
        let alarms = ["a", "b", "gone"].map(|unit| format!("fresh: {unit}.service: why"));
        assert_eq!(
            hits(&said, Way::Fresh, &machine),
            [NONE, alarms.to_vec(), NONE]
        );
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
        assert_eq!(hits.true_positives.len(), 1);
        assert_eq!(hits.false_positives, NONE);
    }

    #[test]
    fn the_figures_are_parts_of_what_failed_and_of_what_was_said() {
        let lines = |count: usize| vec![String::new(); count];
        let hits = Hits {
            true_positives: lines(3),
            false_positives: lines(1),
            false_negatives: lines(2),
        };
        assert_eq!(
            (hits.recall(), hits.false_alarm_rate()),
            (Some(0.6), Some(0.25))
        );
        let none = Hits::default();
        assert_eq!((none.recall(), none.false_alarm_rate()), (None, None));
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
