//! One unit: what its file and its drop-ins say, and which other one it starts.

use std::cell::Cell;

use super::{MAX_UNIT_BYTES, unit_named};
use crate::Image;
use crate::model::time_span;
use crate::model::unit_name::{UnitName, expand};
use crate::model::units::{boolean, parse, unit_names, words};

/// Microseconds after its timer's time for which a unit still counts as one of the boot.
const SOON: u64 = 60 * time_span::SECOND;

/// One setting of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `Section.Key`.
    pub key: String,
    /// The value as it stands.
    pub value: Vec<u8>,
    /// Index in the unit's `files`.
    pub file: usize,
    /// The line, from 1.
    pub line: u32,
}

/// A unit that systemd can load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its name, no alias.
    pub name: UnitName,
    /// The paths of its file and its drop-ins, in the order in which they are read.
    pub files: Vec<String>,
    /// Whether systemd refuses it as a whole.
    pub is_refused: bool,
    settings: Vec<Setting>,
}

impl Unit {
    /// The last setting of a key; none if that is empty.
    pub fn last(&self, key: &str) -> Option<&Setting> {
        let of_key = |setting: &&Setting| setting.key == key;
        let last = self.settings.iter().rev().find(of_key);
        last.filter(|setting| !setting.value.is_empty())
    }

    /// The settings of a key that is a list: an empty one takes those before it back.
    pub fn list(&self, key: &str) -> Vec<&Setting> {
        let mut list = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.key == key) {
            if setting.value.is_empty() {
                list.clear();
            } else {
                list.push(setting);
            }
        }
        list
    }

    /// The words of a list with their settings, those that only a running machine knows left out.
    pub fn words(&self, key: &str) -> Vec<(&Setting, Vec<u8>)> {
        self.split(key, words)
    }

    /// The names of units in a list, in the same way.
    pub fn unit_names(&self, key: &str) -> Vec<(&Setting, Vec<u8>)> {
        self.split(key, unit_names)
    }

    fn split(&self, key: &str, words: fn(&[u8]) -> Vec<Vec<u8>>) -> Vec<(&Setting, Vec<u8>)> {
        let of_setting = |setting| {
            let words = words(Setting::value(setting)).into_iter();
            let known = words.filter_map(|word| expand(&word, &self.name));
            known.map(move |word| (setting, word)).collect::<Vec<_>>()
        };
        self.list(key).into_iter().flat_map(of_setting).collect()
    }

    /// The settings of conditions and of assertions. An empty one takes back all before it, of its sort and
    /// whatever kind (systemd.unit(5)).
    pub fn conditions(&self) -> impl Iterator<Item = &Setting> {
        let mut kept: Vec<&Setting> = Vec::new();
        for setting in &self.settings {
            let of = |sort: &&str| setting.key.starts_with(*sort);
            let Some(sort) = ["Unit.Condition", "Unit.Assert"].into_iter().find(of) else {
                continue;
            };
            if setting.value.is_empty() {
                kept.retain(|one| !one.key.starts_with(sort));
            } else {
                kept.push(setting);
            }
        }
        kept.into_iter()
    }

    /// Whether it has an `[Install]` section, without which nothing enables or disables it.
    pub fn is_installable(&self) -> bool {
        let mut keys = self.settings.iter().map(|setting| setting.key.as_str());
        keys.any(|key| {
            matches!(
                key,
                "Install.WantedBy" | "Install.RequiredBy" | "Install.UpheldBy" | "Install.Alias"
            )
        })
    }
}

impl Setting {
    fn value(&self) -> &[u8] {
        &self.value
    }
}

impl Unit {
    /// One that nothing is known of but its name.
    pub(super) fn named(name: &UnitName) -> Self {
        Self {
            name: name.clone(),
            files: Vec::new(),
            is_refused: false,
            settings: Vec::new(),
        }
    }

    /// Takes in a file of the unit.
    pub(super) fn add(&mut self, image: &Image<'_>, path: &str, budget: &Cell<usize>) {
        if image.is_masked(path) {
            return;
        }
        let limit = MAX_UNIT_BYTES.min(budget.get() as u64);
        let content = match image.tree.read(path.as_bytes(), limit) {
            Ok(Some(content)) => content,
            Ok(None) => return,
            Err(error) => return image.unreadable(path, &error),
        };
        budget.set(budget.get() - content.len());
        let parsed = parse(&content);
        let file = self.files.len();
        self.files.push(path.to_owned());
        self.is_refused |= parsed.problems.iter().any(|problem| problem.is_fatal);
        for one in parsed.assignments {
            let (Ok(section), Ok(key)) = (str::from_utf8(&one.section), str::from_utf8(&one.key))
            else {
                continue;
            };
            // What else a unit says, nobody asks for.
            if !section.starts_with("X-") && !["Description", "Documentation"].contains(&key) {
                self.settings.push(Setting {
                    key: format!("{section}.{key}"),
                    value: one.value,
                    file,
                    line: one.line,
                });
            }
        }
    }
}

/// The service that a socket starts; none if each connection has one of its own, whose name only
/// the connection decides.
pub(super) fn triggered_by_socket(unit: &Unit) -> Option<UnitName> {
    let accepts = unit.last("Socket.Accept").map(|setting| &setting.value);
    if accepts.is_some_and(|value| boolean(value) == Some(true)) {
        return None;
    }
    triggered(unit, "Socket.Service")
}

/// Whether a unit is a timer that starts another while the machine still boots (systemd.timer(5)).
pub(super) fn is_soon(timer: &Unit) -> bool {
    ["OnActiveSec", "OnBootSec", "OnStartupSec"]
        .iter()
        .any(|key| {
            let settings = timer.list(&format!("Timer.{key}")).into_iter();
            let mut spans = settings.filter_map(|setting| time_span::microseconds(&setting.value));
            spans.any(|span| span <= SOON)
        })
}

/// The unit that another one starts by a setting, or the service of its name.
pub(super) fn triggered(unit: &Unit, key: &str) -> Option<UnitName> {
    match unit.unit_names(key).into_iter().next() {
        Some((_, name)) => unit_named(&name),
        None => unit.name.with_kind("service"),
    }
}
