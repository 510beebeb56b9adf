//! # What it does
//! Finds accounts that stay in /etc despite the option `--altfiles`. /etc/nsswitch.conf does not
//! name altfiles for passwd and group.
//!
//! # Why it breaks
//! Without altfiles, no program would find the accounts in /usr/lib/passwd and /usr/lib/group.
//!
//! # Example
//! ```dockerfile
//! # syntax=osderive --altfiles
//! FROM debian-ostree-base
//! RUN useradd --system acme
//! ```
//!
//! # Fix
//! Install nss-altfiles and name it in /etc/nsswitch.conf:
//! ```text
//! passwd: files altfiles systemd
//! group: files altfiles systemd
//! ```
//! Or leave the option out.

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
