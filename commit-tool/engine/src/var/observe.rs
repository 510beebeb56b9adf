//! After a step's command: what it left below /var, and what boot would make there. Looks at no more
//! than what is in /var, and at the factory copies of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind, Finding,
    model::{
        secrets::{MAX_BYTES, holds_private_key},
        tmpfiles::{FACTORY, Line},
    },
    packages::Moment,
};
use rustix::io::Errno;

use osderive_lints::knowledge::databases::DATABASES;

use super::{
    VAR,
    boot::{Boot, factory_of, relative},
    brought,
    databases::{self, Found, leave_caches},
    entry::Entry,
    known::{is_of_others, leftover_reason},
    prelude::PreludeState,
    required,
    unmade::{self, Unmade},
    walk::walk,
};
use crate::{
    base::Base,
    domain::{Phase, Work},
    error::Result,
    handle::Look,
    paths::{shown, single_path},
    place::{Entries, Meta, Place, Told as _, moved},
    snippets::{Folder, TMPFILES_D},
    tmpfiles_tool,
    unmapped::Unmapped,
};

/// The bit by which everybody may read a file.
const FOR_ALL: u32 = 0o004;

/// What the first stage saw.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    /// The owners of all directories.
    pub(super) owners: BTreeMap<PathBuf, u32>,
    /// Mounts and all above them.
    pub(super) fixed: BTreeSet<PathBuf>,
    /// What nobody may move or remove (chattr(1)).
    pub(super) locked: BTreeSet<PathBuf>,
    /// What was made before the command and is not there any more.
    pub(super) gone: BTreeSet<PathBuf>,
    /// What of it is not wanted any more.
    pub(super) retracted: BTreeSet<PathBuf>,
    /// What earlier RUNs took away.
    pub(super) unmade: Unmade,
    /// All that is there.
    pub(super) there: BTreeSet<PathBuf>,
    pub(super) boot: Boot,
    /// The `.conf` files of tmpfiles.d.
    pub(super) folder: Folder,
    /// Our own lines as they stand, with what they say.
    pub(super) own: Vec<(Vec<u8>, Line)>,
    /// The factory copies, by the path that they are copied to.
    pub(super) factory: Entries,
    /// Factory copies with lists that a killed commit did not take away, with the permission bits that they have
    /// without: by the path that they are copied to.
    pub(super) unfinished: BTreeMap<PathBuf, Look>,
    /// Whether the image's systemd-tmpfiles can set access control lists; only asked where there are some.
    pub(super) can_set_lists: bool,
    pub(super) unmapped: Unmapped,
    /// The databases that the step changed.
    pub(super) databases: Vec<Found>,
    /// What steps moved with the databases of package managers, at the end of a build: by where it is in the image.
    pub(super) carried: Entries,
    /// Private keys that a step does not tell: those in files that come to be in the factory, or have, by where they
    /// are then.
    pub(super) keys: Vec<String>,
    /// Lines of what packages of the step own and the step has not.
    pub(super) brought: BTreeMap<PathBuf, Line>,
    /// What is told of files of packages that the step has not.
    pub(super) missing: Vec<Finding>,
    pub(super) phase: Phase,
}

/// Looks at what is new below /var; none when that is nothing.
pub(super) fn observe(
    work: &Work<'_>,
    prelude_state: Option<&PreludeState<'_>>,
    packages: Option<Moment>,
) -> Result<Option<Observed>> {
    let place = work.place;
    let now = walk(place).told("look at", Path::new(VAR))?;
    let is_lower = |path: &Path, meta: &Meta| {
        let lower = prelude_state.and_then(|prelude_state| prelude_state.lower.get(path));
        lower.is_some_and(|lower| {
            let both_directories = lower.is_open_directory() && meta.is_open_directory();
            meta.is_same(lower) || both_directories
        }) && !prelude_state.is_some_and(|prelude_state| prelude_state.is_settled(path))
    };
    let is_new = |(path, meta): &(&PathBuf, &Meta)| {
        let is_ours = *path != Path::new(VAR) && !is_of_others(path) && !meta.is_mount;
        is_ours && !is_lower(path, meta)
    };
    let new: Vec<_> = now.iter().filter(is_new).collect();
    let is_step = work.phase == Phase::Step;
    let installed = brought::installed(work, packages);
    let is_untouched = new.is_empty() && installed.is_empty();
    if is_step
        && is_untouched
        && prelude_state.is_some_and(|prelude_state| prelude_state.gone.is_empty())
    {
        return Ok(None);
    }
    let boot = Boot::read(work.rootfs);
    let mut observed = Observed {
        phase: work.phase,
        owners: owners(&now),
        fixed: fixed(&now),
        locked: locked(&now),
        gone: prelude_state
            .map(|prelude_state| prelude_state.gone.clone())
            .unwrap_or_default(),
        retracted: prelude_state
            .map(|prelude_state| prelude_state.retracted.clone())
            .unwrap_or_default(),
        unmade: unmade::read(place),
        brought: brought::lines(&installed, &now, prelude_state, &boot),
        missing: brought::findings(work, &installed, &boot),
        boot,
        folder: Folder::read(work.rootfs, TMPFILES_D.directory)?,
        factory: factory(place)?,
        unfinished: BTreeMap::new(),
        can_set_lists: true,
        unmapped: Unmapped::read(),
        entries: BTreeMap::new(),
        there: BTreeSet::new(),
        carried: Entries::new(),
        keys: Vec::new(),
        own: Vec::new(),
        databases: Vec::new(),
    };
    observed.own = observed.folder.own_tmpfiles();
    observed.unfinished = observed.find_unfinished(place)?;
    let mut handles = place.handles();
    let entries = new.into_iter().map(|(path, meta)| {
        let entry = Entry::look(&observed.boot, place, &mut handles, path, meta);
        Ok((path.clone(), entry.told("look at", path)?))
    });
    observed.entries = entries.collect::<Result<_>>()?;
    let (boot, fixed) = (&observed.boot, &observed.fixed);
    observed.databases = databases::find(place, boot, &now, fixed, &mut observed.entries)?;
    leave_caches(&mut observed.entries, || match work.phase {
        Phase::Step => BTreeSet::new(),
        Phase::End | Phase::ByHand => required::by_units(work.rootfs),
    });
    let mut entries = observed.entries.values();
    if entries.any(|entry| !entry.attributes.lists.is_empty()) {
        observed.can_set_lists = tmpfiles_tool::can_set_lists(work.rootfs);
    }
    observed.there = now.into_keys().collect();
    if let Some(base) = work.base {
        observed.carried = carried(place, base)?;
    }
    if !is_step {
        observed.keys = observed.private_keys(place, work.base)?;
    }
    Ok(Some(observed))
}

