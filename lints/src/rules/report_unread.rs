//! # What it does
//! Reports that osderive could not read the report of a committed RUN.
//!
//! # Why it breaks
//! The RUN is committed. But nobody knows what its commit found, so its findings are missing here.
//! A command that runs as root can write to the report.
//!
//! # Example
//! ```dockerfile
//! RUN echo >/dev/.osderive-out/report.json
//! ```
//!
//! # Fix
//! Do not write to /dev/.osderive-out, the directory of the report. The finished image is checked
//! all the same.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "report-unread",
    severity: Severity::Warning,
    summary: "the report of a RUN's commit could not be read",
    since: "0.2.0",
    ..Rule::STEP
};

/// The finding, with why.
pub fn finding(reason: &str) -> Finding {
    RULE.finding(
        format!("the report of a committed step could not be read: {reason}"),
        "leave the directory of the report alone".to_owned(),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_told() {
        let finding = finding("it is empty");
        assert!(finding.message.ends_with(": it is empty"));
        assert_eq!(
            Rule::named(&finding.rule).map(|rule| rule.name),
            Some(RULE.name)
        );
    }
}
