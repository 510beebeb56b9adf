//! Whether an image boots: what its machine lacks that the same packages have on an ordinary mutable system.
//! Pure, so that what counts as booting can be read and tested here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::{Report, UnitState};

/// The kinds of units that a package may bring. Mounts, devices and scopes follow from the machine instead.
const KINDS: [&str; 5] = [".service", ".socket", ".timer", ".path", ".target"];

/// systemd's own units that start only where /usr or the machine is new (`ConditionNeedsUpdate=`,
/// `ConditionFirstBoot=`), and so in the one boot of the reference.
const ONCE: [&str; 9] = [
    "first-boot-complete.target",
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-homed-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-machine-id-commit.service",
    "systemd-sysusers.service",
    "systemd-update-done.service",
];

/// What a machine has worse than the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The unit's name.
    pub unit: String,
    /// What it is in the reference, in systemd's words.
    pub reference: String,
    /// What it is in the machine.
    pub machine: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            unit,
            reference,
            machine,
        } = self;
        write!(formatter, "{unit} is {machine} (reference: {reference})")
    }
}

/// The units that are active in `reference` but not in `machine`, and those that failed in `machine` only.
pub fn losses(reference: &Report, machine: &Report) -> Vec<Loss> {
    let mut names: Vec<&String> = reference.units.keys().chain(machine.units.keys()).collect();
    names.sort();
    names.dedup();
    let compared = names
        .into_iter()
        .filter(|name| KINDS.iter().any(|kind| name.ends_with(kind)));
    compared
        .filter_map(|name| loss(name, reference.units.get(name), machine.units.get(name)))
        .collect()
}

fn loss(name: &str, there: Option<&UnitState>, here: Option<&UnitState>) -> Option<Loss> {
    let active = |state: Option<&UnitState>| state.is_some_and(UnitState::is_active);
    let failed = |state: Option<&UnitState>| state.is_some_and(UnitState::has_failed);
    let words = |state: Option<&UnitState>| {
        state.map_or_else(
            || "not there".to_owned(),
            |state| format!("{} ({})", state.active, state.sub),
        )
    };
    let lost = active(there) && !active(here) && !ONCE.contains(&name);
    let newly_failed = failed(here) && !failed(there);
    (lost || newly_failed).then(|| Loss {
        unit: name.to_owned(),
        reference: words(there),
        machine: words(here),
    })
}

/// What of the machine's own is not as it was `before` an update: the user `local`, its password and group, and
/// the changed file. Empty when all is.
pub fn kept(before: &Report, after: &Report) -> Vec<String> {
    let of_local = |lines: &[String]| -> Vec<String> {
        let is_local = |line: &&String| line.starts_with("local:");
        lines.iter().filter(is_local).cloned().collect()
    };
    let pairs = [
        ("user", of_local(&before.users), of_local(&after.users)),
        ("group", of_local(&before.groups), of_local(&after.groups)),
        (
            "password and /etc/hosts",
            before.local.clone(),
            after.local.clone(),
        ),
    ];
    let changed = pairs
        .into_iter()
        .filter(|(_, was, is)| was != is || was.is_empty());
    changed
        .map(|(what, was, is)| format!("{what}: was {was:?}, is {is:?}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::UnitState;

    fn report(units: &[(&str, &str, &str)]) -> Report {
        let state = |(name, active, sub): &(&str, &str, &str)| {
            let state = UnitState {
                load: "loaded".to_owned(),
                active: (*active).to_owned(),
                sub: (*sub).to_owned(),
                restarts: 0,
            };
            ((*name).to_owned(), state)
        };
        Report {
            units: units.iter().map(state).collect(),
            ..Report::default()
        }
    }

    fn lost(reference: &[(&str, &str, &str)], machine: &[(&str, &str, &str)]) -> Vec<String> {
        let losses = losses(&report(reference), &report(machine));
        losses.into_iter().map(|loss| loss.to_string()).collect()
    }

    const UP: (&str, &str, &str) = ("a.service", "active", "running");

    #[test]
    fn a_machine_like_the_reference_has_lost_nothing() {
        assert!(lost(&[UP], &[UP]).is_empty());
    }

    #[test]
    fn a_unit_that_is_inactive_failed_or_missing_is_lost() {
        let reference = [
            UP,
            ("b.socket", "active", "listening"),
            ("c.timer", "active", "waiting"),
        ];
        let machine = [
            ("a.service", "failed", "failed"),
            ("b.socket", "inactive", "dead"),
        ];
        assert_eq!(
            lost(&reference, &machine),
            [
                "a.service is failed (failed) (reference: active (running))",
                "b.socket is inactive (dead) (reference: active (listening))",
                "c.timer is not there (reference: active (waiting))",
            ]
        );
    }

    #[test]
    fn a_unit_that_restarts_for_ever_is_lost_though_the_reference_has_it_not() {
        let looping = ("a.service", "activating", "auto-restart");
        assert_eq!(
            lost(&[], &[looping]),
            ["a.service is activating (auto-restart) (reference: not there)"]
        );
    }

    #[test]
    fn what_fails_in_the_reference_may_fail() {
        let failed = ("a.service", "failed", "failed");
        assert!(lost(&[failed], &[failed]).is_empty());
    }

    #[test]
    fn what_starts_only_once_may_be_missing_but_not_fail() {
        let unit = "systemd-sysusers.service";
        let reference = [(unit, "active", "exited")];
        assert!(lost(&reference, &[(unit, "inactive", "dead")]).is_empty());
        assert_eq!(lost(&reference, &[(unit, "failed", "failed")]).len(), 1);
    }

    #[test]
    fn mounts_and_devices_are_the_machines_own() {
        assert!(lost(&[("boot.mount", "active", "mounted")], &[]).is_empty());
    }

    fn machine(password: &str) -> Report {
        Report {
            users: vec!["local:x:1000:1000::/home/local:/bin/sh".to_owned()],
            groups: vec!["local:x:1000:".to_owned()],
            local: vec![format!("local:{password}:::::::")],
            ..Report::default()
        }
    }

    #[test]
    fn a_users_account_is_kept_when_nothing_of_it_changed() {
        assert!(kept(&machine("hash"), &machine("hash")).is_empty());
        assert_eq!(kept(&machine("hash"), &machine("!")).len(), 1);
    }

    #[test]
    fn a_user_that_never_was_is_not_kept() {
        assert_eq!(kept(&Report::default(), &Report::default()).len(), 3);
    }
}
