//! # What it does
//! Finds names that are not UTF-8 in what a step left in /var, /opt and /usr/local.
//!
//! # Why it breaks
//! An ostree import refuses a layer with such a name, wherever the file is kept. The host keeps its
//! former image.
//!
//! # Example
//! ```dockerfile
//! RUN tar -C /opt -xf archive-of-1998.tar
//! ```
//!
//! # Fix
//! Rename the file in the same RUN, or remove it.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "name-not-utf8",
    severity: Severity::Warning,
    summary: "a name that is not UTF-8 stops the import",
    ..Rule::STEP
};

/// The finding about all such entries, each an escaped path; none if there is none.
pub fn finding(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let names = counted(paths.len(), "name is", "names are");
    Some(RULE.finding(
        format!("{names} not UTF-8, which stops the import of the image: {first}"),
        "rename it in the same RUN (convmv does a whole tree), or remove it".to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_names_the_first_and_counts_all() {
        let paths = [r"/var/lib/a\xe9", r"/var/lib/b\xe9"].map(str::to_owned);
        let finding = finding(&paths).expect("a finding");
        let message = r"2 names are not UTF-8, which stops the import of the image: /var/lib/a\xe9";
        assert_eq!(finding.message, message);
        assert_eq!(finding.paths, paths);
    }
}
