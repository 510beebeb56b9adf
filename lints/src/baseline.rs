//! What the base image has already: shown apart, for a derived build is not to blame for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::narrowed;
use crate::{Finding, MAX_CHECKED_PATHS, Origin};

/// The findings with those that the base image has too marked as the base's. One that names paths of
/// both becomes two.
pub fn mark(findings: Vec<Finding>, base: &[Finding]) -> Vec<Finding> {
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for finding in base {
        let paths = known.entry(&finding.rule).or_default();
        paths.extend(finding.paths.iter().map(String::as_str));
    }
    // Without paths, only the message tells two findings of a rule apart.
    let is_same = |finding: &Finding| {
        let same = |other: &&Finding| other.rule == finding.rule;
        base.iter()
            .filter(same)
            .any(|other| other.message == finding.message)
    };
    let mut marked = Vec::new();
    for finding in findings {
        if finding.paths.is_empty() {
            let is_of_base = is_same(&finding);
            marked.push(if is_of_base {
                of_base(finding)
            } else {
                finding
            });
            continue;
        }
        let Some(paths) = known.get(finding.rule.as_str()) else {
            marked.push(finding);
            continue;
        };
        let all = finding.paths.iter().cloned();
        // Behind the end of a list that was cut, nobody knows what the base has.
        let end = (paths.len() >= MAX_CHECKED_PATHS)
            .then(|| paths.last())
            .flatten();
        let is_cut = |path: &str| end.is_some_and(|end| path > *end);
        let (old, new): (Vec<_>, Vec<_>) =
            all.partition(|path| paths.contains(path.as_str()) || is_cut(path));
        if !old.is_empty() {
            marked.push(of_base(narrowed(&finding, old)));
        }
        if !new.is_empty() {
            marked.push(narrowed(&finding, new));
        }
    }
    marked
}

fn of_base(finding: Finding) -> Finding {
    let origin = finding.origin.clone().unwrap_or_default();
    Finding {
        origin: Some(Origin {
            base: true,
            ..origin
        }),
        ..finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::import_special_file::RULE;
    use crate::tree::Paths;

    fn finding(paths: &[&str]) -> Finding {
        let mut all = Paths::default();
        for path in paths {
            all.add(path.as_bytes());
        }
        let crate::rules::Check::Entry(check) = RULE.check else {
            panic!("a rule of entries")
        };
        (check.finding)(&all)
    }

    fn shown(findings: &[Finding]) -> Vec<(bool, Vec<&str>)> {
        let base = |finding: &Finding| finding.origin.as_ref().is_some_and(|origin| origin.base);
        findings
            .iter()
            .map(|finding| {
                let paths = finding.paths.iter().map(String::as_str);
                (base(finding), paths.collect())
            })
            .collect()
    }

    #[test]
    fn what_the_base_has_is_told_from_what_is_new() {
        let base = [finding(&["usr/a", "usr/gone"])];
        let marked = mark(vec![finding(&["usr/a", "usr/b"])], &base);
        let expected = [(true, vec!["/usr/a"]), (false, vec!["/usr/b"])];
        assert_eq!(shown(&marked), expected);
    }

    #[test]
    fn behind_the_end_of_a_long_list_nothing_is_new() {
        let names: Vec<_> = (0..MAX_CHECKED_PATHS)
            .map(|n| format!("usr/m{n:06}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let marked = mark(vec![finding(&["usr/a", "usr/z"])], &[finding(&names)]);
        let expected = [(true, vec!["/usr/z"]), (false, vec!["/usr/a"])];
        assert_eq!(shown(&marked), expected);
    }

    #[test]
    fn the_very_same_finding_is_the_bases() {
        let base = [finding(&["usr/a"])];
        assert_eq!(shown(&mark(base.to_vec(), &base)), [(true, vec!["/usr/a"])]);
        let other = mark(vec![finding(&["usr/b"])], &[]);
        assert_eq!(shown(&other), [(false, vec!["/usr/b"])]);
    }
}
