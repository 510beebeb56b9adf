//! # What it does
//! Finds files with content in /var/log.
//!
//! # Why it breaks
//! These are logs of the build, not of the host. They tell everybody about the build, and differ in
//! each build. New hosts begin with them.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y nginx
//! ```
//!
//! # Fix
//! Remove them in the same RUN: `find /var/log -type f -delete`.

use super::{Check, EntryCheck, Rule, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "var-log",
    severity: Severity::Warning,
    summary: "/var/log has the build's logs",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    entry.below("var/log").is_some() && entry.meta.kind == Kind::File && entry.meta.size > 0
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "log of the build is", "logs of the build are");
    RULE.about(
        paths,
        format!("{what} in /var/log"),
        "`find /var/log -type f -delete` in the same RUN",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn files_with_content_are_told() {
        let tree = Fixture::new().file("var/log/apt/term.log", "x");
        let tree = tree.file("var/log/dnf.log", "x").file("var/log/empty", "");
        let found = ["/var/log/apt/term.log", "/var/log/dnf.log"];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn empty_files_and_directories_are_right() {
        let tree = Fixture::new().file("var/log/lastlog", "");
        let tree = tree.directory("var/log/journal").file("var/logs/x", "x");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
