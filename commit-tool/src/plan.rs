//! The second stage: what shall be done about what was seen, as a list of typed actions with a
//! reason each. A pure function of the observation: same state, same plan.

use std::{fmt, path::Path};

use osderive_lints::{
    EntryKind, KeptEntry, PLAN_VERSION, PlanReport, Planned, PlannedAction, rules,
};
use rustix::io::Errno;

use crate::{
    observe::{Area, Blocked, EntryId, Observation, Obstacle},
    settled::Settled,
};

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take an entry away. Everything below it has an action of its own.
    Remove {
        entry: EntryId,
        area: Area,
        kind: EntryKind,
        bytes: u64,
    },
}

/// A path that stays although it stands where all is emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// What shall be done, and what cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In path order. They are applied backwards, so that a directory is empty when its turn
    /// comes.
    pub(crate) actions: Vec<Action>,
    pub(crate) keep: Vec<Keep>,
    pub(crate) not_directories: Vec<(String, String)>,
    pub(crate) unreadable: Vec<(EntryId, Errno)>,
}

/// The widest column of paths in a table, in characters.
const MAX_COLUMN: usize = 60;

/// The reason of a mount point, and of all below and above it.
pub(crate) const MOUNT_POINT: &str = "mount point";

/// The reason of what is left.
const FOR_LATER: &str = "a later step needs it";

/// Makes the plan for an observation. What is `left` for later steps stays; paths are relative to the root.
pub(crate) fn plan(seen: &Observation, left: Option<&dyn Fn(&Path) -> bool>) -> Plan {
    let mut plan = Plan::default();
    for blocked in &seen.blocked {
        match blocked {
            Blocked::Mount(path) => plan.keep(path.clone(), MOUNT_POINT),
            Blocked::NotADirectory { path, found } => {
                plan.keep(path.clone(), found);
                plan.not_directories.push((path.clone(), found.clone()));
            }
        }
    }
    let mut stays = Stays::of(seen);
    for (id, entry) in left.iter().flat_map(|_| seen.entries()) {
        let is_left = |id| left.is_some_and(|left| left(&seen.place(id)));
        if is_left(id) {
            stays.add(seen, id);
            if !entry.parent.is_some_and(is_left) {
                plan.keep(seen.path(id), FOR_LATER);
            }
        }
    }
    for (id, entry) in seen.entries() {
        match entry.obstacle {
            Some(Obstacle::Mount) => plan.keep(seen.path(id), MOUNT_POINT),
            Some(Obstacle::Unreadable(error)) => plan.unreadable.push((id, error)),
            None if stays.contains(id) => {}
            None => plan.actions.push(Action::Remove {
                entry: id,
                area: entry.area,
                kind: entry.kind,
                bytes: entry.bytes,
            }),
        }
    }
    plan.keep.sort_by(|left, right| left.path.cmp(&right.path));
    plan
}

/// The entries that cannot go because of what stands on or below them.
pub(crate) struct Stays(Vec<bool>);

impl Stays {
    fn of(seen: &Observation) -> Self {
        let mut stays = Self(vec![false; seen.len()]);
        for (id, entry) in seen.entries() {
            if entry.obstacle.is_some() {
                stays.add(seen, id);
            }
        }
        stays
    }

    /// Marks an entry and every directory above it.
    pub(crate) fn add(&mut self, seen: &Observation, id: EntryId) {
        for id in seen.ancestry(id) {
            if std::mem::replace(&mut self.0[id.index()], true) {
                break;
            }
        }
    }

    pub(crate) fn none(seen: &Observation) -> Self {
        Self(vec![false; seen.len()])
    }

    pub(crate) fn contains(&self, id: EntryId) -> bool {
        self.0[id.index()]
    }
}

impl Plan {
    fn keep(&mut self, path: String, reason: &str) {
        self.keep.push(Keep {
            path,
            reason: reason.to_owned(),
        });
    }

