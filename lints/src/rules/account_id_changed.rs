//! # What it does
//! Compares the ids of accounts with those of the previous image. The rule runs only if you name
//! one.
//!
//! # Why it breaks
//! A host keeps its /etc and /var through an upgrade. Files there carry numbers. If the new image
//! gives an account another id, the account's files belong to nobody, or to another account.
//! Packages take the next free id. So installing them in another order is enough.
//!
//! # Example
//! ```dockerfile
//! # syntax=osderive --previous=registry.example.com/os:latest
//! FROM debian-ostree-base
//! # In the previous image it came before redis-server.
//! RUN apt-get install -y redis-server && apt-get install -y tor
//! ```
//!
//! # Fix
//! Copy the lines of the finding into an id ledger. They have the ids of the previous image.

use super::{MAX_NAMED, Rule, counted};
use crate::{
    Finding, Severity,
    model::{
        ids::Changed,
        ledger::{AccountKind, Entry},
    },
};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-id-changed",
    severity: Severity::Warning,
    summary: "an account has another id than in the previous image",
    ..Rule::STEP
};

/// The finding about all such accounts of a step; none when there are none.
pub fn finding(changed: &[Changed]) -> Option<Finding> {
    let named = changed.iter().take(MAX_NAMED);
    let mut accounts: Vec<String> = named.map(described).collect();
    if changed.len() > MAX_NAMED {
        accounts.push(format!("and {} more", changed.len() - MAX_NAMED));
    }
    let lines: Vec<String> = changed
        .iter()
        .map(|change| before(change).to_string())
        .collect();
    let users = changed
        .iter()
        .any(|change| change.now.kind == AccountKind::User);
    let groups = changed
        .iter()
        .any(|change| change.now.kind == AccountKind::Group);
    let files = [(users, "/etc/passwd"), (groups, "/etc/group")].into_iter();
    (!changed.is_empty()).then(|| {
        RULE.finding(
            format!(
                "{} another id than in the previous image: {}",
                counted(changed.len(), "account has", "accounts have"),
                accounts.join(", ")
            ),
            format!(
                "machines have files with the previous ids; an id ledger with these lines keeps them:\n{}",
                lines.join("\n")
            ),
            files.filter(|(is, _)| *is).map(|(_, file)| file.to_owned()).collect(),
        )
    })
}

/// The findings about an image: one for each step that made such accounts, with its place, and one for all that none of
/// them made. `made` has the accounts of each step, of which the last counts.
pub fn by_step(changed: &[Changed], made: &[&[Entry]]) -> Vec<(Option<usize>, Finding)> {
    let maker = |change: &Changed| made.iter().rposition(|made| made.contains(&change.now));
    let of = |step: Option<usize>| {
        let of_step = changed.iter().filter(|change| maker(change) == step);
        let of_step: Vec<Changed> = of_step.cloned().collect();
        Some((step, finding(&of_step)?))
    };
    let places = (0..made.len()).map(Some).chain([None]);
    places.filter_map(of).collect()
}

fn described(Changed { now, before }: &Changed) -> String {
    let Entry { kind, name, id } = now;
    format!(
        "{kind} {name} has the {} {id}, had {before}",
        kind.id_name()
    )
}

fn before(change: &Changed) -> Entry {
    Entry {
        id: change.before,
        ..change.now.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ledger::Ledger;

    #[test]
    fn the_help_is_the_very_text_of_a_ledger() {
        let changed = |kind, id, before| Changed {
            now: Entry {
                kind,
                name: "redis".to_owned(),
                id,
            },
            before,
        };
        let changed = [
            changed(AccountKind::Group, 107, 106),
            changed(AccountKind::User, 106, 105),
        ];
        let finding = finding(&changed).unwrap();
        assert_eq!(
            finding.message,
            "2 accounts have another id than in the previous image: group redis has the gid 107, had \
             106, user redis has the uid 106, had 105"
        );
        let (_, lines) = finding.help.split_once('\n').unwrap();
        assert_eq!(lines, "g redis 106\nu redis 105");
        assert!(Ledger::parse(lines.as_bytes()).is_ok());
        assert_eq!(super::finding(&[]), None);
    }
}
