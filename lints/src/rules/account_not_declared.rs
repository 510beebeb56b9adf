//! # What it does
//! Finds system accounts of /etc/passwd and /etc/group that nothing declares. Neither sysusers.d
//! has them, nor /usr/lib/passwd and /usr/lib/group.
//!
//! # Why it breaks
//! A host that ever added an account keeps its own /etc/passwd and /etc/group. From a newer image
//! it gets only the accounts of sysusers.d. It lacks the other accounts. Services that run as them
//! fail (217/USER), and their files belong to nobody.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system acme
//! ```
//!
//! # Fix
//! Declare the account with the id that the image has for it:
//! ```ini
//! # /usr/lib/sysusers.d/acme.conf
//! u acme 950 "Acme" /var/lib/acme
//! ```

use std::collections::BTreeSet;

use super::{Check, Findings, Rule};
use crate::machine::History;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-not-declared",
    aliases: &["sysusers"],
    severity: Severity::Warning,
    summary: "a system account is neither in sysusers.d nor in /usr/lib/passwd",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// The lowest id of people's accounts, and the first above them (login.defs, systemd's
/// `UIDS-GIDS.md`): those are the machine's business.
const PEOPLE: std::ops::Range<u32> = 1000..60000;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let declared = image.accounts(History::Upgraded);
    let mut told = BTreeSet::new();
    let mut findings = Findings::default();
    let users = image.users().filter(|(path, user)| {
        path.starts_with("etc/")
            && !PEOPLE.contains(&user.uid)
            && !declared.users.contains(user.name)
    });
    for (_, user) in users {
        if told.insert(user.name) {
            findings.push(|| {
                let name = escape_path(user.name);
                let line = format!("u {name} {}", user.uid);
                finding("user", "/etc/passwd", &name, &line)
            });
        }
    }
    let groups = image.groups().filter(|(path, group)| {
        path.starts_with("etc/")
            && !PEOPLE.contains(&group.gid)
            && !declared.groups.contains(group.name)
    });
    for (_, group) in groups {
        // A user's line declares its group, too.
        if told.insert(group.name) {
            findings.push(|| {
                let name = escape_path(group.name);
                let line = format!("g {name} {}", group.gid);
                finding("group", "/etc/group", &name, &line)
            });
        }
    }
    findings.told(RULE.severity)
}

/// Without paths: all such findings are about one file, and only the names tell them apart.
fn finding(what: &str, file: &str, name: &str, line: &str) -> Finding {
    RULE.finding(
        format!("the {what} {name} of {file} is not in sysusers.d"),
        format!("add a line to a file in /usr/lib/sysusers.d: `{line}`"),
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn system_accounts_that_nothing_declares_are_found() {
        let fixture = Fixture::new()
            .file(
                "etc/passwd",
                "root:x:0:0::/:/bin/sh\nacme:x:950:950::/:/bin/sh\n",
            )
            .file("etc/group", "root:x:0:\nacme:x:950:\nplugdev:x:951:\n");
        let found = fixture.findings_of(&RULE).into_iter();
        let told: Vec<_> = found
            .map(|finding| (finding.message, finding.help))
            .collect();
        let line = |line: &str| format!("add a line to a file in /usr/lib/sysusers.d: `{line}`");
        assert_eq!(
            told,
            [
                (
                    "the user acme of /etc/passwd is not in sysusers.d".to_owned(),
                    line("u acme 950")
                ),
                (
                    "the group plugdev of /etc/group is not in sysusers.d".to_owned(),
                    line("g plugdev 951")
                ),
            ]
        );
    }

    #[test]
    fn declared_accounts_people_and_those_of_usr_are_right() {
        let fixture = Fixture::new()
            .file(
                "etc/passwd",
                "a:x:1:1::/:/\nb:x:2:2::/:/\nc:x:3:3::/:/\nme:x:1000:1000::/:/\n",
            )
            .file("etc/group", "a:x:1:\nb:x:2:\nc:x:3:\nd:x:4:\nme:x:1000:\n")
            .file("usr/lib/sysusers.d/a.conf", "u a 1\nm a d\n")
            .file("usr/lib/passwd", "b:x:2:2::/:/\n")
            .file("usr/lib/group", "b:x:2:\n")
            .file("usr/share/base-passwd/passwd.master", "c:*:3:3::/:/\n")
            .file("usr/share/base-passwd/group.master", "c:*:3:\n");
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
