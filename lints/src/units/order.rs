//! In which order units start: which may come before the files of /var are made.

use std::collections::{BTreeMap, BTreeSet};

use super::{Start, Unit, Units, unit_named};
use crate::model::unit_name::UnitName;
use crate::model::units::boolean;

/// What makes the files of /var, and the targets that every unit waits for which does not say otherwise. Both targets
/// come after it (systemd-tmpfiles-setup.service(8), bootup(7)).
const MAKERS: [&str; 3] = [
    "systemd-tmpfiles-setup.service",
    "sysinit.target",
    "basic.target",
];

impl Units {
    /// The units of the boot that nothing orders after systemd-tmpfiles-setup.service: they may start before it.
    pub fn early(&self) -> BTreeSet<&UnitName> {
        let after = self.ordered_after();
        let mut late: BTreeSet<UnitName> = BTreeSet::new();
        let mut open: Vec<UnitName> = MAKERS.into_iter().filter_map(UnitName::parse).collect();
        let of_default = self.starting().filter(|(unit, _)| waits_by_default(unit));
        open.extend(of_default.map(|(unit, _)| unit.name.clone()));
        while let Some(name) = open.pop() {
            if !late.contains(&name) {
                open.extend(after.get(&name).into_iter().flatten().cloned());
                late.insert(name);
            }
        }
        let at_boot = self.starts.iter();
        let at_boot = at_boot.filter(|(_, start)| **start == Start::AtBoot);
        let names = at_boot.map(|(name, _)| name);
        names.filter(|name| !late.contains(*name)).collect()
    }

    /// For each unit those that start after it, of what starts: what does not start is waited for by none.
    fn ordered_after(&self) -> BTreeMap<UnitName, Vec<UnitName>> {
        let known = |name: &UnitName| {
            self.resolve(name)
                .map_or_else(|| name.clone(), |(name, _)| name)
        };
        let named = |unit: &Unit, key: &str| -> Vec<UnitName> {
            let words = unit.unit_names(key).into_iter();
            let names = words.filter_map(|(_, word)| unit_named(&word));
            names.map(|name| known(&name)).collect()
        };
        let mut after: BTreeMap<UnitName, Vec<UnitName>> = BTreeMap::new();
        for (unit, _) in self.starting() {
            let name = &unit.name;
            for first in named(unit, "Unit.After") {
                after.entry(first).or_default().push(name.clone());
            }
            let later = named(unit, "Unit.Before").into_iter();
            let later = later.filter(|later| self.starts.contains_key(later));
            after.entry(name.clone()).or_default().extend(later);
            if name.kind() == "target" && has_default_dependencies(unit) {
                for (wanted, _) in self.dependencies(name) {
                    after.entry(known(&wanted)).or_default().push(name.clone());
                }
            }
        }
        after
    }
}

/// Whether a unit is ordered after sysinit.target without a word of its own (systemd.service(5) and its kin, "Default
/// Dependencies").
fn waits_by_default(unit: &Unit) -> bool {
    let kinds = ["service", "socket", "timer", "path"];
    kinds.contains(&unit.name.kind()) && has_default_dependencies(unit)
}

fn has_default_dependencies(unit: &Unit) -> bool {
    let own = unit.last("Unit.DefaultDependencies");
    own.is_none_or(|own| boolean(&own.value) != Some(false))
}
