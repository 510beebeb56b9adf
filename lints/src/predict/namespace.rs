//! The view of the file system that systemd makes for a service: which of the paths that a unit names
//! have to be there. It sorts all of them, its own included, and drops those that add nothing to what
//! stands above them before it looks for any (systemd's `src/core/namespace.c`: `drop_inaccessible`,
//! `drop_nop`).

use super::trial::Trial;
use crate::model::units::boolean;
use crate::units::Setting;

/// What happens to a path, in the order in which systemd sorts those of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Inaccessible,
    /// Something is mounted there.
    Mounted,
    ReadOnly,
    ReadWrite,
    NoExec,
    Exec,
    /// systemd's own, without a word of the unit.
    ReadWriteImplicit,
}

/// One path of the view.
struct Entry<'a> {
    path: Vec<u8>,
    mode: Mode,
    /// The setting of the unit that names it, with its key.
    by: Option<(&'a Setting, &'static str)>,
}

/// A path that has to be there.
pub(super) struct Needed<'a> {
    pub(super) setting: &'a Setting,
    pub(super) key: &'static str,
    pub(super) path: Vec<u8>,
}

/// The settings of paths that change what a service may do there.
const ACCESS: [(&str, Mode); 8] = [
    ("ReadWritePaths", Mode::ReadWrite),
    ("ReadWriteDirectories", Mode::ReadWrite),
    ("ReadOnlyPaths", Mode::ReadOnly),
    ("ReadOnlyDirectories", Mode::ReadOnly),
    ("InaccessiblePaths", Mode::Inaccessible),
    ("InaccessibleDirectories", Mode::Inaccessible),
    ("ExecPaths", Mode::Exec),
    ("NoExecPaths", Mode::NoExec),
];

/// Those that mount one path on another.
const BINDS: [&str; 2] = ["BindPaths", "BindReadOnlyPaths"];

const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];

