//! # What it does
//! Finds paths that two files of tmpfiles.d declare as different things. One makes a directory and
//! the other a link or a copy, or the owners differ.
//!
//! # Why it breaks
//! Of two lines for one path, the first one counts, in the order of the file names. The other one
//! is ignored. So a file name decides, and not what the package meant.
//!
//! # Example
//! ```text
//! acme.conf:  C /var/lib/acme - - - -
//! zacme.conf: d /var/lib/acme 0750 acme acme -
//! ```
//!
//! # Fix
//! Remove one of them. To replace a package's line, put a file of the same name into
//! /etc/tmpfiles.d.

use std::collections::HashMap;

use super::tmpfiles_rejected::path_of;
use super::{Check, Rule, absolute};
use crate::model::tmpfiles::{Line, Owner};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-duplicate-path",
    severity: Severity::Warning,
    summary: "two files of tmpfiles.d declare different things for one path",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut first: HashMap<&[u8], &Line> = HashMap::new();
    let mut findings = Vec::new();
    let lines = image.tmpfiles().lines.iter();
    for line in lines.filter(|line| line.makes_something()) {
        let known = first.entry(&line.path).or_insert(line);
        let is_moved = leads_to_database(known) && line.makes_directory();
        if known.file == line.file || is_moved || !differ(known, line) {
            continue;
        }
        let place = |line: &Line| format!("{}:{}", path_of(image, &line.file), line.number);
        let path = absolute(&line.path[1..]);
        // The files first: boot makes the path itself, so no instruction brings it.
        let files = [line, known].map(|line| path_of(image, &line.file));
        findings.push(RULE.finding(
            format!(
                "{} is ignored: {} declares {path} as something else",
                place(line),
                place(known)
            ),
            format!("remove one of the two lines for {path}"),
            files.into_iter().chain([path]).collect(),
        ));
    }
    findings
}

/// Whether a line makes a link to where a package manager's database is in the image: who asks for a directory in the
/// link's place has one.
fn leads_to_database(line: &Line) -> bool {
    const HOMES: [&[u8]; 2] = [b"usr/lib/sysimage/", b"etc/alternatives-admindir"];
    let target = line.argument.as_deref().unwrap_or_default();
    let start = target.iter().position(|byte| !b"./".contains(byte));
    let target = &target[start.unwrap_or_default()..];
    line.kind == b'L' && HOMES.iter().any(|home| target.starts_with(home))
}

/// Modes and ages alone are no contradiction: distributions override them by a file that sorts
/// before.
fn differ(one: &Line, other: &Line) -> bool {
    let is_directory = |line: &Line| line.makes_directory();
    let kind = if is_directory(one) && is_directory(other) {
        true
    } else {
        let truncates = |kind: u8| if kind == b'F' { b'f' } else { kind };
        truncates(one.kind) == truncates(other.kind)
    };
    let is_link = one.kind == b'L' && other.kind == b'L';
    let target = is_link && one.argument != other.argument;
    !kind
        || target
        || owner(one.user.as_ref()) != owner(other.user.as_ref())
        || owner(one.group.as_ref()) != owner(other.group.as_ref())
}

/// What is made without a word about its owner is root's.
fn owner(owner: Option<&Owner>) -> Option<&Owner> {
    owner.filter(|owner| match owner {
        Owner::Name(name) => name != b"root",
        Owner::Id(id) => *id != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn both(one: &str, other: &str) -> Fixture {
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", one);
        tree.file("etc/tmpfiles.d/b.conf", other)
    }

    #[test]
    fn a_directory_may_be_a_link_to_a_database() {
        let database = "L /var/lib/dnf - - - - ../../usr/lib/sysimage/dnf\n";
        let tree = both(database, "d /var/lib/dnf\n");
        assert_eq!(tree.findings_of(&RULE), []);
        let tree = both(
            "L /var/lib/dnf - - - - ../../usr/lib/dnf\n",
            "d /var/lib/dnf\n",
        );
        assert_eq!(tree.findings_of(&RULE).len(), 1);
    }

    #[test]
    fn contradictions_are_told() {
        let tree = both("d /var/a\nd /var/b - acme\n", "C /var/a\nd /var/b - root\n");
        let found = tree.findings_of(&RULE);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].message,
            "/etc/tmpfiles.d/b.conf:1 is ignored: /usr/lib/tmpfiles.d/a.conf:1 declares /var/a as \
             something else"
        );
        let files = ["/etc/tmpfiles.d/b.conf", "/usr/lib/tmpfiles.d/a.conf"];
        assert_eq!(found[0].paths, [files[0], files[1], "/var/a"]);
        assert_eq!(found[1].paths, [files[0], files[1], "/var/b"]);
    }

    #[test]
    fn the_same_again_and_other_modes_are_right() {
        let one = "d /run/lock 1777 root root\nq /var/tmp 1777\nL /a - - - - b\n";
        let other = "d /run/lock 0755 0 -\nd /var/tmp 1777 - - 30d\nL+ /a - - - - b\nz /run/lock\n";
        assert_eq!(both(one, other).findings_of(&RULE), []);
    }
}
