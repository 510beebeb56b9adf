//! In which order units start: which may come before the files of /var are made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Start, Units, unit_named};
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
        let mut before: BTreeMap<UnitName, Vec<&UnitName>> = BTreeMap::new();
        for (unit, _) in self.starting() {
            for (_, word) in unit.unit_names("Unit.Before") {
                let name = unit_named(&word).and_then(|name| Some(self.resolve(&name)?.0));
                if let Some(name) = name {
                    before.entry(name).or_default().push(&unit.name);
                }
            }
        }
        let at_boot = self.starts.iter();
        let at_boot = at_boot.filter(|(_, start)| **start == Start::AtBoot);
        let names = at_boot.map(|(name, _)| name);
        names.filter(|name| !self.waits(name, &before)).collect()
    }

    /// Whether a unit is ordered after one of [`MAKERS`], by itself or by what it is ordered after.
    fn waits(&self, name: &UnitName, before: &BTreeMap<UnitName, Vec<&UnitName>>) -> bool {
        let mut seen: BTreeSet<UnitName> = BTreeSet::new();
        let mut queue = VecDeque::from([name.clone()]);
        while let Some(name) = queue.pop_front() {
            if MAKERS.contains(&name.as_str()) {
                return true;
            }
            // What does not start is waited for by none.
            let Some((name, _)) = self.resolve(&name) else {
                continue;
            };
            if !self.starts.contains_key(&name) || !seen.insert(name.clone()) {
                continue;
            }
            let Some(unit) = self.loaded.get(&name) else {
                continue;
            };
            let own = unit.last("Unit.DefaultDependencies");
            let has_default = own.is_none_or(|own| boolean(&own.value) != Some(false));
            match name.kind() {
                "target" if has_default => {
                    let wanted = self.dependencies(&name).into_iter();
                    queue.extend(wanted.map(|(to, _)| to));
                }
                "service" | "socket" | "timer" | "path" if has_default => return true,
                _ => {}
            }
            let after = unit.unit_names("Unit.After").into_iter();
            queue.extend(after.filter_map(|(_, word)| unit_named(&word)));
            let others = before.get(&name).into_iter().flatten();
            queue.extend(others.map(|name| (*name).clone()));
        }
        false
    }
}
