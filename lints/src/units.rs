//! The units of an image as systemd's manager loads them (systemd.unit(5), systemd's
//! `src/shared/unit-file.c` and `src/core/load-dropin.c`): which file of a name counts, aliases,
//! masks, drop-ins, the links in `.wants` and `.requires`, and what of it all starts at boot.

mod files;
mod generators;
mod order;
mod quadlet;
mod start;
mod unit;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use self::generators::{Generators, Maker, needs_no_file};
use crate::Image;
use crate::model::unit_name::UnitName;

pub use self::unit::{Setting, Unit};

/// Where units are looked for, the first file of a name only. Those of a running machine's /run
/// are in no image.
pub const DIRECTORIES: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Where D-Bus finds the services of the system bus.
pub const BUS_SERVICES: &str = "usr/share/dbus-1/system-services";

/// Bytes of a unit file at most; the largest known has a few thousand.
const MAX_UNIT_BYTES: u64 = 1 << 20;

/// Bytes of all unit files at most.
const MAX_ALL_BYTES: usize = 16 << 20;

/// Units that are loaded at most.
const MAX_LOADED: usize = 10_000;

/// Names of links in a row at most (`FOLLOW_MAX` of unit-file.c).
const MAX_ALIASES: usize = 8;

/// What is there under a unit's name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A file, or a link to one that is no unit of a search directory.
    File(String),
    /// A link to another unit.
    Alias(UnitName),
    /// An empty file or a link to /dev/null.
    Masked,
    /// A link that leads nowhere.
    Dangling,
}

/// Whether and when a unit starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Start {
    /// Something of the boot pulls it in, or a timer that is due then.
    AtBoot,
    /// A socket, a later timer, a path or a D-Bus name starts it.
    OnDemand,
}

/// How a unit depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependency {
    /// It does without.
    Wants,
    /// It does not start without.
    Requires,
}

/// A link by which a unit is enabled: an entry of a `.wants` or `.requires` directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The path.
    pub path: String,
    /// The unit that depends.
    pub from: UnitName,
    /// How.
    pub dependency: Dependency,
    /// The unit that it depends on: the link's own name counts, not where it leads.
    pub to: UnitName,
}

/// What systemd makes of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no such unit.
    Missing,
    /// There is no file of it, and a generator may make it.
    Uncertain,
    /// There is, and it must not start.
    Masked,
    /// There is.
    There,
}

/// All units of an image.
#[derive(Debug, Default)]
pub struct Units {
    found: BTreeMap<UnitName, (String, Found)>,
    links: Vec<Link>,
    /// What the links say, by the unit that depends, no alias.
    linked: BTreeMap<UnitName, Vec<(UnitName, Dependency)>>,
    /// Other names of units.
    aliases: BTreeMap<UnitName, Vec<UnitName>>,
    /// By the directory's name: `a.service.d` with the search directories that have it.
    drop_ins: BTreeMap<String, Vec<&'static str>>,
    loaded: BTreeMap<UnitName, Unit>,
    starts: BTreeMap<UnitName, Start>,
    /// What boot starts whatever a machine is like.
    surely: BTreeSet<UnitName>,
    generators: Generators,
}

impl Units {
    /// Reads the directories, and the units that start at boot or on demand.
    pub fn read(image: &Image<'_>) -> Self {
        let mut units = Self::default();
        for directory in DIRECTORIES {
            // On merged systems /lib is a link to /usr/lib.
            let target = image.tree.target(b"lib");
            if directory.starts_with("lib/") && matches!(target, Ok(Some(_))) {
                continue;
            }
            units.read_directory(image, directory);
        }
        units.generators = Generators::read(image);
        units.index();
        let budget = Cell::new(MAX_ALL_BYTES);
        units.start(image, &budget);
        units.find_what_surely_starts();
        units
    }