    /// The plan for people and machines, together with what the domains would do.
    pub(crate) fn report(&self, seen: &Observation, settled: Settled) -> PlanReport {
        let row = |path: String, action: Planned, reason: &str| PlannedAction {
            path,
            action,
            from: None,
            reason: reason.to_owned(),
        };
        let removed = self.actions.iter().map(|action| {
            let Action::Remove { entry, area, .. } = action;
            row(seen.path(*entry), Planned::Remove, area.reason)
        });
        let kept =
            (self.keep.iter()).map(|keep| row(keep.path.clone(), Planned::Keep, &keep.reason));
        let stuck = self.unreadable.iter().map(|(id, error)| {
            let reason = format!("{}: {error}", rules::commit_cannot_remove::RULE.name);
            row(seen.path(*id), Planned::Keep, &reason)
        });
        let changed = settled.changed.into_iter().map(|file| PlannedAction {
            path: file.path,
            action: file.change.into(),
            from: file.from,
            reason: file.reason,
        });
        let left =
            (settled.kept.into_iter()).map(|kept| row(kept.path, Planned::Keep, &kept.reason));
        let mut actions: Vec<PlannedAction> =
            (removed.chain(kept).chain(stuck).chain(changed).chain(left)).collect();
        actions.sort();
        PlanReport {
            version: PLAN_VERSION,
            actions,
            findings: settled.findings,
        }
    }
}

/// A plan as a table of action, path and reason.
pub(crate) struct Table<'a>(pub(crate) &'a PlanReport);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.actions.iter();
        let rows: Vec<_> = rows.map(|row| (place_of(row), row)).collect();
        let widths = rows.iter().map(|(place, _)| place.chars().count());
        let width = widths.max().unwrap_or(0).min(MAX_COLUMN);
        for (place, PlannedAction { action, reason, .. }) in &rows {
            writeln!(out, "{:<8}{place:<width$}  {reason}", action.name())?;
        }
        Ok(())
    }
}

fn place_of(row: &PlannedAction) -> String {
    match &row.from {
        Some(from) => format!("{from} -> {}", row.path),
        None => row.path.clone(),
    }
}

impl From<Keep> for KeptEntry {
    fn from(keep: Keep) -> Self {
        Self {
            path: keep.path,
            reason: keep.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{mounts::Mounts, observe::observe, rootfs::Rootfs};

    fn seen_with(paths: &[&str], mount: &str) -> Observation {
        let root = tempfile::tempdir().expect("a directory");
        for path in paths {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
            fs::write(path, "x").expect("a file");
        }
        let table = format!("1 1 0:1 / {mount} rw - x x rw");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        observe(&rootfs, Some(Mounts::parse(table.as_bytes(), b"/"))).expect("observes")
    }

    #[test]
    fn a_mount_and_its_parents_stay_and_its_siblings_go() {
        let paths = [
            "var/cache/apt/archives/x.deb",
            "var/cache/apt/pkgcache.bin",
            "var/cache/man/index",
        ];
        let seen = seen_with(&paths, "/var/cache/apt/archives");
        let table = Table(&plan(&seen, None).report(&seen, Settled::default())).to_string();
        assert_eq!(
            table,
            "\
keep    /var/cache/apt/archives      mount point
remove  /var/cache/apt/pkgcache.bin  caches are made again on the machine
remove  /var/cache/man               caches are made again on the machine
remove  /var/cache/man/index         caches are made again on the machine
"
        );
    }

    #[test]
    fn a_mount_on_an_area_keeps_all_of_it() {
        let seen = seen_with(&["var/tmp/x", "run/y"], "/var");
        let plan = plan(&seen, None);
        assert_eq!(plan.actions.len(), 1);
        assert_eq!(plan.keep[0].path, "/var");
    }

    #[test]
    fn what_is_left_for_later_steps_stays_with_the_directories_above_it() {
        let seen = seen_with(&["tmp/a/b/c", "tmp/a/b/d", "tmp/a/e", "tmp/f"], "/none");
        let left = |path: &Path| path.starts_with("tmp/a/b");
        let table = Table(&plan(&seen, Some(&left)).report(&seen, Settled::default())).to_string();
        assert_eq!(
            table,
            "\
keep    /tmp/a/b  a later step needs it
remove  /tmp/a/e  /tmp starts empty at every boot
remove  /tmp/f    /tmp starts empty at every boot
"
        );
    }

    #[test]
    fn the_same_state_gives_the_same_plan() {
        let paths = ["tmp/b/c", "tmp/a", "run/x"];
        let tables = [0; 2].map(|_| {
            let seen = seen_with(&paths, "/none");
            Table(&plan(&seen, None).report(&seen, Settled::default())).to_string()
        });
        assert_eq!(tables[0], tables[1]);
    }
}
