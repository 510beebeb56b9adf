//! Our own links from /var to what is part of the image: the lines that make them, and what stands in their places.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::model::tmpfiles::Line;

use super::area::{AREAS, Area};
use crate::{
    error::{Error, Result},
    place::{Place, Told as _},
    rootfs::Rootfs,
    snippets::{Folder, TMPFILES_D},
};

/// What a line of ours links to, if that is something that was moved.
pub(super) fn moved_to(line: &Line) -> Option<PathBuf> {
    let target = (line.kind == b'L').then_some(line.argument.as_deref()?)?;
    let target = relative(target)?;
    let below = |area: &Area| target.starts_with(area.image);
    AREAS.iter().any(below).then_some(target)
}

/// The link that a line of ours makes to something that was moved, and what it leads to.
pub(super) fn link_of(line: &Line) -> Option<(PathBuf, PathBuf)> {
    Some((relative(&line.path)?, moved_to(line)?))
}

/// An absolute path as one that is relative to the root.
pub(super) fn relative(path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path)).strip_prefix("/").ok()?;
    Some(path.to_owned())
}

/// The links of ours that are there and lead to directories, with what they lead to.
pub(super) fn linked(place: &Place<'_>, rootfs: &Rootfs) -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = Folder::read_own(rootfs, TMPFILES_D.directory)?;
    let mut linked = Vec::new();
    for (_, line) in folder.own_tmpfiles() {
        let Some((path, target)) = link_of(&line) else {
            continue;
        };
        let leads = place
            .link_target(&path)
            .is_ok_and(|to| Some(&to) == line.argument.as_ref());
        let meta = place.meta(&target).told("look at", &target)?;
        if leads && meta.is_some_and(|meta| meta.is_open_directory()) {
            linked.push((path, target));
        }
    }
    Ok(linked)
}

/// The paths of a link in /var: its own, and the one that users know.
pub(super) fn names_of(path: &Path, target: &Path) -> [PathBuf; 2] {
    let public = AREAS.iter().find_map(|area| {
        let below = target.strip_prefix(area.image).ok()?;
        Some(Path::new(area.public).join(below))
    });
    [path.to_owned(), public.unwrap_or_else(|| path.to_owned())]
}

/// What stands in the place of a link of ours, with what the link leads to: directories, where both are such.
pub(super) fn replaced(place: &Place<'_>, rootfs: &Rootfs) -> Result<Vec<(PathBuf, PathBuf)>> {
    let folder = Folder::read_own(rootfs, TMPFILES_D.directory)?;
    let mut replaced = Vec::new();
    for (_, line) in folder.own_tmpfiles() {
        let Some((path, target)) = link_of(&line) else {
            continue;
        };
        let is_directory = |path: &Path| {
            let found = place.meta(path).told("look at", path)?;
            let is_free = !place.has_mount_within(path);
            Ok::<bool, Error>(is_free && found.is_some_and(|meta| meta.is_open_directory()))
        };
        if is_directory(&path)? && is_directory(&target)? {
            replaced.push((path, target));
        }
    }
    Ok(replaced)
}
