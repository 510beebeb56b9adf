//! # What it does
//! Finds units that start at boot only if something in /var exists. The image or the unit's package
//! has it, but hosts do not.
//!
//! # Why it breaks
//! systemd skips the unit, and nothing fails: the timer or service is just not there. An upgraded
//! host has its own /var. What the image has there never reaches it.
//!
//! # Example
//! ```ini
//! # xfs_scrub_all.timer of Debian's xfsprogs
//! [Unit]
//! ConditionPathIsReadWrite=/var/lib/xfsprogs
//! ```
//!
//! # Fix
//! Have each host create it:
//! ```text
//! # /usr/lib/tmpfiles.d/acme.conf
//! d /var/lib/acme 0755 root root
//! ```

use super::{Check, Rule};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-condition-lost",
    severity: Severity::Warning,
    summary: "a unit is skipped: its condition needs a path in /var that machines lack",
    check: Check::Image(check),
    since: "0.2.0",
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    RULE.predicted(image, |prediction| match &prediction.reason {
        Reason::Condition { key, value } => Some((
            format!("{key}={value} does not hold there"),
            format!("declare {value} in /usr/lib/tmpfiles.d, so that each machine makes it"),
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn fixture(conditions: &str) -> Fixture {
        Fixture::new()
            .program("usr/bin/true")
            .directory("var/lib/acme")
            .file("var/lib/acme/seed", "x")
            .service(
                "acme",
                &format!("[Unit]\n{conditions}\n[Service]\nExecStart=/usr/bin/true\n"),
            )
    }

    const READ_WRITE: &str = "ConditionPathIsReadWrite=/var/lib/acme";

    #[test]
    fn what_the_image_has_and_a_machine_has_not_is_told() {
        for conditions in [
            READ_WRITE,
            "ConditionPathExists=/var/lib/acme/seed",
            "ConditionFileNotEmpty=/var/lib/acme/seed",
            "ConditionPathExists=/var/lib/acme\nConditionPathExists=|/usr/bin/true",
        ] {
            let messages = fixture(conditions).messages_of(&RULE);
            assert_eq!(messages.len(), 1, "{conditions}: {messages:?}");
            assert!(
                messages[0].starts_with("acme.service is not started on ")
                    && messages[0].contains("=/var/lib/acme"),
                "{messages:?}"
            );
        }
    }

    #[test]
    fn what_others_make_or_nobody_had_is_not() {
        for conditions in [
            // Something else is in the way.
            "ConditionPathExists=/var/lib/acme\nConditionPathExists=/usr/bin/gone",
            "ConditionPathExists=/var/lib/acme\nConditionPathExists=|/usr/bin/gone",
            // Not there is what is wanted.
            "ConditionPathExists=!/var/lib/acme",
            "ConditionPathExists=/var/lib/other",
            "ConditionDirectoryNotEmpty=/var/lib/acme",
        ] {
            let messages = fixture(conditions).messages_of(&RULE);
            assert_eq!(messages, [""; 0], "{conditions}");
        }
        let declared = fixture(READ_WRITE).file(
            "usr/lib/tmpfiles.d/acme.conf",
            "d /var/lib/acme 0755 root root\n",
        );
        assert_eq!(declared.messages_of(&RULE), [""; 0]);
        let own = format!("{READ_WRITE}\n[Service]\nStateDirectory=acme");
        assert_eq!(fixture(&own).messages_of(&RULE), [""; 0]);
    }
}
