//! # What it does
//! Reports suppressions that no finding needs. They are in osderive.toml or in a comment of the
//! Containerfile.
//!
//! # Why it breaks
//! Nothing breaks today. But the suppression also silences the next finding of that rule at that
//! place. It was written for another one.
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
