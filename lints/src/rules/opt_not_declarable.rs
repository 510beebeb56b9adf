//! # What it does
//! Finds entries of /opt and /usr/local whose names have a line break. tmpfiles.d cannot express
//! such names.
//!
//! # Why it breaks
//! Boot cannot make a link in /opt or /usr/local to such an entry. So the entry stays in /var. Only
//! hosts that are installed with this image have it. Upgraded hosts do not.
//!
//! # Example
//! ```dockerfile
//! RUN mkdir "$(printf '/opt/a\nb')"
//! ```
//!
//! # Fix
//! Choose a name without a line break.

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
