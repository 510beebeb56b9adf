//! Databases of package managers in /var, which go where /usr is, and caches, which the commit as a whole empties.

use std::{
    cell::LazyCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::knowledge::databases::{DATABASES, Database};

use super::{
    boot::Boot,
    entry::{Entry, Kind, Made},
    known::{CACHE, is_package_cache, leftover_reason},
};
use crate::{
    error::Result,
    handle::Look,
    place::{Entries, Meta, Place, Told as _},
};

/// A database of a package manager in /var that the step changed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) database: &'static Database,
    /// Where it goes, relative to the root.
    pub(super) home: &'static str,
    /// What is there already where it should go.
    pub(super) blocked: Option<PathBuf>,
}

/// The databases that the step changed; all that is new in them is no entry of its own any more.
pub(super) fn find(
    place: &Place<'_>,
    boot: &Boot,
    now: &Entries,
    fixed: &BTreeSet<PathBuf>,
    entries: &mut BTreeMap<PathBuf, Entry>,
) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for database in &DATABASES {
        if let Some(found) = look(place, boot, now, fixed, entries, database)? {
            let path = Path::new(database.path);
            entries.retain(|below, entry| {
                let is_left = || entry.kind != Kind::Directory && leftover_reason(below).is_some();
                !below.starts_with(path) || is_left()
            });
            all.push(found);
        }
    }
    Ok(all)
}

fn look(
    place: &Place<'_>,
    boot: &Boot,
    now: &Entries,
    fixed: &BTreeSet<PathBuf>,
    entries: &BTreeMap<PathBuf, Entry>,
    database: &'static Database,
) -> Result<Option<Found>> {
    let path = Path::new(database.path);
    let other = database.other_home.filter(|other| {
        let there = place.meta(Path::new(other));
        there.is_ok_and(|there| there.is_some_and(|meta| meta.is_open_directory()))
    });
    let is_changed = |(below, entry): (&PathBuf, &Entry)| {
        let is_kept = entry.made == Made::No && leftover_reason(below).is_none();
        // Nothing but directories is no database; but it would hide one that is elsewhere.
        let is_scratch = entry.kind == Kind::Directory && other.is_none();
        is_kept && !is_scratch
    };
    let below = entries.range(path.to_owned()..);
    let mut below = below.take_while(|(below, _)| below.starts_with(path));
    let is_directory = now.get(path).is_some_and(Meta::is_open_directory);
    if !is_directory || fixed.contains(path) || !below.any(is_changed) {
        return Ok(None);
    }
    let home = other.unwrap_or(database.home);
    let blocked = match other {
        Some(home) => {
            let home = Path::new(home);
            let names = place.names(path).unwrap_or_default().into_iter();
            let mut targets = names.map(|name| home.join(name));
            targets.find(|target| !matches!(place.meta(target), Ok(None)))
        }
        // A killed commit may have moved a part of it.
        None if boot.own_line(path).is_some() => None,
        None => {
            let home = Path::new(home);
            let there = place.meta(home).told("look at", home)?;
            there.map(|_| home.to_owned())
        }
    };
    // A cache whose database is elsewhere goes with the cache.
    let goes = blocked.is_some() && path.starts_with(CACHE);
    Ok((!goes).then_some(Found {
        database,
        home,
        blocked,
    }))
}

/// Caches are emptied by the commit as a whole; declared are the directories of services, not
/// those that a cache has deep in itself. What units ask for is kept at the end of a build.
pub(super) fn leave_caches(
    entries: &mut BTreeMap<PathBuf, Entry>,
    required: impl FnOnce() -> BTreeSet<PathBuf>,
) {
    let required = LazyCell::new(required);
    let is_of_service = |path: &Path, look: &Look| {
        let above = path.ancestors().skip(1).take(2);
        above.into_iter().any(|above| above == Path::new(CACHE)) || look.uid != 0 || look.gid != 0
    };
    entries.retain(|path, entry| {
        let is_directory = entry.kind == Kind::Directory;
        let is_declared = || is_directory && is_of_service(path, &entry.meta.look);
        let is_cache = path.starts_with(CACHE);
        !is_cache || !is_package_cache(path) && (is_declared() || required.contains(path))
    });
}
