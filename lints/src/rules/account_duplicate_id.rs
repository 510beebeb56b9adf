//! # What it does
//! Looks for two users with one uid, or two groups with one gid.
//!
//! # Why it breaks
//! A file on disk belongs to a number: both accounts own it. systemd-sysusers gives an id that is
//! taken to nobody else, so on the machine the second account gets another id, and the files that
//! the image has for it belong to the first.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system --non-unique --uid 100 twin
//! ```
//!
//! # Fix
//! Give each account an id of its own; to share files, make both members of one group.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-duplicate-id",
    severity: Severity::Warning,
    summary: "two users or two groups have the same id",
};

/// The finding about one id; `what` is `uid` or `gid`, `second` came after `first` in the file.
pub fn finding(what: &str, id: u32, first: &str, second: &str, path: &str) -> Finding {
    RULE.finding(
        format!(
            "{first} and {second} have the same {what} {id}: only {first} keeps it on a machine"
        ),
        format!("give {second} a {what} of its own"),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_and_the_id_are_told() {
        assert_eq!(
            finding("uid", 100, "a", "b", "/etc/passwd").message,
            "a and b have the same uid 100: only a keeps it on a machine"
        );
    }
}
