//! The third stage. What moves is renamed, or copied beside its new place and renamed there when it
//! is a lower layer's; it goes from its old place last, so that a kill at any point loses nothing and
//! the next run ends in the same place.

use std::path::Path;

use osderive_lints::{Change, ChangedFile, EntryKind};
use rustix::io::Errno;

use super::{
    area::{AREAS, Layout},
    links::relative,
    observe::{PART_LINK, Snapshot, unfinished_parts},
    plan::OptAction,
};
use crate::{
    error::{Error, IN_THE_WAY, Result},
    outcome::{DomainOutcome, Tell},
    paths::{absolute, shown},
    place::{NewOwner, Place, Told as _, moved, unfinished},
};

/// What the name of the copy of a tree ends with beside all that it is made of, until it is whole.
const COPY: &str = "-tree";

const ROOT: NewOwner = NewOwner {
    uid: Some(0),
    gid: Some(0),
};

/// Applies actions, first one first.
pub(super) fn apply(
    place: &Place<'_>,
    actions: &[OptAction],
    outcome: &mut DomainOutcome,
    tell: Tell<'_>,
) -> Result<()> {
    for action in actions {
        perform(place, action, outcome, tell)?;
    }
    Ok(())
}

pub(super) fn perform(
    place: &Place<'_>,
    action: &OptAction,
    outcome: &mut DomainOutcome,
    tell: Tell<'_>,
) -> Result<()> {
    match action {
        OptAction::Declare(action) => {
            return outcome.apply(place, std::slice::from_ref(action), tell);
        }
        OptAction::Prune(top) => place.remove_tree(top).told("remove", top)?,
        OptAction::Move { from, to } => relocate(place, from, to)?,
        OptAction::Link { path, target } => leave_link(place, path, target)?,
        OptAction::Part { from, to, .. } => move_part(place, from, to)?,
    }
    if let Some(changed) = action.as_changed_file() {
        tell(&changed);
        outcome.changed.push(changed);
    }
    Ok(())
}

/// Makes /opt and /usr/local links again where the step removed them: dpkg does with the last package
/// that has files there, because packages have /opt as a directory and Debian's base has it in none.
pub(super) fn restore(place: &Place<'_>, before: &Snapshot) -> Result<Vec<ChangedFile>> {
    let mut restored = Vec::new();
    for (area, target) in &before.links {
        let path = Path::new(area.public);
        if place.meta(path).told("look at", path)?.is_none() {
            leave_link(place, path, target)?;
            restored.push(ChangedFile {
                change: Change::Wrote,
                path: shown(path),
                from: None,
                reason: "removing the last package in it took the link away".to_owned(),
            });
        }
    }
    Ok(restored)
}

pub(super) fn leave_link(place: &Place<'_>, path: &Path, target: &[u8]) -> Result<()> {
    let make = || {
        place.make_parents(path, &mut |_| ())?;
        place.make_link(path, target, ROOT)
    };
    match make() {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).told("link", path),
    }
}

/// Brings what stands somewhere elsewhere: what moves wins over what is there, which stays where
/// both are directories.
pub(crate) fn relocate(place: &Place<'_>, from: &Path, to: &Path) -> Result<()> {
    let Some(source) = place.meta(from).told("look at", from)? else {
        return Ok(());
    };
    place
        .make_parents(to, &mut |_| ())
        .told("make the directory of", to)?;
    let target = place.meta(to).told("look at", to)?;
    let Some(target) = target else {
        return rename_or_copy(place, from, to);
    };
    let kinds = (source.look.kind, target.look.kind);
    match kinds {
        (EntryKind::Directory, EntryKind::Directory) => return merge(place, from, to),
        (EntryKind::Directory, _) | (_, EntryKind::Directory) => {
            // A directory only when nothing is in it: nobody said that its content is not needed.
            place.remove(to, target.look.kind).told("replace", to)?;
        }
        _ => {}
    }
    rename_or_copy(place, from, to)?;
    // Renaming does nothing when both are names of one file.
    match place.remove(from, source.look.kind) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).told("remove", from),
    }
}

