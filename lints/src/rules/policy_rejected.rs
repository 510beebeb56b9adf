//! # What it does
//! Reads `osderive.toml` and the `# osderive:` comments of the Containerfile.
//!
//! # Why it breaks
//! A decision that nobody can read would silence nothing, or the wrong thing: a build fails over it
//! before its first step.
//!
//! # Example
//! ```dockerfile
//! # osderive: allow=secret-in-image
//! COPY examples /usr/share/doc/acme/
//! ```
//!
//! # Fix
//! Name a rule that there is, and say why:
//! ```dockerfile
//! # osderive: allow=secret-in-image /usr/share/doc/acme -- keys of examples, the same for everybody
//! COPY examples /usr/share/doc/acme/
//! ```

use super::Rule;
use crate::policy::PolicyError;
use crate::{Finding, Origin, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "policy-rejected",
    severity: Severity::Error,
    summary: "osderive.toml or a comment with a suppression cannot be understood",
    ..Rule::IMAGE
};

/// The finding about a mistake.
pub fn finding(error: &PolicyError) -> Finding {
    let mut finding = RULE.finding(error.message.clone(), error.help.clone(), Vec::new());
    finding.origin = Some(Origin {
        lines: Some((error.line(), error.line())),
        ..Origin::default()
    });
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Config;

    #[test]
    fn the_finding_is_at_the_line_of_the_mistake() {
        let error = Config::parse("osderive.toml", "[rules]\nkernels = \"off\"\n");
        let finding = finding(&error.expect_err("an error"));
        assert_eq!(finding.message, "there is no rule \"kernels\"");
        assert_eq!(finding.origin.expect("an origin").lines, Some((2, 2)));
    }
}
