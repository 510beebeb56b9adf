//! # What it does
//! Finds two users with one uid, or two groups with one gid.
//!
//! # Why it breaks
//! A file on disk belongs to a number, so both accounts own it. On a host, systemd-sysusers gives
//! no id twice. The second account gets another id there. The files that the image has for it
//! belong to the first.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system --non-unique --uid 100 twin
//! ```
//!
//! # Fix
//! Give each account its own id: `useradd --system twin`. To share files, make both members of one
//! group.

use std::collections::HashMap;

use super::{Check, Findings, Rule};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-duplicate-id",
    severity: Severity::Warning,
    summary: "two users or two groups have the same id",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// The commit asks of what a step has added; here of all that the image has.
fn check(image: &Image<'_>) -> Vec<Finding> {
    let users = (image.users()).map(|(file, user)| (user.uid, user.name, file));
    let groups = (image.groups()).map(|(file, group)| (group.gid, group.name, file));
    let mut findings = Findings::default();
    shared("uid", users, &mut findings);
    shared("gid", groups, &mut findings);
    findings.told(RULE.severity)
}

/// Finds the ids of more than one account.
fn shared<'a>(
    what: &str,
    accounts: impl Iterator<Item = (u32, &'a [u8], &'a str)>,
    findings: &mut Findings,
) {
    let mut first: HashMap<u32, &[u8]> = HashMap::new();
    for (id, name, file) in accounts {
        let owner = *first.entry(id).or_insert(name);
        if owner != name {
            findings.push(|| {
                let (owner, name) = (escape_path(owner), escape_path(name));
                finding(what, id, &owner, &name, &format!("/{file}"))
            });
        }
    }
}

/// The finding about one id; `what` is `uid` or `gid`, `second` came after `first` in the file.
pub fn finding(what: &str, id: u32, first: &str, second: &str, path: &str) -> Finding {
    RULE.finding(
        format!(
            "{first} and {second} have the same {what} {id}: only {first} keeps it on a machine"
        ),
        format!("give {second} a {what} of its own"),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn twins_of_an_image_are_found_and_one_name_in_two_files_is_no_twin() {
        let fixture = Fixture::new()
            .file(
                "etc/passwd",
                "root:x:0:0::/:/\na:x:100:1::/:/\nb:x:100:1::/:/\n",
            )
            .file("usr/lib/passwd", "root:x:0:0::/:/\n")
            .file("etc/group", "a:x:1:\nb:x:2:\n");
        let found = fixture.findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .message
                .starts_with("a and b have the same uid 100")
        );
    }

    #[test]
    fn both_names_and_the_id_are_told() {
        assert_eq!(
            finding("uid", 100, "a", "b", "/etc/passwd").message,
            "a and b have the same uid 100: only a keeps it on a machine"
        );
    }
}
