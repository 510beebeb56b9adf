//! # What it does
//! Looks for entries of /opt and /usr/local whose names tmpfiles.d cannot have: those with a line
//! break.
//!
//! # Why it breaks
//! Such an entry cannot be linked to from /opt or /usr/local at boot, so it stays in /var: only
//! machines that are installed with this image have it, not those that are upgraded to it.
//!
//! # Example
//! ```dockerfile
//! RUN mkdir "$(printf '/opt/a\nb')"
//! ```
//!
//! # Fix
//! Choose another name.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "opt-not-declarable",
    severity: Severity::Warning,
    summary: "a name in /opt or /usr/local has a line break, which tmpfiles.d cannot express",
    ..Rule::STEP
};

/// The finding about one entry at this absolute path.
pub fn finding(path: &str) -> Finding {
    RULE.finding(
        format!("{path} stays in /var: tmpfiles.d cannot express its name"),
        "choose a name without line breaks: machines that are upgraded to this image do not get \
         what is in /var"
            .to_owned(),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_is_named() {
        assert_eq!(finding("/var/opt/a\\nb").paths, ["/var/opt/a\\nb"]);
    }
}
