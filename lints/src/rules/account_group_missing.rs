//! # What it does
//! Looks for users that sysusers.d declares with a primary group (`u NAME UID:GROUP`) which nothing
//! declares.
//!
//! # Why it breaks
//! systemd-sysusers makes no group for such a line and does not make the user either: "please create
//! GID". On a machine whose /etc/group was changed the group is missing even if the image has it.
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
use crate::model::sysusers::{Item, PrimaryGroup};
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
    let mut findings = Vec::new();
    for (file, parsed) in image.sysusers() {
        for line in &parsed.lines {
            let Item::User(user) = &line.item else {
                continue;
            };
            let (group, fix) = match &user.group {
                PrimaryGroup::Name(name) if !accounts.groups.contains(name) => {
                    let name = escape_path(name);
                    (name.clone(), format!("g {name} -"))
                }
                // A group whose id is only known on the machine may have this one.
                PrimaryGroup::Id(gid) if !accounts.gids.contains(gid) => {
                    (gid.to_string(), format!("g NAME {gid}"))
                }
                _ => continue,
            };
            let name = escape_path(&user.name);
            findings.push(RULE.finding(
                format!("the user {name} is not made: nothing declares its group {group}"),
                format!(
                    "add a line before line {} of /{}: `{fix}`",
                    line.number, file.path
                ),
                vec![format!("/{}", file.path)],
            ));
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
        for group in ["web", "5", "local"] {
            let message = format!("the user a is not made: nothing declares its group {group}");
            assert_eq!(messages(&format!("u a 7:{group}\n")), [message]);
        }
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
