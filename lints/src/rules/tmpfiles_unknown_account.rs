//! # What it does
//! Finds lines in tmpfiles.d that name an unknown user or group. The account files of the image do
//! not have it, and sysusers.d does not create it.
//!
//! # Why it breaks
//! systemd-tmpfiles skips the whole line. What the line should create is missing. The service that
//! needs it does not start.
//!
//! # Example
//! ```text
//! d /var/lib/acme 0750 acme acme -
//! ```
//!
//! # Fix
//! Declare the account in /usr/lib/sysusers.d. Its service runs before:
//! ```text
//! u acme - "Acme daemon" /var/lib/acme
//! ```

use std::collections::BTreeSet;

use super::tmpfiles_rejected::path_of;
use super::{Check, Rule};
use crate::model::sysusers::{Item, PrimaryGroup};
use crate::model::tmpfiles::Owner;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-unknown-account",
    severity: Severity::Warning,
    summary: "a tmpfiles.d line names an account that does not exist",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Names by which accounts can be found at boot.
#[derive(Default)]
struct Known<'a> {
    users: BTreeSet<&'a [u8]>,
    groups: BTreeSet<&'a [u8]>,
}

fn check(image: &Image<'_>) -> Vec<Finding> {
    let known = known(image);
    let mut findings = Vec::new();
    // A tree without accounts is no whole system: nothing can be said.
    if known.users.is_empty() || known.groups.is_empty() {
        return findings;
    }
    for line in &image.tmpfiles().lines {
        // `-`: that the line fails does not matter.
        if line.modifiers.contains(&b'-') {
            continue;
        }
        let unknown = |owner: &Option<Owner>, names: &BTreeSet<&[u8]>| match owner {
            Some(Owner::Name(name)) if name != b"root" && !names.contains(&name[..]) => {
                Some(escape_path(name))
            }
            _ => None,
        };
        let user = unknown(&line.user, &known.users).map(|name| ("user", 'u', name));
        let group = unknown(&line.group, &known.groups).map(|name| ("group", 'g', name));
        let Some((kind, letter, name)) = user.or(group) else {
            continue;
        };
        let path = path_of(image, &line.file);
        findings.push(RULE.finding(
            format!(
                "{path}:{} is skipped: there is no {kind} {name}",
                line.number
            ),
            format!("declare it in /usr/lib/sysusers.d: `{letter} {name} -`"),
            vec![path],
        ));
    }
    findings
}

fn known<'a>(image: &'a Image<'_>) -> Known<'a> {
    let mut known = Known::default();
    known.users.extend(image.users().map(|(_, user)| user.name));
    known
        .groups
        .extend(image.groups().map(|(_, group)| group.name));
    let files = image.sysusers().iter();
    for line in files.flat_map(|(_, parsed)| &parsed.lines) {
        match &line.item {
            Item::User(user) => {
                known.users.insert(&user.name);
                if user.group == PrimaryGroup::OwnName {
                    known.groups.insert(&user.name);
                }
            }
            Item::Group { name, .. } => {
                known.groups.insert(name);
            }
            Item::Member { user, group } => {
                known.users.insert(user);
                known.groups.insert(group);
            }
            Item::Range { .. } => {}
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn system(lines: &str) -> Fixture {
        let tree = Fixture::new().file("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
        let tree = tree.file("etc/group", "root:x:0:\nadm:x:4:\n");
        tree.file("usr/lib/tmpfiles.d/a.conf", lines)
    }

    #[test]
    fn unknown_names_are_told() {
        let tree = system("d /run/a 0755 acme adm -\nd /run/b 0755 root acme -\n");
        let found = tree.findings_of(&RULE);
        let messages: Vec<_> = found.iter().map(|finding| &finding.message).collect();
        assert_eq!(
            messages,
            [
                "/usr/lib/tmpfiles.d/a.conf:1 is skipped: there is no user acme",
                "/usr/lib/tmpfiles.d/a.conf:2 is skipped: there is no group acme"
            ]
        );
        // Such a line makes no group of the user's name.
        let tree = tree.file("usr/lib/sysusers.d/a.conf", "u acme -:adm\n");
        let found = tree.findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.ends_with("no group acme"));
    }

    #[test]
    fn names_of_any_account_file_and_of_sysusers_are_right() {
        let lines = "d /run/a 0755 acme acme\nd /run/b 0755 0 adm\nz- /run/c - gone\nd /d - alt\n";
        let tree = system(lines).file("usr/lib/sysusers.d/a.conf", "u acme -\n");
        let tree = tree.file("usr/lib/passwd", "alt:x:9:9::/:/bin/sh\n");
        assert_eq!(tree.findings_of(&RULE), []);
        let no_system = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", lines);
        assert_eq!(no_system.findings_of(&RULE), []);
    }
}
