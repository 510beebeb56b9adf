//! # What it does
//! Finds groups that are in sysusers.d and in /etc/gshadow, but not in /etc/group.
//!
//! # Why it breaks
//! On the host, systemd-sysusers ends with "Group already exists" and writes nothing. No account of
//! sysusers.d is created. Services fail, among them the login screen.
//!
//! # Example
//! ```dockerfile
//! RUN sed -i '/^acme:/d' /etc/group
//! ```
//!
//! # Fix
//! Remove the line from /etc/gshadow too: `groupdel acme` does both. `grpck -r` finds such lines.

use super::{Check, Rule};
use crate::machine::accounts::stale_groups;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-shadow-stale",
    severity: Severity::Error,
    summary: "a group of /etc/gshadow that /etc/group lacks stops systemd-sysusers",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    stale_groups(image)
        .into_iter()
        .map(|(line, name)| {
            let name = escape_path(&name);
            RULE.finding(
                format!(
                    "systemd-sysusers makes no account at all: line {line} of /etc/gshadow has the group {name}, and /etc/group lacks it"
                ),
                format!("remove the line: `sed -i '/^{name}:/d' /etc/gshadow`"),
                vec!["/etc/gshadow".to_owned()],
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn image() -> Fixture {
        Fixture::new()
            .file("etc/group", "root:x:0:\n")
            .file("etc/gshadow", "root:*::\nacme:!::\n")
    }

    #[test]
    fn a_declared_group_that_only_gshadow_has_is_found() {
        for line in ["g acme 950", "u acme 950", "m root acme"] {
            let found = image()
                .file("usr/lib/sysusers.d/a.conf", line)
                .findings_of(&RULE);
            assert_eq!(found.len(), 1, "{line}");
            assert_eq!(found[0].paths, ["/etc/gshadow"]);
            assert!(
                found[0]
                    .message
                    .contains("line 2 of /etc/gshadow has the group acme")
            );
        }
    }

    #[test]
    fn what_nothing_declares_does_no_harm() {
        let other = image().file("usr/lib/sysusers.d/a.conf", "g other 950\nu acme 1:other\n");
        assert_eq!(other.findings_of(&RULE), []);
        let both = image().file("usr/lib/sysusers.d/a.conf", "g acme 950\n");
        let both = both.file("etc/group", "root:x:0:\nacme:x:950:\n");
        assert_eq!(both.findings_of(&RULE), []);
    }
}
