//! The rules, one file each and named alike: a rule's documentation is the comment at the top of
//! its file, its `RULE` the constant that every finding of it carries.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Finding, Severity};

pub mod account_duplicate_id;
pub mod account_not_declarable;
pub mod account_outside_system_range;
pub mod account_usable_password;
pub mod commit_cannot_remove;
pub mod commit_not_a_directory;
pub mod leftover_process;

/// What is fixed about a rule, whatever it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable kebab-case name.
    pub name: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// What it looks for, in one line.
    pub summary: &'static str,
}

/// Every rule, in the order of their names.
pub const RULES: &[Rule] = &[
    account_duplicate_id::RULE,
    account_not_declarable::RULE,
    account_outside_system_range::RULE,
    account_usable_password::RULE,
    commit_cannot_remove::RULE,
    commit_not_a_directory::RULE,
    leftover_process::RULE,
];

/// Paths or processes that one finding names; the message counts all.
pub const MAX_NAMED: usize = 20;

impl Rule {
    fn finding(&self, message: String, help: String, paths: Vec<String>) -> Finding {
        Finding {
            rule: self.name.to_owned(),
            severity: self.severity,
            message,
            help,
            paths,
        }
    }
}

/// Messages that a merged finding quotes; the others are counted.
const MAX_QUOTED: usize = 5;

/// One finding for each rule, in the order of the rules' names: ten thousand accounts with the same
/// defect are one thing to mend, and a report has a limit.
pub fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_rule: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        let of_rule = by_rule.entry(finding.rule.clone()).or_default();
        of_rule.push(finding);
    }
    by_rule.into_values().filter_map(merged_one).collect()
}

fn merged_one(findings: Vec<Finding>) -> Option<Finding> {
    let mut quoted: Vec<String> = (findings.iter().take(MAX_QUOTED))
        .map(|finding| finding.message.clone())
        .collect();
    if findings.len() > MAX_QUOTED {
        quoted.push(format!("and {} more", findings.len() - MAX_QUOTED));
    }
    let paths: BTreeSet<String> = (findings.iter())
        .flat_map(|finding| finding.paths.iter().cloned())
        .collect();
    let first = findings.into_iter().next()?;
    Some(Finding {
        message: quoted.join("; "),
        paths: paths.into_iter().take(MAX_NAMED).collect(),
        ..first
    })
}

/// `1 entry`, `2 entries`.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_registered_once_and_in_order() {
        assert!(RULES.is_sorted_by(|left, right| left.name < right.name));
    }

    #[test]
    fn many_findings_of_a_rule_become_one() {
        let finding = |name: &str| {
            let path = format!("/etc/{name}");
            account_duplicate_id::finding("uid", 1, "a", name, &path)
        };
        let names = ["b", "c", "d", "e", "f", "g", "h"];
        let merged = merged(names.iter().map(|name| finding(name)).collect());
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].paths.len(), names.len());
        assert!(merged[0].message.starts_with("a and b have"), "{merged:?}");
        assert!(merged[0].message.ends_with("; and 2 more"), "{merged:?}");
    }

    #[test]
    fn names_are_kebab_case() {
        for rule in RULES {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(rule.name.chars().all(fits), "{}", rule.name);
        }
    }
}