    /// The names of all units that there are, templates and aliases included.
    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.found.keys()
    }

    /// The units that can be enabled, templates aside.
    pub fn installable(&self, image: &Image<'_>) -> Vec<Unit> {
        let budget = Cell::new(MAX_ALL_BYTES);
        let files = self
            .found
            .iter()
            .filter_map(|(name, (_, found))| match found {
                Found::File(path) if !name.is_template() => Some((name, path)),
                _ => None,
            });
        files
            .take(MAX_LOADED)
            .map(|(name, path)| match self.loaded.get(name) {
                Some(unit) => unit.clone(),
                None => self.read_unit(image, name, path, &budget),
            })
            .filter(Unit::is_installable)
            .collect()
    }

    /// The services and other units that start, with when.
    pub fn starting(&self) -> impl Iterator<Item = (&Unit, Start)> {
        (self.starts.iter()).filter_map(|(name, start)| Some((self.loaded.get(name)?, *start)))
    }

    /// The links that enable units, in no order that counts.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Aliases whose link leads nowhere, by their paths.
    pub fn dangling(&self) -> impl Iterator<Item = &str> {
        (self.found.values())
            .filter(|(_, found)| *found == Found::Dangling)
            .map(|(path, _)| path.as_str())
    }

    /// What systemd makes of a name.
    pub fn state(&self, name: &UnitName) -> State {
        match self.resolve(name) {
            None if needs_no_file(name) => State::There,
            None => match self.generators.maker(name) {
                None => State::Missing,
                Some(Maker::Image) => State::There,
                Some(Maker::Perhaps(_)) => State::Uncertain,
            },
            Some((_, Found::Masked)) => State::Masked,
            Some(_) => State::There,
        }
    }

    /// What in /etc enables a unit, relative to the root: links in `.wants` and `.requires` directories, and aliases.
    pub fn enabled_in_etc(&self, name: &UnitName) -> Vec<&str> {
        let is_of_unit = |to: &UnitName| self.resolve(to).is_some_and(|(to, _)| to == *name);
        let links = self.links.iter().filter(|link| is_of_unit(&link.to));
        let links = links.map(|link| link.path.as_str());
        let aliases = self.aliases.get(name).into_iter().flatten();
        let aliases = aliases.filter_map(|alias| Some(self.found.get(alias)?.0.as_str()));
        let all = links.chain(aliases);
        all.filter(|path| path.starts_with("etc/")).collect()
    }

    fn read_directory(&mut self, image: &Image<'_>, directory: &'static str) {
        for name in image.names(directory) {
            let path = format!("{directory}/{name}");
            if let Some(unit) = UnitName::parse(&name) {
                if !self.found.contains_key(&unit) {
                    let found = look(image, &path, &unit);
                    self.found.extend(found.map(|found| (unit, (path, found))));
                }
            } else if name.strip_suffix(".d").is_some() {
                let of_name = self.drop_ins.entry(name).or_default();
                of_name.push(directory);
            } else {
                self.read_links(image, &path, &name);
            }
        }
    }

    /// Sorts links and aliases by the units that they are about.
    fn index(&mut self) {
        for link in &self.links {
            let resolved = self.resolve(&link.from);
            let from = resolved.map_or_else(|| link.from.clone(), |(from, _)| from);
            let of_unit = self.linked.entry(from).or_default();
            of_unit.push((link.to.clone(), link.dependency));
        }
        for (alias, (_, found)) in &self.found {
            if let Found::Alias(to) = found {
                let of_unit = self.aliases.entry(to.clone()).or_default();
                of_unit.push(alias.clone());
            }
        }
    }

    fn read_links(&mut self, image: &Image<'_>, path: &str, name: &str) {
        let Some((from, suffix)) = name.rsplit_once('.') else {
            return;
        };
        let dependency = match suffix {
            "wants" | "upholds" => Dependency::Wants,
            "requires" => Dependency::Requires,
            _ => return,
        };
        let Some(from) = UnitName::parse(from) else {
            return;
        };
        for name in image.names(path) {
            let path = format!("{path}/{name}");
            let masked = || image.is_masked(&path);
            if let Some(to) = UnitName::parse(&name).filter(|_| !masked()) {
                let from = from.clone();
                self.links.push(Link {
                    path,
                    from,
                    dependency,
                    to,
                });
            }
        }
    }

    /// The unit that a name stands for, and the file of it or of its template.
    fn resolve(&self, name: &UnitName) -> Option<(UnitName, &Found)> {
        let mut name = name.clone();
        for _ in 0..MAX_ALIASES {
            let instance = name.instance().unwrap_or_default().to_owned();
            let own = self.found.get(&name);
            let of_template = || self.found.get(&name.template()?);
            match &own.or_else(of_template)?.1 {
                Found::Alias(to) => name = to.with_instance(&instance)?,
                Found::Dangling => return None,
                found => return Some((name, found)),
            }
        }
        None
    }

    /// Loads a unit by a name or an alias of it, once; none if it is missing or masked.
    fn load(
        &mut self,
        image: &Image<'_>,
        name: &UnitName,
        budget: &Cell<usize>,
    ) -> Option<UnitName> {
        let (name, found) = self.resolve(name)?;
        let Found::File(path) = found else {
            return None;
        };
        if name.is_template() || self.loaded.len() >= MAX_LOADED {
            return None;
        }
        if !self.loaded.contains_key(&name) {
            let unit = self.read_unit(image, &name, path, budget);
            self.loaded.insert(name.clone(), unit);
        }
        Some(name)
    }

    fn read_unit(
        &self,
        image: &Image<'_>,
        name: &UnitName,
        path: &str,
        budget: &Cell<usize>,
    ) -> Unit {
        let mut unit = Unit::named(name);
        unit.add(image, path, budget);
        for path in self.drop_ins_of(image, name) {
            unit.add(image, &path, budget);
        }
        unit
    }

    /// The drop-ins of a unit and its aliases: of the same file name the first, in the order of
    /// their names.
    fn drop_ins_of(&self, image: &Image<'_>, name: &UnitName) -> Vec<String> {
        let aliases = self.aliases.get(name).into_iter().flatten();
        let names = std::iter::once(name).chain(aliases);
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for drop_in in names.flat_map(UnitName::drop_ins) {
            let drop_in = format!("{drop_in}.d");
            for directory in self.drop_ins.get(&drop_in).into_iter().flatten() {
                for file in image.names(&format!("{directory}/{drop_in}")) {
                    let path = format!("{directory}/{drop_in}/{file}");
                    if file.strip_suffix(".conf").is_some() {
                        files.entry(file).or_insert(path);
                    }
                }
            }
        }
        files.into_values().collect()
    }

    /// The path of the generator that may make a unit of which there is no file.
    pub fn may_be_made_by(&self, name: &UnitName) -> Option<String> {
        match self.generators.maker(name)? {
            Maker::Image => None,
            Maker::Perhaps(path) => Some(path),
        }
    }

    /// Whether boot starts a unit whatever a machine is like: no condition, no trigger that only a machine
    /// decides about stands before it.
    pub fn surely_starts(&self, name: &UnitName) -> bool {
        self.surely.contains(name)
    }

    /// Whether something of the boot starts a unit, or may.
    pub fn is_started(&self, name: &UnitName) -> bool {
        let resolved = self.resolve(name);
        resolved.is_some_and(|(name, _)| self.starts.contains_key(&name))
    }

    /// The link that makes a unit depend on another so that it does not start without.
    pub fn requiring_link(&self, from: &UnitName, to: &UnitName) -> Option<&Link> {
        let instance = from.instance().unwrap_or_default();
        self.links.iter().find(|link| {
            let of = self.resolve(&link.from).map(|(of, _)| of);
            let of = of.as_ref().unwrap_or(&link.from);
            link.dependency == Dependency::Requires
                && (of == from || from.template().as_ref() == Some(of))
                && link.to.with_instance(instance).as_ref() == Some(to)
        })
    }

    /// What a unit depends on, by its own settings and by links.
    pub fn dependencies(&self, name: &UnitName) -> Vec<(UnitName, Dependency)> {
        let instance = name.instance().unwrap_or_default();
        let template = name.template();
        let of_name = [Some(name), template.as_ref()].into_iter().flatten();
        let by_link = of_name.filter_map(|name| self.linked.get(name)).flatten();
        let with_instance =
            |(to, dependency): &(UnitName, _)| Some((to.with_instance(instance)?, *dependency));
        let mut names: Vec<_> = by_link.filter_map(with_instance).collect();
        if let Some(unit) = self.loaded.get(name) {
            for (key, dependency) in [
                ("Unit.Wants", Dependency::Wants),
                ("Unit.Upholds", Dependency::Wants),
                ("Unit.Requires", Dependency::Requires),
                ("Unit.Requisite", Dependency::Requires),
                ("Unit.BindsTo", Dependency::Requires),
            ] {
                let words = unit.unit_names(key).into_iter();
                names.extend(words.filter_map(|(_, word)| Some((unit_named(&word)?, dependency))));
            }
        }
        names
    }
}

