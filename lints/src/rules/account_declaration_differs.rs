//! # What it does
//! Finds accounts that sysusers.d declares with another id or home than the image has. It compares
//! with the image's /etc/passwd and /etc/group.
//!
//! # Why it breaks
//! Files of the image carry the id that the account had in the build. A host that gets the account
//! from sysusers.d gives it the other id. There the account does not own its files. Another account
//! may own them.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system --uid 950 acme && echo 'u acme 951' >/usr/lib/sysusers.d/acme.conf
//! ```
//!
//! # Fix
//! Write the id and the home that the account has into the line: `u acme 950`.

use std::collections::{HashMap, HashSet};

use super::{Check, Rule};
use crate::model::passwd::User;
use crate::model::sysusers::{Id, Item};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-declaration-differs",
    severity: Severity::Warning,
    summary: "sysusers.d declares another id or home for an account than the image has",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let lines = image
        .sysusers()
        .iter()
        .flat_map(|(_, parsed)| &parsed.lines);
    let declared: HashSet<&[u8]> = lines
        .filter_map(|line| match &line.item {
            Item::User(user) => Some(&user.name[..]),
            Item::Group { name, .. } => Some(&name[..]),
            Item::Member { .. } | Item::Range { .. } => None,
        })
        .collect();
    let users: HashMap<&[u8], User<'_>> = (image.users())
        .filter(|(_, user)| declared.contains(user.name))
        .map(|(_, user)| (user.name, user))
        .collect();
    let groups: HashMap<&[u8], u32> = (image.groups())
        .filter(|(_, group)| declared.contains(group.name))
        .map(|(_, group)| (group.name, group.gid))
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    let mut findings = Vec::new();
    for (file, parsed) in image.sysusers() {
        for line in &parsed.lines {
            let (name, differences) = match &line.item {
                Item::User(declared) => {
                    let Some(user) = users.get(&declared.name[..]) else {
                        continue;
                    };
                    let uid = different_id("uid", &declared.id, user.uid);
                    let home = declared.home.as_deref();
                    // Without a home systemd says `/`, and so many a useradd /nonexistent.
                    let home = home.filter(|home| trimmed(home) != trimmed(user.home));
                    let home = home.map(|home| {
                        let (has, says) = (escape_path(user.home), escape_path(home));
                        format!("has the home {has}, sysusers.d says {says}")
                    });
                    (&declared.name, [uid, home])
                }
                Item::Group { name, id } => {
                    let Some(gid) = groups.get(&name[..]) else {
                        continue;
                    };
                    (name, [different_id("gid", id, *gid), None])
                }
                Item::Member { .. } | Item::Range { .. } => continue,
            };
            // Of two lines for an account the first counts.
            let is_user = matches!(line.item, Item::User(_));
            if !seen.insert((is_user, name.clone())) {
                continue;
            }
            for difference in differences.into_iter().flatten() {
                findings.push(RULE.finding(
                    format!("{} {difference}", escape_path(name)),
                    format!("change line {} of /{}", line.number, file.path),
                    vec![format!("/{}", file.path)],
                ));
            }
        }
    }
    findings
}

fn different_id(what: &str, declared: &Id, has: u32) -> Option<String> {
    match declared {
        Id::Number(id) if *id != has => Some(format!("has the {what} {has}, sysusers.d says {id}")),
        // `-` is another rule's matter, and a path's owner is whoever it is.
        _ => None,
    }
}

fn trimmed(home: &[u8]) -> &[u8] {
    match home {
        [start @ .., b'/'] if !start.is_empty() => start,
        home => home,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn messages(lines: &str) -> Vec<String> {
        let fixture = Fixture::new()
            .file("etc/passwd", "acme:x:950:950::/var/lib/acme:/bin/sh\n")
            .file("etc/group", "acme:x:950:\n")
            .file("usr/lib/sysusers.d/acme.conf", lines);
        fixture.messages_of(&RULE)
    }

    #[test]
    fn other_ids_and_homes_are_found() {
        assert_eq!(
            messages("g acme 952\nu acme 951 \"\" /srv\n"),
            [
                "acme has the gid 950, sysusers.d says 952",
                "acme has the uid 950, sysusers.d says 951",
                "acme has the home /var/lib/acme, sysusers.d says /srv",
            ]
        );
    }

    #[test]
    fn the_same_or_nothing_said_is_right() {
        for lines in [
            "u acme 950:950 - /var/lib/acme/",
            "u acme -",
            "g acme 950",
            "u other 1",
            "u acme 950\nu acme 951",
            "u acme /usr/bin/acme",
        ] {
            assert_eq!(messages(lines), [""; 0], "{lines}");
        }
    }
}
