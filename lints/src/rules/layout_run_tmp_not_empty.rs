//! # What it does
//! Finds files in /run and /tmp. Empty directories do not count. Neither do the empty files that
//! container engines leave at their mount points.
//!
//! # Why it breaks
//! /run and /tmp are new and empty at each boot. A program that expects the file does not find it.
//!
//! # Example
//! ```dockerfile
//! RUN touch /run/acme.lock
//! ```
//!
//! # Fix
//! Remove what the build left. If a program needs something there, create it at boot with
//! tmpfiles.d:
//! ```text
//! d /run/acme 0755 acme acme -
//! ```

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-run-tmp-not-empty",
    aliases: &["nonempty-run-tmp"],
    severity: Severity::Warning,
    summary: "/run or /tmp has files that no machine sees",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

/// Where engines mount files of their own (podman, buildah); the empty file below stays.
const MOUNTED_ON: [&[u8]; 2] = [
    b"run/.containerenv",
    b"run/systemd/resolve/stub-resolv.conf",
];

fn holds(entry: &Entry<'_>) -> bool {
    let is_stub = entry.meta.size == 0
        && (MOUNTED_ON.contains(&entry.path) || entry.below("run/secrets").is_some());
    let is_inside = entry.below("run").is_some() || entry.below("tmp").is_some();
    is_inside && entry.meta.kind != Kind::Directory && !is_stub
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "entry", "entries");
    RULE.about(
        paths,
        format!("{what} in /run or /tmp will not be on the machine"),
        "remove it in the same RUN; if a program needs it, make it at boot with tmpfiles.d: \
         `d /run/NAME 0755 root root -`",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn files_and_links_are_told() {
        let tree = Fixture::new().file("run/acme/pid", "1").link("tmp/a", "b");
        let tree = tree.file("run/.containerenv", "engine=\"podman\"\n");
        let found = ["/run/.containerenv", "/run/acme/pid", "/tmp/a"];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn what_engines_leave_is_of_no_consequence() {
        let tree = Fixture::new().directory("tmp").directory("run/lock");
        let tree = tree.file("run/.containerenv", "");
        let tree = tree.file("run/systemd/resolve/stub-resolv.conf", "");
        assert_eq!(tree.file("usr/run/x", "").findings_of(&RULE), []);
    }
}
