//! # What it does
//! Tells that accounts stay in /etc although the option `--altfiles` is given: /etc/nsswitch.conf does not name altfiles for
//! passwd and group.
//!
//! # Why it breaks
//! In /usr/lib/passwd and /usr/lib/group nobody would find the accounts.
//!
//! # Example
//! ```dockerfile
//! # syntax=osderive --altfiles
//! FROM debian-ostree-base
//! RUN useradd --system acme
//! ```
//!
//! # Fix
//! Install nss-altfiles and name it, or leave the option out:
//! ```text
//! passwd: files altfiles systemd
//! group: files altfiles systemd
//! ```

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-altfiles-unread",
    severity: Severity::Warning,
    summary: "accounts stay in /etc: nsswitch.conf does not name altfiles",
    ..Rule::STEP
};

/// The finding.
pub fn finding() -> Finding {
    RULE.finding(
        "/etc/nsswitch.conf does not name altfiles for passwd and group: accounts stay in /etc"
            .to_owned(),
        "name altfiles in /etc/nsswitch.conf, or leave `--altfiles` out".to_owned(),
        vec!["/etc/nsswitch.conf".to_owned()],
    )
}
