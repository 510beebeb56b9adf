//! After a step's command: what it left below /var, and what boot would make there. Looks at no more
//! than what is in /var, and at the factory copies of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind, Finding,
    model::{
        acl::Lists,
        secrets::{MAX_BYTES, holds_private_key},
        tmpfiles::{Config, FACTORY, Line, Snippet},
    },
};
use rustix::{fs::FileType, io::Errno};

use super::{
    VAR,
    boot::{Boot, copy_source, factory_of, link_target, mode_of, relative, single_path},
    brought,
    known::{CACHE, DATABASES, Database, is_of_others, is_package_cache, leftover_reason},
    obstacles::MAX_PATH,
    unmade::{self, Unmade},
};
use crate::{
    attributes::Attributes,
    base::Base,
    domain::{Phase, Work},
    error::Result,
    files::shown,
    handle::Look,
    place::{Entries, Handles, Meta, Place, Told as _, moved},
    snippets::{Folder, TMPFILES_D, is_own},
    tmpfiles_tool,
    unmapped::Unmapped,
};

/// The bit by which everybody may read a file.
const FOR_ALL: u32 = 0o004;

/// What kind of entry it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
    Link(Vec<u8>),
    Socket,
    Fifo,
    Node,
}

/// Whether boot makes an entry just as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    No,
    /// From a line of ours.
    ByUs,
    /// From a line that the image had from somebody else.
    ByOthers,
}

/// An entry that no lower layer has as it is.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// With the permission bits that it has without its access control list.
    pub(super) meta: Meta,
    pub(super) made: Made,
    pub(super) attributes: Attributes,
}

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

/// A database of a package manager in /var that the step changed.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) database: &'static Database,
    /// Where it goes, relative to the root.
    pub(super) home: &'static str,
    /// What is there already where it should go.
    pub(super) blocked: Option<PathBuf>,
}

