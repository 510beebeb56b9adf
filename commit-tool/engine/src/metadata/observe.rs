//! The first stage: mode and owner of the directories of /etc, what in /etc is of accounts whose ids a
//! machine may have given away, and directories of /usr that are not as most are. All are few, whatever
//! the size of the image.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    ops::RangeInclusive,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    Directory, EntryKind, MAX_LISTED_ENTRIES,
    model::{
        acl::Lists,
        group::groups,
        passwd::users,
        tmpfiles::{Config, Snippet},
    },
};

use crate::{
    error::Result,
    paths::{shown, single_path},
    place::{Meta, Place, Told as _},
    rootfs::Rootfs,
    snippets::{Folder, TMPFILES_D},
    step_start::StepStart,
};

pub(super) const ETC: &str = "etc";
const USR: &str = "usr";

/// As much of an account file as is read.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// A directory's names if it has no directories: its own and its `.`.
const NAMES_OF_A_LEAF: u64 = 2;

/// The ids that packages get as they come, and that a machine may have given to others. Lower ones
/// mean the same everywhere.
pub(super) const DYNAMIC: RangeInclusive<u32> = 100..=999;

/// The twelve permission bits, the uid and the gid.
pub(super) type Metadata = (u32, u32, u32);

/// Those of almost all directories of an image.
const USUAL: Metadata = (0o755, 0, 0);

/// Directories of /etc with their metadata at one moment. Sorting hundreds of paths takes time, and most steps change none.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(Vec<(PathBuf, Metadata)>);

/// Sorted.
pub(super) type Directories = BTreeMap<PathBuf, Metadata>;

/// Directories of /etc before a step and after it.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) before: Directories,
    pub(super) after: Directories,
    /// Those in which the step changed something: their lists may be new.
    touched: BTreeSet<PathBuf>,
}

impl Looked {
    /// Directories with another mode or owner than before.
    pub(super) fn changed(&self) -> impl Iterator<Item = (&PathBuf, Metadata)> {
        let is_changed = |(path, now): &(&PathBuf, &Metadata)| {
            let before = self.before.get(*path);
            before.is_some_and(|old| old != *now)
        };
        let changed = self.after.iter().filter(is_changed);
        changed.map(|(path, now)| (path, *now))
    }

    /// The access control lists of what may have new ones, and of what lines of ours are about.
    pub(super) fn lists(&self, place: &Place<'_>, own: &Folder) -> Result<Listed> {
        let own = own.own_lines().filter_map(path_of_list);
        let own = own.filter(|path| self.after.contains_key(path));
        let changed = self.changed().map(|(path, _)| path.clone());
        let asked: BTreeSet<PathBuf> = own.chain(changed).chain(self.touched.clone()).collect();
        let mut listed = Listed::new();
        for path in asked {
            let attributes = place.attributes(&path).told("look at", &path)?;
            listed.insert(path, attributes.lists);
        }
        Ok(listed)
    }

    /// The directories that are not as before and have a list, for people.
    pub(super) fn with_lists(&self, listed: &Listed) -> Vec<String> {
        let has_list = |path: &Path| listed.get(path).is_some_and(|lists| !lists.is_empty());
        let changed = self.changed().map(|(path, _)| path);
        changed
            .filter(|path| has_list(path))
            .map(|path| shown(path))
            .collect()
    }
}

/// The lists of directories of /etc that were asked for.
pub(super) type Listed = BTreeMap<PathBuf, Lists>;

/// The path, relative to the root, that a line of ours about lists is about.
pub(super) fn path_of_list(line: &[u8]) -> Option<PathBuf> {
    let config = Config::read(&[Snippet {
        directory: 0,
        name: b".conf".to_vec(),
        content: line.strip_prefix(b"a").map(|_| line)?.to_vec(),
    }]);
    let path = single_path(&config.lines.first()?.path)?;
    let path = PathBuf::from(OsStr::from_bytes(path.strip_prefix(b"/")?));
    path.starts_with(ETC).then_some(path)
}

impl Snapshot {
    /// Looks at them.
    pub(crate) fn take(place: &Place<'_>) -> Result<Self> {
        let counts = place.counts_directories();
        let mut seen = Vec::new();
        if let Ok(Some(meta)) = place.meta(Path::new(ETC)) {
            seen.push((PathBuf::from(ETC), metadata(&meta)));
        }
        let mut open = vec![PathBuf::from(ETC)];
        while let Some(path) = open.pop() {
            for (name, meta) in place.directories(&path).told("look at", &path)? {
                let path = path.join(name);
                seen.push((path.clone(), metadata(&meta)));
                if !counts || meta.look.links != NAMES_OF_A_LEAF {
                    open.push(path);
                }
            }
        }
        Ok(Self(seen))
    }

    /// Those in which the step that `began` may have changed something, and what those that are still there are now.
    pub(super) fn again(&self, place: &Place<'_>, start: Option<StepStart>) -> Result<Looked> {
        let top = Path::new(ETC);
        if is_as_before(place.meta(top).told("look at", top)?.as_ref(), start) {
            return Ok(Looked::default());
        }
        let before: Directories = self.0.iter().cloned().collect();
        let paths = before.keys().map(PathBuf::as_path);
        let metas = place.metas(paths).told("look at", top)?;
        let (mut after, mut touched) = (Directories::new(), BTreeSet::new());
        for (path, meta) in before.keys().zip(metas) {
            let Some(meta) = meta.filter(Meta::is_open_directory) else {
                continue;
            };
            if start.is_some_and(|start| start.checked().has_changed(&meta.look)) {
                touched.insert(path.clone());
            }
            after.insert(path.clone(), metadata(&meta));
        }
        Ok(Looked {
            before,
            after,
            touched,
        })
    }
}

