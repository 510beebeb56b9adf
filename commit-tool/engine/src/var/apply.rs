//! Does what the plan says: declarations first, then what they copy from, and only then is anything
//! taken away from /var. Killed anywhere and run again, a commit ends in the same place.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use osderive_lints::{EntryKind, KeptEntry, model::tmpfiles::FACTORY};
use rustix::io::Errno;

use super::plan::action::VarAction;
use crate::{
    error::{Error, Result},
    outcome::{DomainOutcome, Tell},
    paths::shown,
    place::{Meta, NewOwner, Place},
};

/// Files of several names that were moved, by where the first name is now.
type Moved = HashMap<(u64, u64), PathBuf>;

/// Applies actions, first one first; what a mount or a link on the way hides is left as it is.
pub(super) fn apply(
    place: &Place<'_>,
    actions: &[VarAction],
    outcome: &mut DomainOutcome,
    tell: Tell<'_>,
) -> Result<()> {
    let mut moved = Moved::new();
    for action in actions {
        if let VarAction::File(file) = action {
            let kept = outcome.kept.len();
            outcome.apply(place, std::slice::from_ref(file), tell)?;
            if outcome.kept.len() > kept {
                // Without its declaration nothing may go.
                outcome.summaries.clear();
                return Ok(());
            }
            continue;
        }
        match perform(place, action, &mut moved) {
            // One line declares a directory; that it goes is no news.
            Ok(()) if is_directory(action) => {}
            Ok(()) => {
                if let Some(changed) = action.as_changed_file() {
                    tell(&changed);
                    outcome.changed.push(changed);
                }
            }
            Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR | Errno::BUSY) => {
                outcome.kept.push(KeptEntry {
                    path: shown(action.path()),
                    reason: "behind a mount or a link".to_owned(),
                });
            }
            Err(source) => {
                return Err(Error::Place {
                    action: "change",
                    path: shown(action.path()),
                    source,
                });
            }
        }
    }
    Ok(())
}

fn is_directory(action: &VarAction) -> bool {
    matches!(
        action,
        VarAction::Remove {
            kind: EntryKind::Directory,
            ..
        }
    )
}

fn perform(place: &Place<'_>, action: &VarAction, moved: &mut Moved) -> Result<(), Errno> {
    match action {
        VarAction::File(_) => Ok(()),
        VarAction::Remove { path, kind, .. } => match place.remove(path, *kind) {
            // Somebody else's is in it, or it went with what it was in.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        },
        VarAction::Move { from, to, .. } => {
            make_parents(place, to)?;
            move_into(place, from, to, moved)
        }
        VarAction::Plain {
            path,
            mode,
            is_shared,
        } => match place.make_plain(path, *mode, *is_shared) {
            // What is known to go went.
            Err(Errno::NOENT) => Ok(()),
            done => done,
        },
    }
}

/// Makes the directories above a place, those of the factory as they are in /var: what nobody could
/// read there, nobody can read in the factory.
fn make_parents(place: &Place<'_>, path: &Path) -> Result<(), Errno> {
    place.make_parents(path, &mut |_| ())?;
    for copy in path.ancestors().skip(1) {
        let Some(original_path) = copy
            .strip_prefix(FACTORY)
            .ok()
            .filter(|path| *path != Path::new(""))
        else {
            break;
        };
        let (Some(original), Some(there)) = (place.meta(original_path)?, place.meta(copy)?) else {
            continue;
        };
        if original.is_open_directory() && !there.is_same(&original) {
            let list = place.attributes(original_path)?.lists.access;
            let mode = original.look.mode;
            let mode = list.map_or(mode, |list| list.mode_without(mode));
            place.set_owner(copy, owner(&original))?;
            place.set_mode(copy, mode)?;
        }
    }
    Ok(())
}

fn owner(meta: &Meta) -> NewOwner {
    NewOwner {
        uid: Some(meta.look.uid),
        gid: Some(meta.look.gid),
    }
}

/// Moves an entry: a directory into one that is there already, anything else in its place.
/// Names of one file stay such: on an overlay each of them may become a file of its own when it is renamed.
fn move_into(place: &Place<'_>, from: &Path, to: &Path, moved: &mut Moved) -> Result<(), Errno> {
    let Some(meta) = place.meta(from)? else {
        return Ok(());
    };
    if meta.is_mount {
        return Err(Errno::BUSY);
    }
    let is_directory = meta.look.kind == EntryKind::Directory;
    match place.meta(to)? {
        Some(there) if is_directory && there.is_open_directory() => {
            return merge(place, from, &meta, to, moved);
        }
        Some(there) if is_directory || there.look.kind == EntryKind::Directory => {
            remove_tree(place, to)?;
        }
        _ => {}
    }
    if meta.look.kind == EntryKind::File && meta.look.links > 1 {
        if let Some(first) = moved.get(&meta.look.file())
            && place.link_over(first, to).is_ok()
        {
            return place.remove(from, EntryKind::File);
        }
        moved
            .entry(meta.look.file())
            .or_insert_with(|| to.to_owned());
    }
    match place.rename(from, to) {
        Err(Errno::XDEV) => {}
        // Renaming does nothing when both are names of one file, which a killed commit may leave.
        Ok(()) if meta.look.kind == EntryKind::File && meta.look.links > 1 => {
            return match place.remove(from, EntryKind::File) {
                Err(Errno::NOENT) => Ok(()),
                removed => removed,
            };
        }
        renamed => return renamed,
    }
    match meta.look.kind {
        EntryKind::Directory => {
            place.make_directory(to, Some(0o700), NewOwner::default())?;
            return merge(place, from, &meta, to, moved);
        }
        EntryKind::File => place.copy_file(from, to, NewOwner::default())?,
        EntryKind::Symlink => {
            if place.meta(to)?.is_some() {
                place.remove(to, EntryKind::File)?;
            }
            place.make_link(to, &place.link_target(from)?, owner(&meta))?;
            place.set_modified(to, meta.look.modified)?;
        }
        EntryKind::Special => return Ok(()),
    }
    place.remove(from, meta.look.kind)
}

/// Moves what is in a directory into another, which becomes what the first was.
fn merge(
    place: &Place<'_>,
    from: &Path,
    meta: &Meta,
    to: &Path,
    moved: &mut Moved,
) -> Result<(), Errno> {
    for name in place.list_names(from)? {
        move_into(place, &from.join(&name), &to.join(&name), moved)?;
    }
    place.set_as(to, from)?;
    place.set_modified(to, meta.look.modified)?;
    match place.remove(from, EntryKind::Directory) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        removed => removed,
    }
}

fn remove_tree(place: &Place<'_>, top: &Path) -> Result<(), Errno> {
    for (path, meta) in place.walk(top)?.iter().rev() {
        place.remove(path, meta.look.kind)?;
    }
    Ok(())
}
