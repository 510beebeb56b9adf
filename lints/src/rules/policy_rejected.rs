//! # What it does
//! Reports what osderive cannot understand in `osderive.toml` and in the `# osderive:` comments of
//! the Containerfile.
//!
//! # Why it breaks
//! An entry that nobody can read would silence nothing, or the wrong thing. So the build fails
//! before its first step.
//!
//! # Example
//! ```dockerfile
//! # osderive: allow=secret-in-image
//! COPY examples /usr/share/doc/acme/
//! ```
//!
//! # Fix
//! Name a rule that exists, and say why:
//! ```dockerfile
//! # osderive: allow=secret-in-image /usr/share/doc/acme -- keys of examples, the same for all
//! COPY examples /usr/share/doc/acme/
//! ```

use super::Rule;
use crate::Severity;

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "policy-rejected",
    severity: Severity::Error,
    summary: "osderive.toml or a comment with a suppression cannot be understood",
    ..Rule::IMAGE
};
