//! # What it does
//! Finds service accounts that a step made and that the id ledger does not have. The rule runs only
//! in builds with a ledger.
//!
//! # Why it breaks
//! The ids of such accounts depend on what else the build installs, and in which order. If that
//! changes, a rebuild gives them other ids.
//!
//! # Example
//! ```dockerfile
//! # syntax=osderive --ids=osderive.ids
//! FROM debian-ostree-base
//! RUN apt-get install -y redis-server
//! ```
//!
//! # Fix
//! Add the lines of the finding to the ledger.

use super::{Rule, counted};
use crate::{Finding, Severity, model::ledger::Entry};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-not-in-ledger",
    severity: Severity::Warning,
    summary: "a step made an account that the id ledger does not have",
    ..Rule::STEP
};

/// The finding about all such accounts of a step; none when there are none. The message holds every
/// line, because clients of an engine show nothing else.
pub fn finding(missing: &[Entry]) -> Option<Finding> {
    let lines: Vec<String> = missing.iter().map(Entry::to_string).collect();
    let count = counted(lines.len(), "line", "lines");
    (!lines.is_empty()).then(|| {
        RULE.finding(
            format!("the id ledger lacks {count}: {}", lines.join(", ")),
            format!(
                "add to the id ledger, so that every rebuild gives the same ids:\n{}",
                lines.join("\n")
            ),
            Vec::new(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::{AccountKind, Ledger};

    #[test]
    fn the_help_is_the_very_text_to_add() {
        let entry = |kind, id| Entry {
            kind,
            name: "redis".to_owned(),
            id,
        };
        let missing = [
            entry(AccountKind::User, 105),
            entry(AccountKind::Group, 106),
        ];
        let finding = finding(&missing).unwrap();
        assert_eq!(
            finding.message,
            "the id ledger lacks 2 lines: u redis 105, g redis 106"
        );
        let (_, lines) = finding.help.split_once('\n').unwrap();
        assert!(Ledger::parse(lines.as_bytes()).is_ok());
        assert_eq!(super::finding(&[]), None);
    }
}
