//! Whether the conditions and assertions of a unit let it start (systemd.unit(5), "Conditions and Asserts"). Those of
//! files are decided as far as an image decides them; all others only a machine knows.

use super::holds::Holds;
use super::trial::{Trial, text};
use super::{Reason, SaidAt};
use crate::machine::Resolved;
use crate::model::unit_name::expand;
use crate::packages::Package;
use crate::tree;
use crate::units::Setting;

/// Kinds that ordinary machines fulfil, whatever is asked.
const ORDINARY: [&str; 9] = [
    "ACPower",
    "Architecture",
    "CPUs",
    "Capability",
    "ControlGroupController",
    "KernelVersion",
    "Memory",
    "User",
    "Version",
];

impl Trial<'_> {
    /// Whether the conditions of the unit hold, without which it is left out.
    pub(super) fn conditions(&self) -> Holds {
        let of_settings = self.all_of("Unit.Condition");
        // A command decides as well.
        if self.unit.list("Service.ExecCondition").is_empty() {
            of_settings
        } else {
            of_settings.and(Holds::Unknown { usually: false })
        }
    }

    /// Whether the assertions of the unit hold, without which its start fails.
    pub(super) fn assertions(&self) -> Holds {
        self.all_of("Unit.Assert")
    }

    /// Of a sort all have to hold, and of those with `|` one is enough.
    fn all_of(&self, sort: &str) -> Holds {
        let mut result = Holds::Yes;
        let mut alternatives = Vec::new();
        for (setting, kind) in self.of_sort(sort) {
            let (is_alternative, holds) = self.holds(setting, kind);
            if is_alternative {
                alternatives.push(holds);
            } else {
                result = result.and(holds);
            }
        }
        match alternatives.into_iter().reduce(Holds::or) {
            Some(one) => result.and(one),
            None => result,
        }
    }

    /// The settings of a sort, with their kinds.
    fn of_sort(&self, sort: &str) -> impl Iterator<Item = (&Setting, &str)> {
        let all = self.unit.conditions();
        all.filter_map(move |setting| Some((setting, setting.key.strip_prefix(sort)?)))
    }

    /// The first condition that asks for what is lost, where no other is in the way.
    pub(super) fn lost_condition(&self, package: Option<&Package>) -> Option<(Reason, SaidAt)> {
        let mut lost = None;
        let mut alternatives = Vec::new();
        for (setting, kind) in self.of_sort("Unit.Condition") {
            match self.holds(setting, kind) {
                (true, holds) => alternatives.push(holds),
                (false, Holds::No) => {
                    let found = self.is_lost(setting, kind, package)?;
                    lost.get_or_insert((found, setting));
                }
                (false, _) => {}
            }
        }
        if alternatives.into_iter().reduce(Holds::or) == Some(Holds::No) {
            return None;
        }
        lost.map(|(reason, setting)| (reason, self.at(setting)))
    }

    /// Whether the conditions hold beside those that do not.
    pub(super) fn other_conditions(&self) -> Holds {
        let all = self.of_sort("Unit.Condition");
        let others = all.map(|(setting, kind)| self.holds(setting, kind).1);
        others
            .filter(|holds| *holds != Holds::No)
            .fold(Holds::Yes, Holds::and)
    }

    /// That a condition which does not hold would, had the machine what the image has in /var or the package brings there.
    fn is_lost(&self, setting: &Setting, kind: &str, package: Option<&Package>) -> Option<Reason> {
        let path = expand(setting.value.trim_ascii_start(), &self.unit.name)?;
        let in_root = path.strip_prefix(b"/")?;
        let held = match (self.image.gathered.var.get(in_root), kind) {
            (Some(_), "PathExists" | "PathIsReadWrite") => true,
            (Some(meta), "PathIsDirectory") => meta.kind == tree::Kind::Directory,
            (Some(meta), "FileNotEmpty") => meta.kind == tree::Kind::File && meta.size > 0,
            (None, "PathExists" | "PathIsReadWrite" | "PathIsDirectory") => {
                package.is_some_and(|package| package.var.contains(&path))
            }
            _ => false,
        };
        (held && self.machine.lacks(&path)).then(|| Reason::Condition {
            key: format!("Condition{kind}"),
            value: text(&path),
        })
    }

    /// The assertion that does not hold, where they do not as a whole.
    pub(super) fn failed_assertion(&self) -> Option<(Reason, SaidAt)> {
        if self.assertions() != Holds::No {
            return None;
        }
        let mut settings = self.of_sort("Unit.Assert");
        let (setting, kind) =
            settings.find(|(setting, kind)| self.holds(setting, kind).1 == Holds::No)?;
        let value = setting.value.trim_ascii_start();
        let value = expand(value, &self.unit.name).unwrap_or_else(|| value.to_vec());
        let reason = Reason::Assertion {
            key: format!("Assert{kind}"),
            value: text(&value),
        };
        Some((reason, self.at(setting)))
    }

    /// Whether a condition is one of several alternatives, and whether it holds.
    fn holds(&self, setting: &Setting, kind: &str) -> (bool, Holds) {
        let mut value = &setting.value[..];
        let (mut is_alternative, mut is_negated) = (false, false);
        while let Some((sign @ (b'|' | b'!'), rest)) = value.split_first() {
            is_alternative |= *sign == b'|';
            is_negated |= *sign == b'!';
            value = rest.trim_ascii_start();
        }
        let of_file = expand(value, &self.unit.name)
            .filter(|path| path.starts_with(b"/"))
            .and_then(|path| self.holds_of_path(&path, kind));
        // The system's manager is root's.
        let is_root = kind == "User" && [&b"root"[..], b"0", b"@system"].contains(&value);
        let holds = match of_file.or(is_root.then_some(true)) {
            Some(holds) if holds == is_negated => Holds::No,
            Some(_) => Holds::Yes,
            None => Holds::Unknown {
                usually: is_negated != ORDINARY.contains(&kind),
            },
        };
        (is_alternative, holds)
    }

    /// Whether a condition of a kind holds of a path, without its `!`; none if only a machine knows.
    fn holds_of_path(&self, path: &[u8], kind: &str) -> Option<bool> {
        const KINDS: [&str; 9] = [
            "PathExists",
            "PathIsDirectory",
            "PathIsSymbolicLink",
            "PathIsReadWrite",
            "PathIsMountPoint",
            "PathIsEncrypted",
            "DirectoryNotEmpty",
            "FileNotEmpty",
            "FileIsExecutable",
        ];
        if !KINDS.contains(&kind) {
            return None;
        }
        match (self.machine.place(path), kind) {
            (Resolved::Unknown, _) => None,
            (Resolved::Missing, _)
            | (Resolved::Directory, "FileIsExecutable" | "FileNotEmpty")
            | (Resolved::File(_), "PathIsDirectory" | "DirectoryNotEmpty") => Some(false),
            (_, "PathExists") | (Resolved::Directory, "PathIsDirectory") => Some(true),
            // What is in /etc is the image's, but for what people put there.
            (Resolved::Directory, "DirectoryNotEmpty") if path.starts_with(b"/etc/") => {
                let names = self
                    .image
                    .tree
                    .names(path.strip_prefix(b"/").unwrap_or(path));
                names.ok().map(|names| !names.is_empty())
            }
            (Resolved::File(Some((_, meta))), "FileIsExecutable") => Some(meta.is_executable()),
            (Resolved::File(Some((_, meta))), "FileNotEmpty") => Some(meta.size > 0),
            _ => None,
        }
    }
}
