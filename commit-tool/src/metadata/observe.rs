//! The first stage: mode and owner of the directories of /etc, and of /usr down to its second level,
//! and what in /etc is of accounts whose ids a machine may have given away. All are few, whatever
//! the size of the image.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::{group::groups, passwd::users},
};

use crate::{
    began::Began,
    error::Result,
    place::{Meta, Place, Told as _},
    rootfs::Rootfs,
    snippets::{Folder, TMPFILES_D},
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

/// Directories with their metadata at one moment. Sorting hundreds of paths takes time, and most steps change none.
#[derive(Debug, Default)]
pub(crate) struct Snapshot(Vec<(PathBuf, Metadata)>);

/// Sorted.
pub(super) type Directories = BTreeMap<PathBuf, Metadata>;

impl Snapshot {
    /// Looks at them.
    pub(crate) fn take(place: &Place<'_>) -> Result<Self> {
        let mut seen = Self::default();
        let counts = place.counts_directories();
        seen.add(place, Path::new(ETC), usize::MAX, counts)?;
        seen.add(place, Path::new(USR), 2, counts)?;
        Ok(seen)
    }

    /// Those of /etc and /usr in which the step that `began` may have changed something, and what those that are still
    /// there are now.
    pub(super) fn again(
        &self,
        place: &Place<'_>,
        began: Option<Began>,
    ) -> Result<(Directories, Directories)> {
        let (mut before, mut now) = (Directories::new(), Directories::new());
        for top in [ETC, USR].map(Path::new) {
            if is_as_before(place.meta(top).told("look at", top)?.as_ref(), began) {
                continue;
            }
            let of_top = self.0.iter().filter(|(path, _)| path.starts_with(top));
            let of_top: Directories = of_top.cloned().collect();
            let paths = of_top.keys().map(PathBuf::as_path);
            let metas = place.metas(paths).told("look at", top)?;
            let there = of_top.keys().zip(metas).filter_map(|(path, meta)| {
                let meta = meta.filter(Meta::is_open_directory)?;
                Some((path.clone(), metadata(&meta)))
            });
            now.extend(there);
            before.extend(of_top);
        }
        Ok((before, now))
    }

    /// Adds the directories below `top`; `counts` is what [`Place::counts_directories`] says.
    fn add(&mut self, place: &Place<'_>, top: &Path, depth: usize, counts: bool) -> Result<()> {
        let mut open = vec![(top.to_owned(), depth)];
        if let Ok(Some(meta)) = place.meta(top) {
            self.0.push((top.to_owned(), metadata(&meta)));
        }
        while let Some((path, depth)) = open.pop() {
            for (name, meta) in place.directories(&path).told("look at", &path)? {
                let path = path.join(name);
                self.0.push((path.clone(), metadata(&meta)));
                let has_none = counts && meta.look.links == NAMES_OF_A_LEAF;
                if depth > 1 && !has_none {
                    open.push((path, depth - 1));
                }
            }
        }
        Ok(())
    }
}

/// The files and directories of /etc with an owner or a group of [`DYNAMIC`] ids.
#[derive(Debug, Default)]
pub(crate) struct Owned(pub(super) BTreeMap<PathBuf, Metadata>);

impl Owned {
    /// Looks at all of /etc but its links, unless there is no such account; none when nothing in /etc may be the
    /// step's that `began`.
    pub(crate) fn take(place: &Place<'_>, began: Option<Began>) -> Result<Option<Self>> {
        let etc = place.meta(Path::new(ETC));
        let etc = etc.told("look at", Path::new(ETC))?;
        if is_as_before(etc.as_ref(), began) {
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
fn is_as_before(directory: Option<&Meta>, began: Option<Began>) -> bool {
    let (Some(directory), Some(began)) = (directory, began.map(Began::checked)) else {
        return false;
    };
    !began.may_have_changed_in(&directory.look)
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