/// Puts the directories and links of a tree in the place of a link to it.
pub(super) fn unfold(place: &Place<'_>, link: &Path, target: &Path) -> Result<()> {
    let entries = place.walk(target).told("look at", target)?;
    place
        .remove(link, EntryKind::Symlink)
        .told("remove", link)?;
    for (path, meta) in &entries {
        let copy = moved(path, target, link);
        let owner = NewOwner {
            uid: Some(meta.look.uid),
            gid: Some(meta.look.gid),
        };
        let made = match meta.look.kind {
            EntryKind::Directory => place.make_directory(&copy, Some(meta.look.mode), owner),
            EntryKind::Symlink => place
                .link_target(path)
                .and_then(|to| place.make_link(&copy, &to, owner)),
            EntryKind::File | EntryKind::Special => continue,
        };
        made.told("make", &copy)?;
    }
    Ok(())
}

fn merge(place: &Place<'_>, from: &Path, to: &Path) -> Result<()> {
    place.set_as(to, from).told("change", to)?;
    for name in place.list_names(from).told("list", from)? {
        relocate(place, &from.join(&name), &to.join(&name))?;
    }
    place
        .remove(from, EntryKind::Directory)
        .told("remove", from)
}

fn rename_or_copy(place: &Place<'_>, from: &Path, to: &Path) -> Result<()> {
    match place.rename(from, to) {
        Err(Errno::XDEV) => copy(place, from, to),
        renamed => renamed.told("move", from),
    }
}

/// overlayfs renames no directory that a lower layer has.
fn copy(place: &Place<'_>, from: &Path, to: &Path) -> Result<()> {
    let entries = place.walk(from).told("look at", from)?;
    let mut name = unfinished(to.file_name().unwrap_or_default());
    name.push(COPY);
    let beside = to.with_file_name(name);
    if !place
        .is_copied_from(&beside, from)
        .told("look at", &beside)?
    {
        return Err(IN_THE_WAY).told("copy", from);
    }
    place.remove_tree(&beside).told("remove", &beside)?;
    let copied = place.copy_tree(&entries, from, &beside, NewOwner::default(), &mut |_| ());
    if let Err(error) = copied.and_then(|()| place.rename(&beside, to)) {
        let _ = place.remove_tree(&beside);
        return Err(error).told("copy", from);
    }
    let written = place.remove_listed(&entries).told("remove", from)?;
    match written.last() {
        None => Ok(()),
        Some(path) => Err(Error::Written {
            path: shown(path),
            to: shown(&moved(path, from, to)),
        }),
    }
}

/// The link is made beside its place first: it tells the next run what was under way.
fn move_part(place: &Place<'_>, from: &Path, to: &Path) -> Result<()> {
    let link = from.with_file_name(PART_LINK);
    place.remove_tree(&link).told("remove", &link)?;
    place
        .make_link(&link, &absolute(to), ROOT)
        .told("link", &link)?;
    if let Err(error) = relocate(place, from, to) {
        let _ = place.remove(&link, EntryKind::Symlink);
        return Err(error);
    }
    place.rename(&link, from).told("link", from)
}

/// Finishes what a killed commit began: a link beside a directory whose content is in /var already.
pub(super) fn finish_parts(place: &Place<'_>) -> Result<()> {
    for area in &AREAS {
        let layout = Layout::of(place, area);
        let Some(image) = layout.image(area) else {
            continue;
        };
        for link in unfinished_parts(place, area, image)? {
            let Some(state) = relative(&place.link_target(&link).told("look at", &link)?) else {
                continue;
            };
            let from = moved(&state, Path::new(area.state), image);
            let is_moved = |path: &Path| Ok(place.meta(path).told("look at", path)?.is_some());
            if !is_moved(&from)? && is_moved(&state)? {
                place.rename(&link, &from).told("link", &from)?;
            } else {
                place
                    .remove(&link, EntryKind::Symlink)
                    .told("remove", &link)?;
            }
        }
    }
    Ok(())
}