impl Trial<'_> {
    /// The paths of the unit's settings that have to be there.
    pub(super) fn namespace(&self) -> Vec<Needed<'_>> {
        let mut entries = self.own_entries();
        let mut needed = Vec::new();
        for (key, mode) in ACCESS {
            for (setting, word) in self.unit.words(&format!("Service.{key}")) {
                let path = word.strip_prefix(b"-").unwrap_or(&word);
                let path = path.strip_prefix(b"+").unwrap_or(path);
                if path.starts_with(b"/") {
                    // What may be missing still stands above others.
                    let may_be_missing = word.starts_with(b"-");
                    entries.push(Entry {
                        path: normal(path),
                        mode,
                        by: (!may_be_missing).then_some((setting, key)),
                    });
                }
            }
        }
        for key in BINDS {
            for (setting, word) in self.unit.words(&format!("Service.{key}")) {
                let mut parts = word.split(|&byte| byte == b':');
                let source = parts.next().unwrap_or_default();
                let place = parts.next().unwrap_or(source);
                let place = place.strip_prefix(b"-").unwrap_or(place);
                entries.push(Entry::of_systemd(&normal(place), Mode::Mounted));
                if source.starts_with(b"/") {
                    needed.push(Needed {
                        setting,
                        key,
                        path: source.to_vec(),
                    });
                }
            }
        }
        entries.sort_by(|left, right| (&left.path, left.mode).cmp(&(&right.path, right.mode)));
        entries.dedup_by(|later, first| later.path == first.path);
        let mut left: Vec<Entry<'_>> = Vec::new();
        for entry in entries {
            let parent = left.iter().rev().find(|parent| entry.is_below(parent));
            let is_hidden = left
                .iter()
                .any(|above| above.mode == Mode::Inaccessible && entry.is_below(above));
            let adds_nothing = matches!(
                entry.mode,
                Mode::ReadOnly | Mode::ReadWrite | Mode::ReadWriteImplicit
            ) && parent.is_some_and(|parent| parent.mode == entry.mode);
            if !is_hidden && !adds_nothing {
                left.push(entry);
            }
        }
        // Below what is mounted, that decides what is there.
        let mounted: Vec<Vec<u8>> = (left.iter())
            .filter(|entry| entry.mode == Mode::Mounted)
            .map(|entry| entry.path.clone())
            .collect();
        let of_access = left.into_iter().filter_map(|entry| {
            let (setting, key) = entry.by?;
            let is_covered = mounted.iter().any(|top| is_at_or_below(&entry.path, top));
            let path = entry.path;
            (!is_covered).then_some(Needed { setting, key, path })
        });
        of_access.chain(needed).collect()
    }

    /// What other settings than those of paths put into the view.
    fn own_entries(&self) -> Vec<Entry<'static>> {
        let mut entries = Vec::new();
        let mut add = |paths: &[&str], mode| {
            let paths = paths.iter();
            entries.extend(paths.map(|path| Entry::of_systemd(path.as_bytes(), mode)));
        };
        let value = |key: &str| {
            let setting = self.unit.last(&format!("Service.{key}"));
            setting.map_or(&b""[..], |setting| &setting.value[..])
        };
        let is_on = |key: &str| boolean(value(key)) == Some(true);
        // `DynamicUser=` implies these.
        let is_dynamic = is_on("DynamicUser");
        match value("ProtectSystem") {
            b"strict" => strict(&mut add),
            b"full" => add(&["/usr", "/boot", "/efi", "/etc"], Mode::ReadOnly),
            value if boolean(value) == Some(true) => {
                add(&["/usr", "/boot", "/efi"], Mode::ReadOnly);
            }
            _ if is_dynamic => strict(&mut add),
            _ => {}
        }
        match value("ProtectHome") {
            b"read-only" => add(&HOMES, Mode::ReadOnly),
            b"tmpfs" => add(&HOMES, Mode::Mounted),
            value if boolean(value) == Some(true) => add(&HOMES, Mode::Inaccessible),
            _ if is_dynamic => add(&HOMES, Mode::ReadOnly),
            _ => {}
        }
        // Besides yes and no, it may be `disconnected`.
        let tmp = value("PrivateTmp");
        if is_dynamic || !(tmp.is_empty() || boolean(tmp) == Some(false)) {
            add(&["/tmp", "/var/tmp"], Mode::Mounted);
        }
        if is_on("PrivateDevices") {
            add(&["/dev"], Mode::Mounted);
        }
        if is_on("ProtectKernelModules") {
            add(&["/usr/lib/modules"], Mode::Inaccessible);
        }
        for (key, top) in [
            ("StateDirectory", "/var/lib"),
            ("CacheDirectory", "/var/cache"),
            ("LogsDirectory", "/var/log"),
        ] {
            for (_, word) in self.unit.words(&format!("Service.{key}")) {
                let name = word.split(|&byte| byte == b':').next().unwrap_or_default();
                let path = [top.as_bytes(), b"/", name].concat();
                entries.push(Entry::of_systemd(&normal(&path), Mode::ReadWrite));
            }
        }
        for key in ["TemporaryFileSystem", "MountImages"] {
            for (_, word) in self.unit.words(&format!("Service.{key}")) {
                let mut parts = word.split(|&byte| byte == b':');
                let first = parts.next().unwrap_or_default();
                let place = match key {
                    "MountImages" => parts.next().unwrap_or_default(),
                    _ => first,
                };
                entries.push(Entry::of_systemd(&normal(place), Mode::Mounted));
            }
        }
        entries
    }
}

/// What `ProtectSystem=strict` is made of.
fn strict(add: &mut impl FnMut(&[&str], Mode)) {
    add(&["/"], Mode::ReadOnly);
    add(&["/proc", "/sys", "/dev"], Mode::ReadWriteImplicit);
    add(&HOMES, Mode::ReadWriteImplicit);
}

impl Entry<'_> {
    fn of_systemd(path: &[u8], mode: Mode) -> Self {
        Self {
            path: path.to_vec(),
            mode,
            by: None,
        }
    }

    fn is_below(&self, parent: &Self) -> bool {
        is_at_or_below(&self.path, &parent.path)
    }
}

/// A path without double slashes and one at its end; the root is a slash.
fn normal(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !part.is_empty()).collect();
    [b"/", &parts.join(&b'/')[..]].concat()
}

fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    let rest = path.strip_prefix(top);
    top == b"/" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}
