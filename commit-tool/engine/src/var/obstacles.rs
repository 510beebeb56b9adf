//! Why an entry of /var can neither move nor be declared: it stays where it is, and is told.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use super::{
    entry::{Entry, Kind, Made},
    known::is_shared,
    observe::Observed,
    walk::MAX_PATH,
};
use crate::settings::Settings;

pub(super) const LINE_BREAK: &str = "its path has a line break";
const NO_LISTS: &str = "it has an access control list, and nothing tells that the image's systemd-tmpfiles can set one";
const NO_COPY: &str = "it has attributes of user.*, which only a copy gets at boot, and boot copies no directory of many";
const LOCKED: &str = "it is immutable or append-only (chattr(1)), or in such a directory";
const TOO_LONG: &str = "boot makes no path of more than 4095 bytes";
pub(super) const UNSAFE: &str =
    "boot makes nothing in a directory that is one user's below another's";

/// Why what cannot be moved or declared stays as it is.
pub(super) fn obstacle(
    seen: &Observed,
    settings: &Settings,
    path: &Path,
    entry: &Entry,
) -> Option<&'static str> {
    let is_locked = |path: &Path| path.ancestors().any(|above| seen.locked.contains(above));
    if !seen.locked.is_empty() && is_locked(path) {
        return Some(LOCKED);
    }
    if path.as_os_str().len() > MAX_PATH {
        return Some(TOO_LONG);
    }
    if seen.unmapped.has(&entry.meta.look) {
        return Some("its owner or group is an id that this user namespace does not have");
    }
    match entry.kind {
        Kind::Node => Some("a device node"),
        Kind::Fifo if !is_writable(path) => Some(LINE_BREAK),
        Kind::Fifo if !is_way_safe(seen, path) => Some(UNSAFE),
        _ => obstacle_of_attributes(seen, settings, path, entry),
    }
}

/// Why no line can give an entry its attributes.
fn obstacle_of_attributes(
    seen: &Observed,
    settings: &Settings,
    path: &Path,
    entry: &Entry,
) -> Option<&'static str> {
    let is_directory = entry.kind == Kind::Directory;
    let is_made = entry.made != Made::No;
    if !is_made && settings.leaves_to_first_start(path, is_directory) {
        return None;
    }
    let attributes = &entry.attributes;
    let is_of_many = is_shared(path) || seen.boot.line_of_others(path).is_some();
    let is_bare = attributes.user.is_empty() || !is_directory || is_made;
    match attributes.obstacle {
        Some(why) => Some(why),
        None if !attributes.lists.is_empty() && !seen.can_set_lists => Some(NO_LISTS),
        None if !is_bare && is_of_many => Some(NO_COPY),
        None => None,
    }
}

/// systemd makes nothing in a directory that is one user's below another's (`CHASE_SAFE`).
pub(super) fn is_way_safe(seen: &Observed, path: &Path) -> bool {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let owners = above.iter().filter_map(|above| seen.owners.get(*above));
    let mut owner = 0;
    for &next in owners {
        if owner != 0 && next != owner {
            return false;
        }
        owner = next;
    }
    true
}

/// Whether a line can name a path.
pub(super) fn is_writable(path: &Path) -> bool {
    let path = path.as_os_str().as_bytes();
    !path.contains(&b'\n') && !path.contains(&b'\r')
}
