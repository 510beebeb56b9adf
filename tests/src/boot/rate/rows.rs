//! What became of packages, and the figures of a list of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::forecast::Hits;
use super::super::harness::Way;
use super::build::Build;
use crate::error::Error;

/// What became of the packages of a line, which share an image.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Line {
    /// The packages of the image.
    pub packages: String,
    /// One for each package; none of those that were tried in smaller images instead.
    pub rows: Vec<Row>,
    /// The builds that failed, and why.
    pub failures: BTreeMap<Build, String>,
    /// Whether the first boots came as the lints say of the image.
    pub predictions: BTreeMap<Build, Hits>,
    /// The same, where the lints know no package by its name.
    pub predictions_without_quirks: BTreeMap<Build, Hits>,
    /// How long things took when they were done.
    pub seconds: BTreeMap<Build, Seconds>,
}

/// What became of a package.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// Its name.
    pub package: String,
    /// Why there is no reference to compare with, where there is none.
    pub without_reference: Option<String>,
    /// What its own units are in the reference, where there is one.
    pub reference: Option<OfReference>,
    /// What is worse than in the reference, by the way of building. Nothing is: it boots.
    pub builds: BTreeMap<Build, Vec<String>>,
    /// Whether its units came up at the first boots as the lints say of the image.
    pub predictions: BTreeMap<Build, Hits>,
    /// The same, where the lints know no package by its name.
    pub predictions_without_quirks: BTreeMap<Build, Hits>,
}

/// What a package's own units are on an ordinary mutable system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OfReference {
    /// How many are active.
    pub active: usize,
    /// Those that fail there too.
    pub failed: Vec<String>,
    /// Enabled services that a condition keeps from starting, with it.
    pub left_out: Vec<String>,
}

/// How long the parts of a build's trial took, in seconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// The image's build.
    pub build: f64,
    /// Taking it out of the engine.
    pub save: f64,
    /// Import and deployment, by way.
    pub deploy: BTreeMap<Way, f64>,
    /// The boots, by way, until the machine had shut down.
    pub boot: BTreeMap<Way, Vec<f64>>,
}

impl Line {
    /// Takes down that a build failed, if that is what an error says.
    pub(super) fn failed(&mut self, build: Build, error: &Error) {
        if matches!(error, Error::Build { .. }) {
            self.failures.insert(build, error.to_string());
        }
    }

    /// Whether a build failed though the packages install without us.
    pub(super) fn fails_alone(&self) -> bool {
        !self.failures.is_empty() && !self.failures.contains_key(&Build::Plain)
    }

    /// What came as said of the rows that are there; what packages share counts once.
    pub(super) fn sum_up(&mut self) {
        self.predictions.clear();
        self.predictions_without_quirks.clear();
        for row in &self.rows {
            for (build, hits) in &row.predictions {
                self.predictions.entry(*build).or_default().unite(hits);
            }
            for (build, hits) in &row.predictions_without_quirks {
                let all = self.predictions_without_quirks.entry(*build);
                all.or_default().unite(hits);
            }
        }
    }
}

impl Row {
    /// Whether the packages, built so, boot; `None` where there is nothing to compare with or nobody asked.
    pub fn boots(&self, build: Build) -> Option<bool> {
        let wrong = self.builds.get(&build)?;
        self.without_reference.is_none().then_some(wrong.is_empty())
    }

    /// Whether nothing is left to be found out by trying the package alone: it and the reference run, and came as said.
    pub(super) fn is_clear(&self) -> bool {
        let is_right = |build| self.builds.get(&build).is_none_or(Vec::is_empty);
        let came = |hits: &Hits| {
            let [_, alarms, missed] = hits.counts();
            alarms + missed == 0
        };
        self.reference
            .as_ref()
            .is_some_and(|reference| reference.failed.is_empty())
            && is_right(Build::Ours)
            && self.predictions.values().all(came)
    }
}

/// The part of the packages that boot, of those that have a reference; `None` without any.
pub fn rate(lines: &[Line], build: Build) -> Option<f64> {
    let rows = lines.iter().flat_map(|line| &line.rows);
    let known: Vec<bool> = rows.filter_map(|row| row.boots(build)).collect();
    let boots = u32::try_from(known.iter().filter(|boots| **boots).count()).ok()?;
    let all = u32::try_from(known.len()).ok()?;
    (all > 0).then(|| f64::from(boots) / f64::from(all))
}

/// What came as the lints say and what did not, of all plain builds and ours that were booted.
pub fn hits(lines: &[Line]) -> Hits {
    sum(lines.iter().flat_map(|line| line.predictions.values()))
}

/// As [`hits`], where the lints know no package by its name.
pub fn hits_without_quirks(lines: &[Line]) -> Hits {
    let hits = lines
        .iter()
        .flat_map(|line| line.predictions_without_quirks.values());
    sum(hits)
}

fn sum<'a>(some: impl Iterator<Item = &'a Hits>) -> Hits {
    let mut all = Hits::default();
    for hits in some {
        all.add(hits.clone());
    }
    all
}

/// In a line: what became of a package.
pub(super) fn summary(row: &Row) -> String {
    if let Some(reason) = &row.without_reference {
        return format!("no reference: {reason}");
    }
    let build = |(build, wrong): (&Build, &Vec<String>)| {
        let verdict = if wrong.is_empty() {
            "boots"
        } else {
            "does not boot"
        };
        let told = row.predictions.get(build).map(|hits| {
            let [hit, alarm, missed] = hits.counts();
            format!(" (foreseen {hit}, false alarms {alarm}, missed {missed})")
        });
        format!("{}: {verdict}{}", build.name(), told.unwrap_or_default())
    };
    row.builds.iter().map(build).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: Option<&str>, reference: bool) -> Line {
        let wrong = ours.map(str::to_owned).into_iter().collect();
        let row = Row {
            package: "a".to_owned(),
            without_reference: (!reference).then(|| "no build".to_owned()),
            builds: BTreeMap::from([(Build::Ours, wrong)]),
            ..Row::default()
        };
        Line {
            rows: vec![row],
            ..Line::default()
        }
    }

    #[test]
    fn the_rate_counts_what_has_a_reference() {
        let lines = [
            line(None, true),
            line(Some("lost"), true),
            line(None, false),
        ];
        assert_eq!(rate(&lines, Build::Ours), Some(0.5));
        assert_eq!(rate(&lines, Build::Plain), None);
        assert_eq!(rate(&[line(None, false)], Build::Ours), None);
    }
}
