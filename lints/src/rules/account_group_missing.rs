//! # What it does
//! Finds users in sysusers.d whose primary group (`u NAME UID:GROUP`) nothing declares.
//!
//! It is an error if no host gets the user. It is a warning if newly installed hosts are fine:
//!
//! - The image's own /etc has the user or the group.
//! - A group that gets its id only on the host may be the one.
//!
//! # Why it breaks
//! For such a line, systemd-sysusers creates no group. It does not create the user either: "please
//! create GID". A host that changed its /etc/group lacks the group even if the image has it.
//!
//! # Example
//! ```dockerfile
//! RUN echo 'u acme 950:web' >/usr/lib/sysusers.d/acme.conf
//! ```
//!
//! # Fix
//! Declare the group as well: `g web 951`.

use super::{Check, Rule};
use crate::machine::History;
use crate::model::sysusers::{Id, Item, PrimaryGroup};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-group-missing",
    severity: Severity::Error,
    summary: "sysusers.d declares a user with a primary group that nothing declares",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let accounts = image.accounts(History::Upgraded);
    let fresh = image.accounts(History::Fresh);
    let has_automatic_groups = (image.sysusers().iter())
        .flat_map(|(_, parsed)| &parsed.lines)
        .any(|line| match &line.item {
            Item::Group { id, .. } => *id == Id::Automatic,
            Item::User(user) => user.group == PrimaryGroup::OwnName && user.id == Id::Automatic,
            Item::Member { .. } => true,
            Item::Range { .. } => false,
        });
    let mut findings = Vec::new();
    for (file, parsed) in image.sysusers() {
        for line in &parsed.lines {
            let Item::User(user) = &line.item else {
                continue;
            };
            let (group, fix, is_on_none) = match &user.group {
                PrimaryGroup::Name(name) if !accounts.groups.contains(&name[..]) => {
                    let text = escape_path(name);
                    let fix = format!("g {text} -");
                    (text, fix, !fresh.groups.contains(&name[..]))
                }
                // A group whose id is only known on the machine may have this one.
                PrimaryGroup::Id(gid) if !accounts.gids.contains(gid) => (
                    gid.to_string(),
                    format!("g NAME {gid}"),
                    !fresh.gids.contains(gid) && !has_automatic_groups,
                ),
                _ => continue,
            };
            let is_fact = is_on_none && !fresh.users.contains(&user.name[..]);
            let (on, severity) = if is_fact {
                ("", Severity::Error)
            } else {
                (" on machines upgraded to the image", Severity::Warning)
            };
            let name = escape_path(&user.name);
            let finding = RULE.finding(
                format!("the user {name} is not made{on}: nothing declares its group {group}"),
                format!(
                    "add a line before line {} of /{}: `{fix}`",
                    line.number, file.path
                ),
                vec![format!("/{}", file.path)],
            );
            findings.push(Finding {
                severity,
                ..finding
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn messages(lines: &str) -> Vec<String> {
        let fixture = Fixture::new()
            .file("etc/group", "local:x:5:\n")
            .file("usr/lib/group", "shared:x:6:\n")
            .file("usr/lib/sysusers.d/a.conf", lines);
        fixture.messages_of(&RULE)
    }

    #[test]
    fn a_group_that_nothing_declares_is_found() {
        let of = |group: &str, on: &str| {
            let message = format!("the user a is not made{on}: nothing declares its group {group}");
            assert_eq!(messages(&format!("u a 7:{group}\n")), [message]);
        };
        of("web", "");
        of("9", "");
        for group in ["5", "local"] {
            of(group, " on machines upgraded to the image");
        }
    }

    #[test]
    fn only_a_user_that_no_machine_has_fails_a_build() {
        let severity = |passwd: &str, lines: &str| {
            let fixture = Fixture::new().file("etc/passwd", passwd);
            let fixture = fixture.file("usr/lib/sysusers.d/a.conf", lines);
            fixture.findings_of(&RULE)[0].severity
        };
        assert_eq!(severity("", "u a 7:web\n"), Severity::Error);
        assert_eq!(
            severity("a:x:7:8::/:/x\n", "u a 7:web\n"),
            Severity::Warning
        );
        assert_eq!(severity("", "u a 7:9\ng other -\n"), Severity::Warning);
    }

    #[test]
    fn groups_of_lines_of_usr_and_of_the_user_itself_are_right() {
        for lines in [
            "u a 7",
            "u a 7:web\ng web 8",
            "u a 7:8\ng web 8",
            "u a 7:shared",
            "u a 7:6",
            "u a 7:root",
            "u web 8\nu a 7:web",
            "m other web\nu a -:web",
        ] {
            assert_eq!(messages(lines), [""; 0], "{lines}");
        }
    }
}
