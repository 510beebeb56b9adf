//! The third stage: does what the plan says and tells what came of it. It trusts the plan's names
//! but not the tree, which another process may change meanwhile: each step down is taken anew
//! without following links, and an entry that has become something else is left alone.

use osderive_lints::EntryKind;
use rustix::{
    fs::{AtFlags, unlinkat},
    io::Errno,
};

use super::{
    observe::{Area, EntryId, Observation, reopen},
    plan::{ScratchAction, ScratchPlan, Stays},
};
use crate::{
    error::{Error, Result},
    handle::Descent,
    rootfs::Rootfs,
};

/// What came of a plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// In path order.
    pub(crate) removed: Vec<ScratchAction>,
    /// Entries that have become mount points after all.
    pub(crate) busy: Vec<EntryId>,
    /// Entries that the system does not let go.
    pub(crate) refused: Vec<(EntryId, Errno)>,
    /// Whether the tree was no longer what the plan was made for: look again.
    pub(crate) changed: bool,
}

/// Applies a plan, last action first.
pub(crate) fn apply(rootfs: &Rootfs, seen: &Observation, plan: &ScratchPlan) -> Result<Applied> {
    let mut work = Work {
        rootfs,
        seen,
        stays: Stays::none(seen),
        cursor: None,
        applied: Applied::default(),
    };
    for action in plan.actions.iter().rev() {
        work.perform(action)?;
    }
    work.applied.removed.reverse();
    Ok(work.applied)
}

struct Work<'a> {
    rootfs: &'a Rootfs,
    seen: &'a Observation,
    stays: Stays,
    cursor: Option<Cursor>,
    applied: Applied,
}

/// The directory that is open, and the way there.
struct Cursor {
    area: Area,
    descent: Descent,
    way: Vec<EntryId>,
}

impl Work<'_> {
    fn perform(&mut self, action: &ScratchAction) -> Result<()> {
        let &ScratchAction::Remove { entry, kind, .. } = action;
        if self.stays.contains(entry) {
            return Ok(());
        }
        match self.remove(entry, kind) {
            Ok(()) => self.applied.removed.push(*action),
            Err(Errno::NOENT) => {}
            Err(Errno::BUSY | Errno::XDEV) => {
                self.stays.add(self.seen, entry);
                self.applied.busy.push(entry);
            }
            Err(error @ (Errno::PERM | Errno::ACCESS)) => {
                self.stays.add(self.seen, entry);
                self.applied.refused.push((entry, error));
            }
            Err(
                Errno::NOTEMPTY
                | Errno::EXIST
                | Errno::ISDIR
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::STALE,
            ) => {
                self.stays.add(self.seen, entry);
                self.applied.changed = true;
            }
            Err(source) => {
                return Err(Error::Place {
                    action: "remove",
                    path: self.seen.path(entry),
                    source,
                });
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: EntryId, kind: EntryKind) -> Result<(), Errno> {
        let entry = self.seen.entry(id);
        let flags = match kind {
            EntryKind::Directory => AtFlags::REMOVEDIR,
            _ => AtFlags::empty(),
        };
        let mut cursor = match self.cursor.take() {
            Some(cursor) if cursor.area == entry.area => cursor,
            _ => Cursor::at(self.rootfs, entry.area)?,
        };
        // When this fails the cursor is dropped and the next action begins at the area again.
        cursor.go_to(self.seen, entry.parent)?;
        self.rootfs.note_change();
        let outcome = unlinkat(cursor.descent.directory(), &entry.name, flags);
        self.cursor = Some(cursor);
        outcome
    }
}

impl Cursor {
    fn at(rootfs: &Rootfs, area: Area) -> Result<Self, Errno> {
        let top = reopen(rootfs, area).ok_or(Errno::STALE)?;
        Ok(Self {
            area,
            descent: Descent::from(top)?,
            way: Vec::new(),
        })
    }

    fn go_to(&mut self, seen: &Observation, directory: Option<EntryId>) -> Result<(), Errno> {
        let mut down = Vec::new();
        let mut common = 0;
        for id in directory.into_iter().flat_map(|id| seen.ancestry(id)) {
            let depth = seen.entry(id).depth as usize;
            if self.way.get(depth - 1) == Some(&id) {
                common = depth;
                break;
            }
            down.push(id);
        }
        while self.way.len() > common {
            self.descent.leave()?;
            self.way.pop();
        }
        for id in down.into_iter().rev() {
            self.descent.enter(&seen.entry(id).name)?;
            self.way.push(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::{
        mounts::Mounts,
        scratch::{
            observe::{AREAS, observe},
            plan::plan,
        },
    };

    fn rootfs_with(paths: &[&str]) -> (tempfile::TempDir, Rootfs) {
        let root = tempfile::tempdir().expect("a directory");
        for path in paths {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, "x").expect("a file");
        }
        let rootfs = Rootfs::open(root.path()).expect("opens");
        (root, rootfs)
    }

    #[test]
    fn a_directory_that_became_a_link_is_not_followed() {
        let (root, rootfs) = rootfs_with(&["tmp/d/victim", "etc/victim"]);
        let seen = observe(&rootfs, &AREAS, Mounts::read(&rootfs)).expect("observes");
        let plan = plan(&seen);
        fs::rename(root.path().join("tmp/d"), root.path().join("tmp/e")).expect("moves");
        symlink("../etc", root.path().join("tmp/d")).expect("a link");
        let applied = apply(&rootfs, &seen, &plan).expect("applies");
        assert!(applied.changed);
        assert!(root.path().join("etc/victim").exists());
        assert!(applied.removed.is_empty());
    }

    #[test]
    fn what_appears_meanwhile_asks_for_another_look() {
        let (root, rootfs) = rootfs_with(&["tmp/d/old"]);
        let seen = observe(&rootfs, &AREAS, Mounts::read(&rootfs)).expect("observes");
        fs::write(root.path().join("tmp/d/new"), "x").expect("a file");
        let applied = apply(&rootfs, &seen, &plan(&seen)).expect("applies");
        assert!(applied.changed);
        assert_eq!(applied.removed.len(), 1);
        assert!(root.path().join("tmp/d/new").exists());
    }

    #[test]
    fn what_is_gone_already_is_no_error() {
        let (root, rootfs) = rootfs_with(&["tmp/d/e/f", "run/x"]);
        let seen = observe(&rootfs, &AREAS, Mounts::read(&rootfs)).expect("observes");
        fs::remove_dir_all(root.path().join("tmp/d")).expect("removes");
        let applied = apply(&rootfs, &seen, &plan(&seen)).expect("applies");
        assert!(!applied.changed);
        assert_eq!(applied.removed.len(), 1);
    }
}
