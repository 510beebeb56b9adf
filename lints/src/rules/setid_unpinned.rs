//! # What it does
//! Finds setuid and setgid programs of an account without a fixed id. Such an account has `-` as
//! its id in sysusers.d, and no passwd file of /usr pins it. Each host chooses the id itself.
//!
//! # Why it breaks
//! The program carries the id that the account had in the build. On a host the account may have
//! another id. There the program runs as nobody in particular, or with the rights of a stranger.
//!
//! # Example
//! ```dockerfile
//! RUN echo 'g mail-drop -' >/usr/lib/sysusers.d/drop.conf && systemd-sysusers && \
//!     chgrp mail-drop /usr/bin/drop && chmod g+s /usr/bin/drop
//! ```
//!
//! # Fix
//! Pin the id, in a file that sorts before the package's own:
//! ```ini
//! # /usr/lib/sysusers.d/00-drop.conf
//! g mail-drop 951
//! ```

use std::collections::BTreeMap;

use super::{Check, Rule, absolute};
use crate::machine::History;
use crate::model::sysusers::{Id, Item, PrimaryGroup};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "setid-unpinned",
    severity: Severity::Warning,
    summary: "a setuid or setgid program belongs to an account whose id each machine chooses",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    if image.gathered.set_ids.is_empty() {
        return Vec::new();
    }
    let pinned = image.accounts(History::Upgraded);
    let (users, groups) = automatic(image);
    let name_of_user = |uid: u32| {
        let mut found = image.users().filter(|(_, user)| user.uid == uid);
        found
            .find(|(_, user)| users.contains(&user.name))
            .map(|(_, user)| user.name)
    };
    let name_of_group = |gid: u32| {
        let mut found = image.groups().filter(|(_, group)| group.gid == gid);
        found
            .find(|(_, group)| groups.contains(&group.name))
            .map(|(_, group)| group.name)
    };
    let mut by_account: BTreeMap<(&str, u32, &[u8]), Vec<String>> = BTreeMap::new();
    let is_kept = |path: &[u8]| !path.starts_with(b"tmp/") && !path.starts_with(b"run/");
    for (path, meta) in (image.gathered.set_ids.iter()).filter(|(path, _)| is_kept(path)) {
        let carries = |bit: u32| meta.mode & bit != 0;
        let user = (carries(0o4000) && !pinned.uids.contains(&meta.uid))
            .then(|| name_of_user(meta.uid))
            .flatten();
        let group = (carries(0o2000) && !pinned.gids.contains(&meta.gid))
            .then(|| name_of_group(meta.gid))
            .flatten();
        for (what, id, name) in [("user", meta.uid, user), ("group", meta.gid, group)] {
            if let Some(name) = name {
                let paths = by_account.entry((what, id, name)).or_default();
                paths.push(absolute(path));
            }
        }
    }
    let findings = by_account.into_iter();
    findings
        .map(|((what, id, name), paths)| {
            let (first, name) = (
                paths.first().cloned().unwrap_or_default(),
                escape_path(name),
            );
            let letter = &what[..1];
            RULE.finding(
                format!(
                    "{first} runs as the {what} {name}: the image has id {id}, each machine chooses \
                     its own"
                ),
                format!("pin it in /usr/lib/sysusers.d/00-{name}.conf: `{letter} {name} {id}`"),
                paths.into_iter().take(super::MAX_NAMED).collect(),
            )
        })
        .collect()
}

/// The names of users and groups whose first line in sysusers.d leaves the id open.
fn automatic<'a>(image: &'a Image<'_>) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let mut first_users: BTreeMap<&[u8], bool> = BTreeMap::new();
    let mut first_groups: BTreeMap<&[u8], bool> = BTreeMap::new();
    for line in image
        .sysusers()
        .iter()
        .flat_map(|(_, parsed)| &parsed.lines)
    {
        match &line.item {
            Item::User(user) => {
                let is_open = user.id == Id::Automatic;
                first_users.entry(&user.name).or_insert(is_open);
                if user.group == PrimaryGroup::OwnName {
                    first_groups.entry(&user.name).or_insert(is_open);
                }
            }
            Item::Group { name, id } => {
                // A group's own line counts more than that of a user of its name.
                first_groups.insert(name, *id == Id::Automatic);
            }
            Item::Member { .. } | Item::Range { .. } => {}
        }
    }
    let open = |names: BTreeMap<&'a [u8], bool>| {
        let names = names.into_iter().filter(|(_, is_open)| *is_open);
        names.map(|(name, _)| name).collect()
    };
    (open(first_users), open(first_groups))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn messages(line: &str, mode: u32) -> Option<Vec<String>> {
        let fixture = Fixture::new()
            .file("etc/passwd", "drop:x:950:951::/:/bin/sh\n")
            .file("etc/group", "drop:x:951:\n")
            .file("usr/lib/sysusers.d/drop.conf", line)
            .program("usr/bin/drop");
        // Giving a file away takes its mode's highest bits.
        let is_given = fixture.give("usr/bin/drop", 950, 951);
        let fixture = fixture.mode("usr/bin/drop", mode);
        let found = fixture.findings_of(&RULE).into_iter();
        is_given.then(|| found.map(|finding| finding.message).collect())
    }

    #[test]
    fn programs_of_accounts_with_open_ids_are_found() {
        let Some(found) = messages("g drop -\nu drop -\n", 0o6755) else {
            return;
        };
        assert_eq!(
            found,
            [
                "/usr/bin/drop runs as the group drop: the image has id 951, each machine chooses \
                 its own",
                "/usr/bin/drop runs as the user drop: the image has id 950, each machine chooses \
                 its own",
            ]
        );
    }

    #[test]
    fn pinned_ids_and_other_programs_are_right() {
        for (line, mode) in [
            ("g drop 951\nu drop 950\n", 0o6755),
            ("g drop -\nu drop -\n", 0o755),
            ("g drop 951\nu drop -\n", 0o2755),
        ] {
            if let Some(found) = messages(line, mode) {
                assert_eq!(found, [""; 0], "{line}");
            }
        }
    }
}
