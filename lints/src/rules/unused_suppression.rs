//! # What it does
//! Tells of suppressions, in osderive.toml or in a comment of the Containerfile, that no finding needs.
//!
//! # Why it breaks
//! Nothing, today: but the next finding of that rule at that place is silenced by a decision about another one.
//!
//! # Example
//! ```toml
//! [[allow]]
//! rule = "import-special-file"
//! path = "/usr/lib/a-file-that-is-gone"
//! reason = "the vendor makes it"
//! ```
//!
//! # Fix
//! Remove the suppression, or correct its path.

use super::Rule;
use crate::Severity;

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unused-suppression",
    severity: Severity::Warning,
    summary: "a suppression that no finding needs",
    ..Rule::IMAGE
};
