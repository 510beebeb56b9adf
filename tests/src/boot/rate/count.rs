//! What became of packages, counted: only what installs and runs on an ordinary system says something of a build.

use std::collections::BTreeMap;

use serde::Serialize;

use super::build::Build;
use super::rows::{Line, Row};

/// How many packages of some lines are what. None is of two of the first five kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All that were tried.
    pub packages: usize,
    /// Do not install on the base image, without osderive either.
    pub not_installed: usize,
    /// Have no reference for another reason: its machine did not report.
    pub without_reference: usize,
    /// Have units that fail on an ordinary mutable system as well.
    pub failing_in_reference: usize,
    /// Run on an ordinary mutable system, as far as they start anything.
    pub running_in_reference: usize,
    /// Of the latter: start nothing there by themselves, so only their build and the rest of the machine are tried.
    pub starting_nothing: usize,
    /// Of the latter: those with a service that a condition keeps from starting there.
    pub left_out: usize,
    /// Of those that run on an ordinary system: boot, by the way of building.
    pub booting: BTreeMap<Build, usize>,
    /// Builds with osderive that failed though the same packages install without it.
    pub builds_failed_that_build_plain: usize,
}

impl Counts {
    /// Counts the packages and images of some lines.
    pub fn of(lines: &[Line], builds: &[Build]) -> Self {
        let rows = || {
            lines
                .iter()
                .flat_map(|line| line.rows.iter().map(move |row| (line, row)))
        };
        let running = || rows().map(|(_, row)| row).filter(|row| runs(row));
        let lost: Vec<_> = rows()
            .filter(|(_, row)| row.without_reference.is_some())
            .collect();
        let not_installed = lost
            .iter()
            .filter(|(line, _)| line.failures.contains_key(&Build::Plain));
        let not_installed = not_installed.count();
        let booting = |build: &Build| {
            let booting = running().filter(|row| row.boots(*build) == Some(true));
            (*build, booting.count())
        };
        let failed = lines.iter().filter(|line| {
            line.failures.contains_key(&Build::Ours) && !line.failures.contains_key(&Build::Plain)
        });
        let running_in_reference = running().count();
        let packages = rows().count();
        Self {
            packages,
            not_installed,
            without_reference: lost.len() - not_installed,
            failing_in_reference: packages - lost.len() - running_in_reference,
            running_in_reference,
            starting_nothing: running().filter(|row| starts_nothing(row)).count(),
            left_out: running()
                .filter(|row| starts_nothing(row) && is_left_out(row))
                .count(),
            booting: builds.iter().map(booting).collect(),
            builds_failed_that_build_plain: failed.count(),
        }
    }

    /// The part of those that run on an ordinary system that boot, built so; `None` without any.
    pub fn rate(&self, build: Build) -> Option<f64> {
        let some = u32::try_from(*self.booting.get(&build)?).ok()?;
        let all = u32::try_from(self.running_in_reference).ok()?;
        (all > 0).then(|| f64::from(some) / f64::from(all))
    }
}

fn runs(row: &Row) -> bool {
    let reference = row.reference.as_ref();
    reference.is_some_and(|reference| reference.failed.is_empty())
}

fn starts_nothing(row: &Row) -> bool {
    let reference = row.reference.as_ref();
    reference.is_some_and(|reference| reference.active == 0)
}

fn is_left_out(row: &Row) -> bool {
    let reference = row.reference.as_ref();
    reference.is_some_and(|reference| !reference.left_out.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::OfReference;
    use super::*;

    fn row(reference: Option<OfReference>, wrong: &[&str]) -> Row {
        let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Row {
            without_reference: reference.is_none().then(|| "none".to_owned()),
            reference,
            builds: BTreeMap::from([(Build::Ours, wrong)]),
            ..Row::default()
        }
    }

    fn reference(active: usize, failed: &[&str]) -> OfReference {
        let failed = failed.iter().map(ToString::to_string).collect();
        OfReference {
            active,
            failed,
            ..OfReference::default()
        }
    }

    fn line(rows: Vec<Row>, failures: &[Build]) -> Line {
        let failures = failures.iter().map(|build| (*build, "no".to_owned()));
        Line {
            rows,
            failures: failures.collect(),
            ..Line::default()
        }
    }

    fn counts(lines: &[Line]) -> Counts {
        Counts::of(lines, &[Build::Ours])
    }

    #[test]
    fn the_rate_is_of_what_an_ordinary_system_runs() {
        let rows = vec![
            row(Some(reference(1, &[])), &[]),
            row(Some(reference(2, &[])), &["lost"]),
            row(Some(reference(1, &["a.service"])), &[]),
            row(None, &[]),
        ];
        let counts = counts(&[line(rows, &[])]);
        assert_eq!(counts.rate(Build::Ours), Some(0.5));
        assert_eq!(counts.rate(Build::Plain), None);
        assert_eq!((counts.packages, counts.running_in_reference), (4, 2));
        assert_eq!(
            (counts.failing_in_reference, counts.without_reference),
            (1, 1)
        );
    }

    #[test]
    fn what_does_not_install_without_us_either_is_no_failed_build_of_ours() {
        let lines = [
            line(vec![row(None, &[])], &[Build::Plain]),
            line(vec![row(Some(reference(1, &[])), &["no"])], &[Build::Ours]),
            // Packages that build alone but not together.
            line(vec![], &[Build::Ours]),
        ];
        let counts = counts(&lines);
        assert_eq!((counts.packages, counts.not_installed), (2, 1));
        assert_eq!(counts.builds_failed_that_build_plain, 2);
        assert_eq!(counts.rate(Build::Ours), Some(0.0));
    }

    #[test]
    fn what_starts_nothing_runs_and_is_told() {
        let kept = OfReference {
            left_out: vec!["a.service (ConditionVirtualization=!container)".to_owned()],
            ..OfReference::default()
        };
        let rows = vec![
            row(Some(reference(0, &[])), &[]),
            row(Some(kept), &[]),
            row(Some(reference(1, &[])), &[]),
        ];
        let counts = counts(&[line(rows, &[])]);
        assert_eq!(counts.running_in_reference, 3);
        assert_eq!((counts.starting_nothing, counts.left_out), (2, 1));
    }
}