/// The directories of /usr that the step that `began` has changed, or something in them, and whose mode or owner is
/// not what almost all have: only what such a one was in the layers below can be lost without being seen.
pub(crate) fn suspects(place: &Place<'_>, start: StepStart) -> Result<Vec<Directory>> {
    let start = start.checked();
    let top = Path::new(USR);
    let may_hold = |meta: &Meta| meta.is_open_directory() && start.may_have_changed_in(&meta.look);
    let Some(meta) = place.meta(top).told("look at", top)?.filter(may_hold) else {
        return Ok(Vec::new());
    };
    let mut suspects = Vec::new();
    let mut open = vec![(top.to_owned(), meta)];
    while let Some((path, meta)) = open.pop() {
        for (name, meta) in place.directories(&path).told("look at", &path)? {
            if may_hold(&meta) {
                open.push((path.join(name), meta));
            }
        }
        if metadata(&meta) != USUAL && start.has_changed_what_was_there(&meta.look) {
            suspects.push(Directory {
                path: shown(&path),
                mode: meta.look.mode,
                uid: meta.look.uid,
                gid: meta.look.gid,
            });
        }
    }
    suspects.sort_by(|left, right| left.path.cmp(&right.path));
    suspects.truncate(MAX_LISTED_ENTRIES);
    Ok(suspects)
}

/// The files and directories of /etc with an owner or a group of [`DYNAMIC`] ids.
#[derive(Debug, Default)]
pub(crate) struct Owned(pub(super) BTreeMap<PathBuf, Metadata>);

impl Owned {
    /// Looks at all of /etc but its links, unless there is no such account; none when nothing in /etc may be the
    /// step's that `began`.
    pub(crate) fn take(place: &Place<'_>, start: Option<StepStart>) -> Result<Option<Self>> {
        let etc = place.meta(Path::new(ETC));
        let etc = etc.told("look at", Path::new(ETC))?;
        if is_as_before(etc.as_ref(), start) {
            return Ok(None);
        }
        let mut owned = Self::default();
        if !Accounts::read(place).has_dynamic() {
            return Ok(Some(owned));
        }
        owned.add(Path::new(ETC), etc);
        let mut open = vec![PathBuf::from(ETC)];
        while let Some(path) = open.pop() {
            // Half of what is in /etc are links, and a first look at an entry of an overlay is expensive.
            let entries = place.entries_but_links(&path).told("look at", &path)?;
            for (name, meta) in entries {
                let path = path.join(name);
                if meta.is_open_directory() {
                    open.push(path.clone());
                }
                owned.add(&path, Some(meta));
            }
        }
        Ok(Some(owned))
    }

    /// Looks again at those that are still there.
    pub(super) fn again(&self, place: &Place<'_>) -> Result<Self> {
        let mut now = Self::default();
        let paths = self.0.keys().map(PathBuf::as_path);
        let metas = place.metas(paths).told("look at", Path::new(ETC))?;
        for (path, meta) in self.0.keys().zip(metas) {
            now.add(path, meta);
        }
        Ok(now)
    }

    fn add(&mut self, path: &Path, meta: Option<Meta>) {
        let is_kind =
            |meta: &Meta| matches!(meta.look.kind, EntryKind::Directory | EntryKind::File);
        let is_dynamic = |meta: &Meta| {
            let ids = [meta.look.uid, meta.look.gid];
            ids.iter().any(|id| DYNAMIC.contains(id))
        };
        let owned = meta.filter(|meta| is_kind(meta) && !meta.is_mount && is_dynamic(meta));
        self.0
            .extend(owned.map(|meta| (path.to_owned(), metadata(&meta))));
    }
}

/// Whether nothing in a directory can be of the step that `began`.
fn is_as_before(directory: Option<&Meta>, start: Option<StepStart>) -> bool {
    let (Some(directory), Some(start)) = (directory, start.map(StepStart::checked)) else {
        return false;
    };
    !start.may_have_changed_in(&directory.look)
}

fn metadata(meta: &Meta) -> Metadata {
    (meta.look.mode, meta.look.uid, meta.look.gid)
}

/// Who an image's accounts are.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

impl Accounts {
    pub(super) fn read(place: &Place<'_>) -> Self {
        let read = |name: &str| {
            let found = place.read(&Path::new(ETC).join(name), MAX_FILE_BYTES);
            found.ok().flatten().unwrap_or_default()
        };
        Self {
            passwd: read("passwd"),
            group: read("group"),
        }
    }

    pub(super) fn user(&self, uid: u32) -> Option<&[u8]> {
        let user = users(&self.passwd).find(|user| user.uid == uid);
        user.map(|user| user.name)
    }

    pub(super) fn group(&self, gid: u32) -> Option<&[u8]> {
        let group = groups(&self.group).find(|group| group.gid == gid);
        group.map(|group| group.name)
    }

    fn has_dynamic(&self) -> bool {
        users(&self.passwd).any(|user| DYNAMIC.contains(&user.uid))
            || groups(&self.group).any(|group| DYNAMIC.contains(&group.gid))
    }
}

/// What an image declares.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub(super) tmpfiles: Folder,
}

impl Declared {
    pub(super) fn read(rootfs: &Rootfs) -> Result<Self> {
        Ok(Self {
            tmpfiles: Folder::read(rootfs, TMPFILES_D.directory)?,
        })
    }

    /// Whether a file that is not ours has a line for a path.
    pub(super) fn has_other_line(&self, path: &[u8]) -> bool {
        self.tmpfiles.other_lines().any(|line| {
            let mut words = line.split(u8::is_ascii_whitespace);
            words.find(|word| word.starts_with(b"/")) == Some(path)
        })
    }
}
