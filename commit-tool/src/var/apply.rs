//! Does what the plan says: declarations first, then what they copy from, and only then is anything
//! taken away from /var. Killed anywhere and run again, a commit ends in the same place.

use std::path::Path;

use osderive_lints::{EntryKind, KeptEntry, model::tmpfiles::FACTORY};
use rustix::io::Errno;

use super::plan::Action;
use crate::{
    error::{Error, Result},
    place::{Meta, NewOwner, Place},
    settled::{Settled, Tell},
};

/// Applies actions, first one first; what a mount or a link on the way hides is left as it is.
pub(super) fn apply(
    place: &Place<'_>,
    actions: &[Action],
    settled: &mut Settled,
    tell: Tell<'_>,
) -> Result<()> {
    for action in actions {
        if let Action::File(file) = action {
            let kept = settled.kept.len();
            settled.apply(place, std::slice::from_ref(file), tell)?;
            if settled.kept.len() > kept {
                // Without its declaration nothing may go.
                settled.summaries.clear();
                return Ok(());
            }
            continue;
        }
        let changed = action.as_changed_file();
        match perform(place, action) {
            // One line declares a directory; that it goes is no news.
            Ok(()) if is_directory(action) => {}
            Ok(()) => {
                tell(&changed);
                settled.changed.push(changed);
            }
            Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR | Errno::BUSY) => {
                settled.kept.push(KeptEntry {
                    path: changed.from.unwrap_or(changed.path),
                    reason: "behind a mount or a link".to_owned(),
                });
            }
            Err(source) => {
                return Err(Error::Place {
                    action: "change",
                    path: changed.from.unwrap_or(changed.path),
                    source,
                });
            }
        }
    }
    Ok(())
}

fn is_directory(action: &Action) -> bool {
    matches!(
        action,
        Action::Remove {
            kind: EntryKind::Directory,
            ..
        }
    )
}

fn perform(place: &Place<'_>, action: &Action) -> Result<(), Errno> {
    match action {
        Action::File(_) => Ok(()),
        Action::Remove { path, kind, .. } => match place.remove(path, *kind) {
            // Somebody else's is in it, or it went with what it was in.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        },
        Action::Move { from, to, .. } => {
            make_parents(place, to)?;
            move_into(place, from, to)
        }
    }
}

/// Makes the directories above a place, those of the factory as they are in /var: what nobody could
/// read there, nobody can read in the factory.
fn make_parents(place: &Place<'_>, path: &Path) -> Result<(), Errno> {
    place.make_parents(path, &mut |_| ())?;
    for copy in path.ancestors().skip(1) {
        let Some(original) = copy
            .strip_prefix(FACTORY)
            .ok()
            .filter(|path| *path != Path::new(""))
        else {
            break;
        };
        let (Some(original), Some(there)) = (place.meta(original)?, place.meta(copy)?) else {
            continue;
        };
        if original.is_open_directory() && !there.is_same(&original) {
            place.set_owner(copy, owner(&original))?;
            place.set_mode(copy, original.look.mode)?;
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
fn move_into(place: &Place<'_>, from: &Path, to: &Path) -> Result<(), Errno> {
    let Some(meta) = place.meta(from)? else {
        return Ok(());
    };
    if meta.is_mount {
        return Err(Errno::BUSY);
    }
    let is_directory = meta.look.kind == EntryKind::Directory;
    match place.meta(to)? {
        Some(there) if is_directory && there.is_open_directory() => {
            return merge(place, from, &meta, to);
        }
        Some(there) if is_directory || there.look.kind == EntryKind::Directory => {
            remove_tree(place, to)?;
        }
        _ => {}
    }
    match place.rename(from, to) {
        Err(Errno::XDEV) => {}
        renamed => return renamed,
    }
    match meta.look.kind {
        EntryKind::Directory => {
            place.make_directory(to, Some(0o700), NewOwner::default())?;
            return merge(place, from, &meta, to);
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
fn merge(place: &Place<'_>, from: &Path, meta: &Meta, to: &Path) -> Result<(), Errno> {
    for name in place.names(from).ok_or(Errno::NOTDIR)? {
        move_into(place, &from.join(&name), &to.join(&name))?;
    }
    place.set_owner(to, owner(meta))?;
    place.set_mode(to, meta.look.mode)?;
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
