//! # What it does
//! Looks for accounts of the image that sysusers.d cannot express, wholly or in part: names other
//! than letters, digits, `_` and `-`, a home that is no plain absolute path, control characters, a
//! primary group that does not exist, subordinate ids.
//!
//! # Why it breaks
//! On a machine whose /etc/passwd was ever changed, accounts of a newer image come from sysusers.d
//! alone. What cannot be written there is missing on that machine.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system --badname web.app
//! ```
//!
//! # Fix
//! Change the account to what sysusers.d(5) allows.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-not-declarable",
    severity: Severity::Warning,
    summary: "an account cannot be declared in sysusers.d as it is",
    ..Rule::STEP
};

/// The finding about one account; `what` says what cannot be kept ("its name").
pub fn finding(name: &str, what: &str, path: &str) -> Finding {
    RULE.finding(
        format!("{name}: {what} cannot be declared in sysusers.d"),
        "change the account to what sysusers.d(5) allows: machines that are upgraded to this image \
         know it from there only"
            .to_owned(),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_named() {
        let finding = finding("web.app", "its name", "/etc/passwd");
        assert_eq!(
            finding.message,
            "web.app: its name cannot be declared in sysusers.d"
        );
    }
}
