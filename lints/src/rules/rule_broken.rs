//! # What it does
//! Reports that a rule of osderive itself failed on what it found.
//!
//! # Why it breaks
//! The findings of this rule are missing. Nothing else is affected.
//!
//! # Example
//! A defect of osderive, met by input that nobody foresaw.
//!
//! # Fix
//! Report it together with the file that the finding names. `--skip RULE` leaves the rule out.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "rule-broken",
    severity: Severity::Warning,
    summary: "a rule of osderive failed",
    ..Rule::IMAGE
};

/// The finding about a rule, and the entry that it failed on.
pub fn finding(rule: &str, path: Option<&str>) -> Finding {
    let place = path.map_or_else(String::new, |path| format!(" at /{path}"));
    RULE.finding(
        format!("the rule {rule} failed{place}; the others are not affected"),
        format!("report this defect of osderive; `--skip {rule}` leaves the rule out"),
        path.map(|path| format!("/{path}")).into_iter().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_names_the_rule_and_the_place() {
        let finding = finding("some-rule", Some("etc/x"));
        assert!(
            finding
                .message
                .starts_with("the rule some-rule failed at /etc/x")
        );
    }
}
