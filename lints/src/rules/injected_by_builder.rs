//! # What it does
//! Finds an empty /etc/hostname, /etc/hosts or /etc/resolv.conf.
//!
//! # Why it breaks
//! A build engine left the file where it had mounted its own. If resolv.conf is empty, systemd
//! takes it for the host's own and leaves it so. The host resolves no names. Without /etc/hosts,
//! some programs do not find localhost.
//!
//! # Example
//! ```dockerfile
//! RUN rm /etc/resolv.conf
//! ```
//!
//! # Fix
//! Have boot make the file, with a line of tmpfiles.d:
//! ```text
//! L+! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf
//! ```
//! A RUN cannot remove the file, because it is a mount there.

use super::{Check, EntryCheck, Rule, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "injected-by-builder",
    aliases: &["buildah-injected"],
    severity: Severity::Warning,
    summary: "an empty hostname, hosts or resolv.conf that a build engine left",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

const INJECTED: [&[u8]; 3] = [b"etc/hostname", b"etc/hosts", b"etc/resolv.conf"];

/// In a running container they are mounts, which the walk leaves out.
fn holds(entry: &Entry<'_>) -> bool {
    INJECTED.contains(&entry.path) && entry.meta.kind == Kind::File && entry.meta.size == 0
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "empty file", "empty files");
    RULE.about(
        paths,
        format!("{what} that a build engine left in /etc"),
        "have boot make it by a line of tmpfiles.d \
         (`L+! /etc/resolv.conf - - - - ../run/systemd/resolve/stub-resolv.conf`)",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn empty_files_are_told() {
        let tree = Fixture::new().file("etc/hostname", "");
        let tree = tree.file("etc/resolv.conf", "").file("etc/exports", "");
        assert_eq!(tree.paths_of(&RULE), ["/etc/hostname", "/etc/resolv.conf"]);
    }

    #[test]
    fn files_with_content_and_links_are_right() {
        let tree = Fixture::new().file("etc/hosts", "127.0.0.1 localhost\n");
        let tree = tree.link("etc/resolv.conf", "../run/systemd/resolve/resolv.conf");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