fn owners(now: &Entries) -> BTreeMap<PathBuf, u32> {
    let directories = now
        .iter()
        .filter(|(_, meta)| meta.look.kind == EntryKind::Directory);
    directories
        .map(|(path, meta)| (path.clone(), meta.look.uid))
        .collect()
}

fn fixed(now: &Entries) -> BTreeSet<PathBuf> {
    let mounts = now.iter().filter(|(_, meta)| meta.is_mount);
    mounts
        .flat_map(|(path, _)| path.ancestors().map(Path::to_owned))
        .collect()
}

fn locked(now: &Entries) -> BTreeSet<PathBuf> {
    let locked = now.iter().filter(|(_, meta)| meta.look.is_locked);
    locked.map(|(path, _)| path.clone()).collect()
}

/// What is known to go of the databases that the base does not have where steps moved them.
fn carried(place: &Place<'_>, base: &Base) -> Result<Entries> {
    let mut carried = Entries::new();
    for database in &DATABASES {
        let home = Path::new(database.home);
        if !matches!(base.place().meta(home), Ok(None)) {
            continue;
        }
        let entries = reachable(place, home)?.into_iter();
        carried.extend(entries.filter(|(path, meta)| {
            let path = moved(path, home, Path::new(database.path));
            meta.look.kind != EntryKind::Directory && leftover_reason(&path).is_some()
        }));
    }
    Ok(carried)
}

fn factory(place: &Place<'_>) -> Result<Entries> {
    let copies = reachable(place, &factory_of(Path::new(VAR)))?;
    Ok(copies
        .into_iter()
        .map(|(path, meta)| (moved(&path, Path::new(FACTORY), Path::new("")), meta))
        .collect())
}

/// What is at and below a path. Behind a link or a mount nothing is: it is not ours to change, and nothing can be
/// moved there.
fn reachable(place: &Place<'_>, top: &Path) -> Result<Entries> {
    match place.walk(top) {
        Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => Ok(Entries::new()),
        walked => walked.told("look at", top),
    }
}

impl Observed {
    /// The factory copies of ours that have a line about lists, and lists of their own all the same.
    fn find_unfinished(&self, place: &Place<'_>) -> Result<BTreeMap<PathBuf, Look>> {
        let mut unfinished = BTreeMap::new();
        let own = self.own.iter().filter(|(_, line)| line.kind == b'a');
        let paths = own.filter_map(|(_, line)| relative(&single_path(&line.path)?));
        for path in paths {
            let Some(meta) = self.factory.get(&path) else {
                continue;
            };
            let copy = factory_of(&path);
            let lists = place.attributes(&copy).told("look at", &copy)?.lists;
            if !lists.is_empty() {
                let mut look = meta.look;
                if let Some(list) = &lists.access {
                    look.mode = list.mode_without(look.mode);
                }
                unfinished.insert(path, look);
            }
        }
        Ok(unfinished)
    }

    /// What holds a private key of the files that are kept in the factory. Keys are not for everybody to read, so only
    /// such files are read.
    fn private_keys(&self, place: &Place<'_>, base: Option<&Base>) -> Result<Vec<String>> {
        let new = self.entries.iter();
        let new = new.map(|(path, entry)| (path.clone(), path, &entry.meta));
        let kept = self.factory.iter();
        let kept = kept.map(|(path, meta)| (factory_of(path), path, meta));
        let mut keys = BTreeSet::new();
        for (at, path, meta) in kept.chain(new) {
            let may_be = meta.look.kind == EntryKind::File
                && meta.look.mode & FOR_ALL == 0
                && meta.look.bytes <= MAX_BYTES
                && !base.is_some_and(|base| base.has(&at, meta));
            if !may_be || leftover_reason(path).is_some() {
                continue;
            }
            let content = match place.read(&at, MAX_BYTES) {
                Err(Errno::NOENT | Errno::FBIG | Errno::XDEV | Errno::NOTDIR | Errno::LOOP) => None,
                read => read.told("read", &at)?,
            };
            if content.is_some_and(|content| holds_private_key(&content)) {
                keys.insert(shown(&factory_of(path)));
            }
        }
        Ok(keys.into_iter().collect())
    }
}
