//! # What it does
//! Finds entries of /run, /tmp, /var/tmp or /var/cache that the commit tried to remove and could
//! not.
//!
//! # Why it breaks
//! The entry stays in the layer. Below /run and /tmp, the importer drops it. Below /var, every
//! newly installed host gets a copy, which is never updated. Files that nobody may delete are
//! seldom meant for hosts.
//!
//! # Example
//! ```dockerfile
//! RUN touch /var/cache/pinned && chattr +i /var/cache/pinned
//! ```
//!
//! # Fix
//! Undo in the same step what protects the entry: `chattr -i`, or end the process that writes it
//! anew. If the image should ship it, put it elsewhere, such as /usr/lib.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "commit-cannot-remove",
    severity: Severity::Warning,
    summary: "an entry that the commit should have removed could not be removed",
    ..Rule::STEP
};

/// An entry that stayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its escaped path.
    pub path: String,
    /// Why it could not be removed, as the system says.
    pub error: String,
}

/// The finding about all entries of a step that stayed, none if there is none.
pub fn finding(stuck: &[Stuck]) -> Option<Finding> {
    let first = stuck.first()?;
    let others = match stuck.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "other entry", "other entries")),
    };
    Some(RULE.finding(
        format!("cannot remove {}: {}{others}", first.path, first.error),
        "in the same RUN, run `chattr -i` or end the process that writes it; or move it below /usr/lib"
            .to_owned(),
        stuck
            .iter()
            .take(MAX_NAMED)
            .map(|entry| entry.path.clone())
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_names_the_first_entry_and_counts_the_others() {
        let stuck = |path: &str| Stuck {
            path: path.to_owned(),
            error: "Operation not permitted (os error 1)".to_owned(),
        };
        let finding = finding(&[stuck("/tmp/a"), stuck("/tmp/b")]).expect("a finding");
        assert_eq!(
            finding.message,
            "cannot remove /tmp/a: Operation not permitted (os error 1) (and 1 other entry)"
        );
        assert_eq!(finding.paths, ["/tmp/a", "/tmp/b"]);
    }

    #[test]
    fn nothing_stuck_is_no_finding() {
        assert_eq!(finding(&[]), None);
    }
}
