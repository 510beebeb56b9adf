//! # What it does
//! Finds accounts of the image that sysusers.d cannot express, wholly or in part:
//!
//! - names with other characters than letters, digits, `_` and `-`
//! - a home that is not a plain absolute path
//! - control characters
//! - a primary group that does not exist
//! - subordinate ids
//!
//! # Why it breaks
//! A host that ever changed its /etc/passwd gets accounts of a newer image from sysusers.d alone.
//! It lacks what cannot be written there.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system --badname web.app
//! ```
//!
//! # Fix
//! Change the account to what sysusers.d(5) allows. In the example: `useradd --system web-app`.

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
