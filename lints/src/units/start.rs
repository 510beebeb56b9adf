//! What of an image's units starts, and when: what boot pulls in, with what that triggers, and what D-Bus starts.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};

use super::unit::{is_soon, triggered, triggered_by_socket};
use super::{BUS_SERVICES, MAX_LOADED, MAX_UNIT_BYTES, Start, Units, unit_named};
use crate::Image;
use crate::model::unit_name::UnitName;
use crate::model::units::parse;

/// What a boot starts.
const BOOT: [&str; 3] = ["default.target", "sysinit.target", "basic.target"];

impl Units {
    /// Loads what boot starts, and what that starts, with when.
    pub(super) fn start(&mut self, image: &Image<'_>, budget: &Cell<usize>) {
        let mut queue: VecDeque<(UnitName, Start)> = (BOOT.into_iter())
            .filter_map(|name| Some((UnitName::parse(name)?, Start::AtBoot)))
            .collect();
        queue.extend(bus_services(image).map(|unit| (unit, Start::OnDemand)));
        while let Some((name, start)) = queue.pop_front() {
            let Some(name) = self.load(image, &name, budget) else {
                continue;
            };
            let known = self.starts.get(&name);
            if known.is_some_and(|known| *known <= start) {
                continue;
            }
            self.starts.insert(name.clone(), start);
            queue.extend(self.pulled_in_by(&name, start));
            let generated = self.generated(image, &name).into_iter();
            queue.extend(generated.map(|name| (name, start)));
        }
    }

    /// The units that a unit starts, with when.
    fn pulled_in_by(&self, name: &UnitName, start: Start) -> Vec<(UnitName, Start)> {
        let mut names: Vec<_> = (self.dependencies(name).into_iter())
            .map(|(to, _)| (to, start))
            .collect();
        let Some(unit) = self.loaded.get(name) else {
            return names;
        };
        let triggered = match name.kind() {
            "socket" => triggered_by_socket(unit),
            "timer" => triggered(unit, "Timer.Unit"),
            "path" => triggered(unit, "Path.Unit"),
            _ => None,
        };
        let when = if is_soon(unit) {
            start
        } else {
            Start::OnDemand
        };
        names.extend(triggered.map(|unit| (unit, when)));
        names
    }

    /// The instances that a generator of the unit's own name starts with it: those that have a file
    /// (`tor@default.service`), and those of `/etc/NAME/A/B/NAME.conf` (postgresql-common).
    fn generated(&self, image: &Image<'_>, name: &UnitName) -> Vec<UnitName> {
        let prefix = name.prefix();
        let generator = format!("usr/lib/systemd/system-generators/{prefix}-generator");
        let is_plain = name.kind() == "service" && name.instance().is_none();
        if !is_plain || !image.exists(&generator) {
            return Vec::new();
        }
        let of_prefix = |other: &&UnitName| {
            let instance = other.instance().unwrap_or_default();
            other.prefix() == prefix && other.kind() == "service" && !instance.is_empty()
        };
        let mut names: Vec<UnitName> = self.found.keys().filter(of_prefix).cloned().collect();
        let top = format!("etc/{prefix}");
        for outer in image.names(&top) {
            for inner in image.names(&format!("{top}/{outer}")) {
                let unit = format!("{prefix}@{outer}-{inner}.service");
                let is_there = image.exists(&format!("{top}/{outer}/{inner}/{prefix}.conf"));
                names.extend(UnitName::parse(&unit).filter(|_| is_there));
            }
        }
        names
    }

    /// Walks what boot starts once more, without what starts only on some machines. Conditions keep a unit from
    /// running, not from pulling in what it wants.
    pub(super) fn find_what_surely_starts(&mut self) {
        let mut queue: VecDeque<UnitName> = BOOT.into_iter().filter_map(UnitName::parse).collect();
        while let Some(name) = queue.pop_front() {
            let Some((name, _)) = self.resolve(&name) else {
                continue;
            };
            let Some(unit) = self.loaded.get(&name) else {
                continue;
            };
            if !self.surely.insert(name.clone()) {
                continue;
            }
            let is_conditional = unit.conditions().next().is_some();
            let pulled_in = self.pulled_in_by(&name, Start::AtBoot).into_iter();
            let wanted: BTreeSet<UnitName> = (self.dependencies(&name).into_iter())
                .map(|(to, _)| to)
                .collect();
            let surely = pulled_in.filter(|(to, start)| {
                *start == Start::AtBoot && (!is_conditional || wanted.contains(to))
            });
            queue.extend(surely.map(|(to, _)| to));
        }
    }
}

/// The units that D-Bus starts by a name on the system bus.
fn bus_services(image: &Image<'_>) -> impl Iterator<Item = UnitName> {
    let names: BTreeSet<String> = image.names(BUS_SERVICES).into_iter().collect();
    names.into_iter().take(MAX_LOADED).filter_map(|name| {
        let path = format!("{BUS_SERVICES}/{name}");
        let file = image.tree.read(path.as_bytes(), MAX_UNIT_BYTES).ok()??;
        let assignments = parse(&file).assignments.into_iter();
        let mut units = assignments.filter(|one| one.key == b"SystemdService");
        unit_named(&units.next()?.value)
    })
}