/// What stands at the path of a unit.
fn look(image: &Image<'_>, path: &str, name: &UnitName) -> Option<Found> {
    if image.is_masked(path) {
        return Some(Found::Masked);
    }
    let target = image.tree.target(path.as_bytes()).ok()?;
    let leads_to = image.tree.follow(path.as_bytes()).ok()?;
    if let Some(target) = target {
        // The name of what it leads to counts, the directory hardly: it may be /lib or /usr/lib.
        let base = target.rsplit(|&byte| byte == b'/').next()?;
        let to = str::from_utf8(base).ok().and_then(UnitName::parse);
        let directory = target.strip_suffix(base).unwrap_or_default();
        let is_searched = directory.is_empty() || directory.ends_with(b"/systemd/system/");
        if let Some(to) = to.filter(|to| to != name && is_searched) {
            let exists = leads_to.is_some() || is_in_search_path(image, &to);
            return Some(if exists {
                Found::Alias(to)
            } else {
                Found::Dangling
            });
        }
        if leads_to.is_none() {
            return Some(Found::Dangling);
        }
    }
    let meta = leads_to.filter(|meta| meta.kind == crate::tree::Kind::File)?;
    Some(match meta.size {
        0 => Found::Masked,
        _ => Found::File(path.to_owned()),
    })
}

fn is_in_search_path(image: &Image<'_>, name: &UnitName) -> bool {
    let mut directories = DIRECTORIES.iter();
    directories.any(|directory| image.exists(&format!("{directory}/{}", name.as_str())))
}

fn unit_named(word: &[u8]) -> Option<UnitName> {
    UnitName::parse(str::from_utf8(word).ok()?)
}
