//! The trial of an image: its machines boot, and what they have worse than an ordinary mutable one is taken down.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::rows::{OfReference, Seconds};
use crate::boot::compare::{kept, losses};
use crate::boot::harness::{Machine, Way};
use crate::boot::owners::Owners;
use crate::boot::report::{Report, UnitState};
use crate::error::Result;

/// The packages of a line on an ordinary mutable system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) report: Report,
    pub(super) owners: Owners,
}

impl Reference {
    /// What a package's own units are.
    pub(super) fn of(&self, package: &str) -> OfReference {
        let its = || {
            let units = self.report.units.iter();
            units.filter(|(unit, _)| self.owners.is_brought_by(unit, package))
        };
        let failed = its().filter(|(_, state)| state.has_failed());
        OfReference {
            active: its().filter(|(_, state)| state.active == "active").count(),
            failed: failed.map(|(unit, _)| unit.clone()).collect(),
            left_out: its().filter_map(|(unit, _)| self.left_out(unit)).collect(),
        }
    }

    fn left_out(&self, unit: &str) -> Option<String> {
        let condition = self.report.unmet_condition(unit)?;
        Some(format!("{unit} ({condition})"))
    }
}

/// Something that is worse than in the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wrong {
    /// The unit that it is about; none when it is the machine.
    pub(super) unit: Option<String>,
    pub(super) text: String,
}

/// The trial of a build, as it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Trial {
    pub(super) wrong: Vec<Wrong>,
    /// What became of the units at the first boot, by way.
    pub(super) units: BTreeMap<Way, BTreeMap<String, UnitState>>,
    pub(super) seconds: Seconds,
}

impl Trial {
    /// Boots a machine that came by a way and takes down what it has worse than the reference after its first boot, or else
    /// after its second, which nobody needs once something is wrong.
    pub(super) fn boot(
        &mut self,
        mut machine: Machine<'_>,
        way: Way,
        reference: &Report,
    ) -> Result<()> {
        let deployment = machine.deployment.as_secs_f64();
        self.seconds.deploy.insert(way, deployment);
        for boot in ["first", "second"] {
            let (report, seconds) = timed(|| machine.boot())?;
            self.seconds.boot.entry(way).or_default().push(seconds);
            let place = format!("{way}, {boot} boot");
            for loss in losses(reference, &report) {
                let mut text = vec![format!("{place}: {loss}")];
                let why = report.status(&loss.unit);
                text.extend(why.iter().map(|line| format!("  | {line}")));
                self.wrong.push(Wrong {
                    unit: Some(loss.unit),
                    text: text.join("\n"),
                });
            }
            let changed = machine
                .before
                .iter()
                .flat_map(|before| kept(before, &report));
            self.wrong.extend(changed.map(|changed| Wrong {
                unit: None,
                text: format!("{place}: {changed}"),
            }));
            self.units.entry(way).or_insert(report.units);
            if !self.wrong.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// What `work` makes, with the seconds that it took.
pub(super) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let done = work()?;
    Ok((done, start.elapsed().as_secs_f64()))
}
