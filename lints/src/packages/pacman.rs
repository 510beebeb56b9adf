//! pacman's database: only that it is there is known.

use super::installed::Unread;
use crate::tree::Tree;

/// Where it may be, relative to the root; ostree systems keep it out of /var.
const PLACES: [&str; 3] = [
    "usr/lib/sysimage/lib/pacman/local",
    "usr/lib/sysimage/pacman/local",
    "var/lib/pacman/local",
];

/// The database, if there is one.
pub(super) fn unread(tree: &dyn Tree) -> Option<Unread> {
    let mut there = PLACES.into_iter().filter(|place| {
        let names = tree.names(place.as_bytes());
        names.is_ok_and(|names| !names.is_empty())
    });
    let path = there.next()?.to_owned();
    let manager = "pacman";
    Some(Unread::Manager { path, manager })
}
