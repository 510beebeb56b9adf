//! Whole files that a plan writes or takes away. Each is written beside its place and renamed there,
//! so that a kill at any point leaves a state that the next run ends in the same place.

use std::path::{Path, PathBuf};

use osderive_lints::{Change, ChangedFile, EntryKind};
use rustix::io::Errno;

use crate::{
    error::{Error, Result},
    paths::shown,
    place::{NewOwner, Place},
};

/// Below it, a directory that a file needs is made; others are not ours to make.
const MAY_CREATE_BELOW: &str = "usr/lib";

const NEW_FILE_MODE: u32 = 0o644;

/// One thing to do; paths are relative to the root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileAction {
    /// Write a file, new or anew.
    Write {
        path: PathBuf,
        content: Vec<u8>,
        reason: String,
    },
    /// Make a symbolic link.
    Link {
        path: PathBuf,
        target: String,
        reason: String,
    },
    /// Put a file elsewhere in the same file system, in place of one that may be there.
    Move {
        from: PathBuf,
        path: PathBuf,
        reason: String,
    },
    /// Take a file, a link or an empty directory away.
    Remove { path: PathBuf, reason: String },
}

impl FileAction {
    pub(crate) fn path(&self) -> &Path {
        let (Self::Write { path, .. }
        | Self::Link { path, .. }
        | Self::Move { path, .. }
        | Self::Remove { path, .. }) = self;
        path
    }

    /// The action for people.
    pub(crate) fn as_changed_file(&self) -> ChangedFile {
        let (change, reason) = match self {
            Self::Write { reason, .. } | Self::Link { reason, .. } => (Change::Wrote, reason),
            Self::Move { reason, .. } => (Change::Moved, reason),
            Self::Remove { reason, .. } => (Change::Removed, reason),
        };
        let from = match self {
            Self::Move { from, .. } => Some(shown(from)),
            _ => None,
        };
        ChangedFile {
            change,
            path: shown(self.path()),
            from,
            reason: reason.clone(),
        }
    }
}

/// Applies actions, first one first; answers with those that a mount or a link on the way hides,
/// which were left undone.
pub(crate) fn apply<'a>(
    place: &Place<'_>,
    actions: &'a [FileAction],
) -> Result<Vec<&'a FileAction>> {
    let mut undone = Vec::new();
    for action in actions {
        match perform(place, action) {
            Ok(()) => {}
            Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR | Errno::BUSY) => undone.push(action),
            Err(source) => {
                return Err(Error::Place {
                    action: "change",
                    path: shown(action.path()),
                    source,
                });
            }
        }
    }
    Ok(undone)
}

fn perform(place: &Place<'_>, action: &FileAction) -> Result<(), Errno> {
    match action {
        FileAction::Write { path, content, .. } => write(place, path, content),
        FileAction::Link { path, target, .. } => link(place, path, target),
        FileAction::Move { from, path, .. } => unless_missing(place.rename(from, path)),
        FileAction::Remove { path, .. } => {
            unless_missing(match place.remove(path, EntryKind::File) {
                Err(Errno::ISDIR) => place.remove(path, EntryKind::Directory),
                removed => removed,
            })
        }
    }
}

/// What is gone already was done before.
fn unless_missing(done: Result<(), Errno>) -> Result<(), Errno> {
    match done {
        Err(Errno::NOENT) => Ok(()),
        done => done,
    }
}

/// Replaces a file, keeping its mode and owner; a new one is for everybody to read.
fn write(place: &Place<'_>, path: &Path, content: &[u8]) -> Result<(), Errno> {
    make_parents(place, path)?;
    let (mode, owner) = match place.meta(path)? {
        Some(old) => (
            old.look.mode,
            NewOwner {
                uid: Some(old.look.uid),
                gid: Some(old.look.gid),
            },
        ),
        None => (NEW_FILE_MODE, NewOwner::default()),
    };
    place.write_file(path, content, mode, owner)
}

fn link(place: &Place<'_>, path: &Path, target: &str) -> Result<(), Errno> {
    make_parents(place, path)?;
    match place.make_link(path, target.as_bytes(), NewOwner::default()) {
        Err(Errno::EXIST)
            if place
                .link_target(path)
                .is_ok_and(|old| old == target.as_bytes()) =>
        {
            Ok(())
        }
        made => made,
    }
}

fn make_parents(place: &Place<'_>, path: &Path) -> Result<(), Errno> {
    if path.starts_with(MAY_CREATE_BELOW) {
        place.make_parents(path, &mut |_| ())?;
    }
    Ok(())
}
