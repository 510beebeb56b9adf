//! # What it does
//! Finds steps that leave more than 100 MiB in files below /var.
//!
//! # Why it breaks
//! Nothing breaks, but it costs space. The files are kept in /usr/share/factory and copied to /var
//! on each host. They take their space twice, and are part of each update. Often they are a cache
//! or a download that nobody meant to ship.
//!
//! # Example
//! ```dockerfile
//! RUN curl -o /var/lib/models/large.bin https://example.com/large.bin
//! ```
//!
//! # Fix
//! In the same RUN, remove what is not needed. Put below /usr what never changes. Or let the
//! service fetch it when it first starts.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "var-large-factory",
    severity: Severity::Warning,
    summary: "a step leaves very much in files below /var",
    ..Rule::STEP
};

/// Bytes of files that a step may leave below /var without a finding.
pub const MAX_FACTORY_BYTES: u64 = 100 << 20;

/// The finding about a step's files below /var, `bytes` in all; `largest` are the places that hold
/// most, escaped.
pub fn finding(bytes: u64, largest: Vec<String>) -> Option<Finding> {
    let message = format!(
        "{} MiB of files below /var are kept in /usr/share/factory and copied to each machine",
        bytes >> 20
    );
    let help = "remove what is not needed in the same RUN, put what never changes below /usr, or let the \
                service fetch it when it first starts";
    (bytes > MAX_FACTORY_BYTES).then(|| RULE.finding(message, help.to_owned(), largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_the_limit_is_told() {
        assert_eq!(finding(MAX_FACTORY_BYTES, Vec::new()), None);
        let finding = finding(300 << 20, vec!["/var/lib/models".to_owned()]).expect("a finding");
        assert!(finding.message.starts_with("300 MiB of files"));
        assert_eq!(finding.paths, ["/var/lib/models"]);
    }
}
