//! # What it does
//! Finds files whose owner or group is a number that no account of the image has. It looks in
//! /etc/passwd and /etc/group, in those of /usr/lib, and in sysusers.d.
//!
//! # Why it breaks
//! The files belong to nobody. When a host gives the number to an account, they belong to that
//! account.
//!
//! # Example
//! ```dockerfile
//! COPY --chown=950:950 acme /usr/lib/acme
//! ```
//!
//! # Fix
//! Give the files to an account that the image has. Or declare one with that number: `u acme 950`.

use std::collections::BTreeSet;

use super::{Check, MAX_NAMED, Rule, counted};
use crate::machine::History;
use crate::tree::Paths;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "owner-unknown",
    severity: Severity::Warning,
    summary: "files belong to a number that no account has",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let accounts = image.accounts(History::Fresh);
    // All ids that anything says, also where a name has two.
    let mut uids = accounts.uids.clone();
    let mut gids = accounts.gids.clone();
    uids.extend(image.users().map(|(_, user)| user.uid));
    gids.extend(image.groups().map(|(_, group)| group.gid));
    let gathered = &image.gathered;
    let users = gathered
        .users
        .iter()
        .map(|(id, paths)| ("user", *id, paths, &uids));
    let groups = gathered
        .groups
        .iter()
        .map(|(id, paths)| ("group", *id, paths, &gids));
    let mut unknown: Vec<(&str, u32, &Paths)> = users
        .chain(groups)
        .filter(|(_, id, _, known): &(_, _, _, &BTreeSet<u32>)| !known.contains(id))
        .map(|(what, id, paths, _)| (what, id, paths))
        .collect();
    unknown.sort_by_key(|(what, id, _)| (std::cmp::Reverse(*what), *id));
    unknown
        .into_iter()
        .filter_map(|(what, id, paths)| finding(what, id, paths))
        .collect()
}

fn finding(what: &str, id: u32, paths: &Paths) -> Option<Finding> {
    // What a running container or the build has there is no part of the image.
    let is_dropped = |path: &[u8]| {
        let top = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        [&b"dev"[..], b"proc", b"run", b"sys", b"tmp"].contains(&top)
    };
    let named: Vec<&Vec<u8>> = (paths.first.iter())
        .filter(|path| !is_dropped(path))
        .collect();
    if named.is_empty() {
        return None;
    }
    let dropped = paths.first.len() - named.len();
    let count = paths.count - dropped as u64;
    let (files, letter) = (
        counted(count, "entry belongs", "entries belong"),
        &what[..1],
    );
    Some(
        RULE.finding(
            format!("{files} to the {what} {id}, which no account of the image has"),
            format!(
                "change their {what} with chown in the step that makes them, or declare it in \
                 sysusers.d: `{letter} NAME {id}`"
            ),
            named
                .into_iter()
                .take(MAX_NAMED)
                .map(|path| super::absolute(path))
                .collect(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_number_without_account_is_found() {
        let mut paths = Paths::default();
        for path in ["usr/lib/b", "tmp/x", "usr/lib/a"] {
            paths.add(path.as_bytes());
        }
        let found = finding("user", 950, &paths).expect("a finding");
        assert_eq!(
            found.message,
            "2 entries belong to the user 950, which no account of the image has"
        );
        assert_eq!(found.paths, ["/usr/lib/a", "/usr/lib/b"]);
        let mut dropped = Paths::default();
        dropped.add(b"run/a");
        assert_eq!(finding("user", 950, &dropped), None);
    }

    #[test]
    fn owners_are_looked_for_in_passwd_and_in_sysusers() {
        let tree = Fixture::new().file("usr/lib/a", "");
        if !tree.give("usr/lib/a", 950, 951) {
            return;
        }
        assert_eq!(tree.findings_of(&RULE).len(), 2);
        let lines = "u a 950\ng b 951\n";
        assert_eq!(
            tree.file("usr/lib/sysusers.d/a.conf", lines)
                .findings_of(&RULE),
            []
        );
    }
}
