//! # What it does
//! Finds accounts that have another id than the id ledger says.
//!
//! # Why it breaks
//! Files on disk carry numbers. A rebuild may give an account another number. Then its files on
//! hosts with the image belong to nobody, or to another account. The ledger is there to prevent
//! that. Here the build could not follow it, so you have to decide.
//!
//! # Example
//! ```dockerfile
//! # osderive.ids says `u www-data 105`, and the base image has made it with 33.
//! RUN useradd --system web
//! ```
//!
//! # Fix
//! Write the id that the account has into the ledger: `u www-data 33`. Or free the id that the
//! ledger wants.

use super::Rule;
use crate::{
    Finding, Severity,
    model::ledger::{AccountKind, Entry},
};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-id-differs",
    severity: Severity::Warning,
    summary: "an account has another id than the id ledger says",
    ..Rule::STEP
};

/// Why an account could not be given its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The step did not make it: what lower layers have carries its id.
    Older,
    /// The id that it has is another account's too, and nobody can tell whose files are whose.
    Shared,
    /// The id that it should have is this account's.
    Taken(String),
}

/// The finding about one account; `wanted` is the ledger's line.
pub fn finding(wanted: &Entry, has: u32, reason: &Reason) -> Finding {
    let Entry { kind, name, id } = wanted;
    let id_name = kind.id_name();
    let (why, help) = match reason {
        Reason::Older => (
            "it is older than this step".to_owned(),
            format!("write `{} {name} {has}` into the id ledger", kind.letter()),
        ),
        Reason::Shared => (
            format!("another {kind} has the {id_name} {has} too"),
            format!("give each {kind} a {id_name} of its own"),
        ),
        Reason::Taken(owner) => (
            format!("{id} belongs to {owner}"),
            format!("write another {id_name} for {name} into the id ledger"),
        ),
    };
    RULE.finding(
        format!("{kind} {name} has the {id_name} {has}, the id ledger says {id}: {why}"),
        help,
        vec![file(*kind).to_owned()],
    )
}

fn file(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Group => "/etc/group",
        AccountKind::User => "/etc/passwd",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_and_both_ids_are_named() {
        let wanted = Entry {
            kind: AccountKind::User,
            name: "redis".to_owned(),
            id: 105,
        };
        let finding = finding(&wanted, 106, &Reason::Taken("tor".to_owned()));
        assert_eq!(
            finding.message,
            "user redis has the uid 106, the id ledger says 105: 105 belongs to tor"
        );
    }
}
