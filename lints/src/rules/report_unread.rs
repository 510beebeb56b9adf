//! # What it does
//! Tells of the report of a committed RUN that could not be read.
//!
//! # Why it breaks
//! The RUN is committed. What its commit found is not known, so that findings of it are missing here. A command that runs as
//! root can write to the report beside it.
//!
//! # Example
//! ```dockerfile
//! RUN echo >/dev/.osderive-out/report.json
//! ```
//!
//! # Fix
//! Leave the directory of the report alone. The finished image is checked all the same.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "report-unread",
    severity: Severity::Warning,
    summary: "what the commit of a RUN found is not known",
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
