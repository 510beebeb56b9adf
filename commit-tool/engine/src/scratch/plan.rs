//! The second stage: what shall be done about what was seen, as a list of typed actions with a
//! reason each. A pure function of the observation: same state, same plan.

use osderive_lints::{EntryKind, KeptEntry};
use rustix::io::Errno;

use super::observe::{Area, Blocked, EntryId, Observation, Obstacle};

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScratchAction {
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
pub(crate) struct ScratchPlan {
    /// In path order. They are applied backwards, so that a directory is empty when its turn
    /// comes.
    pub(crate) actions: Vec<ScratchAction>,
    pub(crate) keep: Vec<Keep>,
    pub(crate) not_directories: Vec<(String, String)>,
    pub(crate) unreadable: Vec<(EntryId, Errno)>,
}

/// The reason of a mount point, and of all below and above it.
pub(crate) const MOUNT_POINT: &str = "mount point";

/// Makes the plan for an observation.
pub(crate) fn plan(seen: &Observation) -> ScratchPlan {
    let mut plan = ScratchPlan::default();
    for blocked in &seen.blocked {
        match blocked {
            Blocked::Mount(path) => plan.keep(path.clone(), MOUNT_POINT),
            Blocked::NotADirectory { path, found } => {
                plan.keep(path.clone(), found);
                plan.not_directories.push((path.clone(), found.clone()));
            }
        }
    }
    let stays = Stays::of(seen);
    for (id, entry) in seen.entries() {
        match entry.obstacle {
            Some(Obstacle::Mount) => plan.keep(seen.path(id), MOUNT_POINT),
            Some(Obstacle::Unreadable(error)) => plan.unreadable.push((id, error)),
            None if stays.contains(id) => {}
            None => plan.actions.push(ScratchAction::Remove {
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

impl ScratchPlan {
    fn keep(&mut self, path: String, reason: &str) {
        self.keep.push(Keep {
            path,
            reason: reason.to_owned(),
        });
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