/// Looks at what is new below /var; none when that is nothing.
pub(super) fn observe(work: &Work<'_>) -> Result<Option<Observed>> {
    let (place, left) = (work.place, work.left);
    let now = walk(place).told("look at", Path::new(VAR))?;
    let is_lower = |path: &Path, meta: &Meta| {
        let lower = left.and_then(|left| left.lower.get(path));
        lower.is_some_and(|lower| {
            let both_directories = lower.is_open_directory() && meta.is_open_directory();
            meta.is_same(lower) || both_directories
        }) && !left.is_some_and(|left| left.is_settled(path))
    };
    let is_new = |(path, meta): &(&PathBuf, &Meta)| {
        let is_ours = *path != Path::new(VAR) && !is_of_others(path) && !meta.is_mount;
        is_ours && !is_lower(path, meta)
    };
    let new: Vec<_> = now.iter().filter(is_new).collect();
    let is_step = work.phase == Phase::Step;
    let installed = brought::installed(work);
    let is_untouched = new.is_empty() && installed.is_empty();
    if is_step && is_untouched && left.is_some_and(|left| left.gone.is_empty()) {
        return Ok(None);
    }
    let boot = Boot::read(work.rootfs);
    let mut observed = Observed {
        phase: work.phase,
        owners: owners(&now),
        fixed: fixed(&now),
        locked: locked(&now),
        gone: left.map(|left| left.gone.clone()).unwrap_or_default(),
        retracted: left.map(|left| left.retracted.clone()).unwrap_or_default(),
        unmade: unmade::read(place),
        brought: brought::lines(&installed, &now, left, &boot),
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
    observed.own = own_lines(&observed.folder);
    observed.unfinished = observed.find_unfinished(place)?;
    let mut handles = place.handles();
    for (path, meta) in new {
        let entry = observed.entry(place, &mut handles, path, meta);
        let entry = entry.told("look at", path)?;
        observed.entries.insert(path.clone(), entry);
    }
    observed.find_databases(place, &now)?;
    observed.leave_caches();
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

/// All that is in /var but what is in directories whose path is so long that it stays.
pub(super) fn walk(place: &Place<'_>) -> Result<Entries, Errno> {
    place.walk_into(Path::new(VAR), |path| path.as_os_str().len() <= MAX_PATH)
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
    for database in DATABASES {
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

fn own_lines(folder: &Folder) -> Vec<(Vec<u8>, Line)> {
    let read = |raw: &[u8]| {
        let config = Config::read(&[Snippet {
            directory: 0,
            name: b".conf".to_vec(),
            content: raw.to_vec(),
        }]);
        config.lines.into_iter().next()
    };
    (folder.own_lines())
        .filter_map(|raw| Some((raw.to_vec(), read(raw)?)))
        .collect()
}

/// The attributes of an entry that may be kept.
fn attributes(handles: &mut Handles<'_>, path: &Path, kind: &Kind) -> Result<Attributes, Errno> {
    let can_have = matches!(kind, Kind::Directory | Kind::File | Kind::Fifo);
    if !can_have || leftover_reason(path).is_some() || is_package_cache(path) {
        return Ok(Attributes::default());
    }
    handles.attributes(path)
}

/// Whether an entry is as the copy that a line makes of it.
fn is_copy(
    place: &Place<'_>,
    path: &Path,
    meta: &Meta,
    (kind, attributes): (&Kind, &Attributes),
    (top, line): (&Path, &Line),
    boot: &Boot,
) -> Result<bool, Errno> {
    let source = moved(path, top, &copy_source(line));
    let Some(original) = place.meta(&source)? else {
        return Ok(false);
    };
    let is_own = is_own(&line.file);
    let (found, copied) = (&meta.look, &original.look);
    let is_directory = found.kind == EntryKind::Directory;
    let user = match kind {
        Kind::Directory | Kind::File => place.attributes(&source)?.user,
        _ => BTreeMap::new(),
    };
    let lists = boot.lists_of(path, Lists::default(), (found.mode, is_directory), |_| true);
    if attributes.user != user || attributes.lists != lists {
        return Ok(false);
    }
    // A line of others may say another owner or mode than what it copies has.
    let owner_agrees = (line.user.is_some() && !is_own || found.uid == copied.uid)
        && (line.group.is_some() && !is_own || found.gid == copied.gid);
    let mode_agrees = line.mode.is_some() && path == top && !is_own || found.mode == copied.mode;
    if found.kind != copied.kind || !owner_agrees || !mode_agrees {
        return Ok(false);
    }
    match kind {
        Kind::Directory => Ok(true),
        Kind::File => place.hold_the_same(path, &source),
        Kind::Link(target) => Ok(*target == place.link_target(&source)?),
        _ => Ok(false),
    }
}

impl Observed {
    fn entry(
        &self,
        place: &Place<'_>,
        handles: &mut Handles<'_>,
        path: &Path,
        meta: &Meta,
    ) -> Result<Entry, Errno> {
        let kind = match meta.look.kind {
            EntryKind::Directory => Kind::Directory,
            EntryKind::File => Kind::File,
            EntryKind::Symlink => Kind::Link(place.link_target(path)?),
            EntryKind::Special => match place.file_type(path)? {
                FileType::Socket => Kind::Socket,
                FileType::Fifo => Kind::Fifo,
                _ => Kind::Node,
            },
        };
        let attributes = attributes(handles, path, &kind)?;
        let mut meta = meta.clone();
        if let Some(list) = &attributes.lists.access {
            meta.look.mode = list.mode_without(meta.look.mode);
        }
        Ok(Entry {
            made: self.made(place, path, &meta, (&kind, &attributes))?,
            kind,
            meta,
            attributes,
        })
    }

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

    fn made(
        &self,
        place: &Place<'_>,
        path: &Path,
        meta: &Meta,
        (kind, attributes): (&Kind, &Attributes),
    ) -> Result<Made, Errno> {
        let by = |line: &Line| {
            if is_own(&line.file) {
                Made::ByUs
            } else {
                Made::ByOthers
            }
        };
        let copied = self.boot.copy_above(path);
        let (line, is_made) = match (self.boot.lines.get(path), copied) {
            (_, Some((top, line)))
                if self.boot.lines.get(path).is_none_or(|own| own.kind == b'C') =>
            {
                let entry = (kind, attributes);
                let is_copy = is_copy(place, path, meta, entry, (top, line), &self.boot)?;
                (line, is_copy)
            }
            // No such line gives attributes to what it makes.
            (Some(line), _) => {
                let is_made =
                    attributes.user.is_empty() && self.is_made_by(place, path, meta, kind, line)?;
                (line, is_made)
            }
            (None, _) => {
                let plain = (meta.look.mode, meta.look.uid, meta.look.gid) == (0o755, 0, 0);
                let is_made = *kind == Kind::Directory && plain && self.boot.is_on_a_way(path);
                return Ok(if is_made { Made::ByOthers } else { Made::No });
            }
        };
        Ok(if is_made { by(line) } else { Made::No })
    }

    /// Whether a line other than a copy makes an entry as it is. What a line of others says
    /// outright boot sets, whatever the command made of it.
    fn is_made_by(
        &self,
        place: &Place<'_>,
        path: &Path,
        meta: &Meta,
        kind: &Kind,
        line: &Line,
    ) -> Result<bool, Errno> {
        let owner = self.boot.names.owner_of(line).unwrap_or_default();
        let default_mode = if *kind == Kind::Directory {
            0o755
        } else {
            0o644
        };
        let is_own = is_own(&line.file);
        let agrees = |said: Option<u32>, default: u32, found: u32| match said {
            Some(said) if is_own => said == found,
            Some(_) => true,
            None => default == found,
        };
        let owner_agrees =
            agrees(owner.uid, 0, meta.look.uid) && agrees(owner.gid, 0, meta.look.gid);
        let mode = mode_of(line, *kind == Kind::Directory);
        let agrees = owner_agrees && agrees(mode, default_mode, meta.look.mode);
        Ok(match (line.kind, kind) {
            (_, Kind::Directory) => line.makes_directory() && agrees,
            (b'L', Kind::Link(target)) => *target == link_target(line) && owner_agrees,
            (b'f' | b'F', Kind::File) => {
                let content = line.argument.as_deref().unwrap_or_default();
                agrees && place.holds(path, content)?
            }
            (b'p', Kind::Fifo) => agrees,
            _ => false,
        })
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

    fn find_databases(&mut self, place: &Place<'_>, now: &Entries) -> Result<()> {
        for database in DATABASES {
            if let Some(found) = self.database(place, now, database)? {
                let path = Path::new(database.path);
                self.entries.retain(|below, entry| {
                    let is_left = entry.kind != Kind::Directory && leftover_reason(below).is_some();
                    is_left || !below.starts_with(path)
                });
                self.databases.push(found);
            }
        }
        Ok(())
    }

    fn database(
        &self,
        place: &Place<'_>,
        now: &Entries,
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
            is_kept && !is_scratch && below.starts_with(path)
        };
        let is_directory = now.get(path).is_some_and(Meta::is_open_directory);
        if !is_directory || self.fixed.contains(path) || !self.entries.iter().any(is_changed) {
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
            None if self.boot.own_line(path).is_some() => None,
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
    /// those that a cache has deep in itself.
    fn leave_caches(&mut self) {
        let is_of_service = |path: &Path, look: &Look| {
            let above = path.ancestors().skip(1).take(2);
            above.into_iter().any(|above| above == Path::new(CACHE))
                || look.uid != 0
                || look.gid != 0
        };
        self.entries.retain(|path, entry| {
            let is_directory = entry.kind == Kind::Directory;
            let is_declared = || is_directory && is_of_service(path, &entry.meta.look);
            !path.starts_with(CACHE) || !is_package_cache(path) && is_declared()
        });
    }
}
