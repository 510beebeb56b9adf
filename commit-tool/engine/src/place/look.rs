//! What stands at paths, reached one name at a time through directory handles: no link is followed and no mount is
//! entered.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use osderive_lints::EntryKind;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, FileType, FsWord, Mode, fstat, fstatfs, mkdirat, readlinkat, statat, symlinkat},
    io::Errno,
};

use super::{
    beside::begins_with,
    owner::{NewOwner, chown_at},
};
use crate::{
    error::{Error, Result as ToolResult},
    handle::{
        Look, errno, list, look, open_below, open_file, reach_below, read_regular, sorted_names,
    },
    mounts::Mounts,
    paths::shown,
    rootfs::Rootfs,
};

/// Directories that a look at many paths holds open.
const MAX_OPEN: usize = 128;

/// File systems that [count directories](Place::counts_directories): ext2 to ext4, overlayfs, tmpfs and
/// XFS (linux/magic.h).
const COUNT_DIRECTORIES: [FsWord; 4] = [0xef53, 0x794c_7630, 0x0102_1994, 0x5846_5342];

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) look: Look,
    pub(crate) is_mount: bool,
}

impl Meta {
    /// Whether an entry is what it was and no mount; a directory is, whatever stands in it.
    pub(crate) fn is_same(&self, before: &Self) -> bool {
        let attributes =
            |meta: &Self| (meta.look.kind, meta.look.mode, meta.look.uid, meta.look.gid);
        let kept = attributes(self) == attributes(before);
        kept && !self.is_mount && (self.look.kind == EntryKind::Directory || self == before)
    }

    /// Whether nobody has written to it since it was `listed`. What goes from a directory, or a file's other names, may
    /// be our own doing.
    pub(super) fn is_unwritten(&self, listed: &Self) -> bool {
        let identity = |meta: &Self| (meta.look.kind, meta.look.inode, meta.is_mount);
        let content = |meta: &Self| (meta.look.bytes, meta.look.modified);
        identity(self) == identity(listed)
            && (self.look.kind == EntryKind::Directory
                || content(self) == content(listed)
                    && (listed.look.links > 1 || self.look.changed == listed.look.changed))
    }

    /// Whether it is a directory, and none that something is mounted on.
    pub(crate) fn is_open_directory(&self) -> bool {
        self.look.kind == EntryKind::Directory && !self.is_mount
    }
}

/// Entries by path relative to the root file system; a directory stands before what is in it.
pub(crate) type Entries = BTreeMap<PathBuf, Meta>;

/// A root file system with its mount table.
pub(crate) struct Place<'a> {
    pub(super) rootfs: &'a Rootfs,
    mounts: Arc<Option<Mounts>>,
}

impl<'a> Place<'a> {
    pub(crate) fn of(rootfs: &'a Rootfs) -> Self {
        Self {
            rootfs,
            mounts: rootfs.mounts(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_mounts(rootfs: &'a Rootfs, mounts: Mounts) -> Self {
        Self {
            rootfs,
            mounts: Arc::new(Some(mounts)),
        }
    }

    /// Something in it may change now, not by a call of its own.
    pub(crate) fn note_change(&self) {
        self.rootfs.note_change();
    }

    /// Opens a directory: `XDEV` when a mount is on the way, `NOTDIR` or `LOOP` when something
    /// else is.
    pub(crate) fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        open_below(self.rootfs.as_fd(), path)
    }

    /// The same of a directory in which names are looked up, and that is not read.
    fn reach(&self, path: &Path) -> Result<OwnedFd, Errno> {
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        reach_below(self.rootfs.as_fd(), path)
    }

    /// Whether the mount table has a mount on a path or on a directory above it.
    fn has_mount_above(&self, path: &Path) -> bool {
        let Some(mounts) = &*self.mounts else {
            return false;
        };
        let mut node = Mounts::root();
        for name in path {
            match mounts.child(node, name.as_bytes()) {
                Some(child) if mounts.is_mount(child) => return true,
                Some(child) => node = child,
                None => return false,
            }
        }
        false
    }

    /// What stands at a path, if anything.
    pub(crate) fn meta(&self, path: &Path) -> Result<Option<Meta>, Errno> {
        let (directory, name) = match self.parent(path) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.meta_in(directory.as_fd(), path, name)
    }

    fn meta_in(
        &self,
        directory: BorrowedFd<'_>,
        path: &Path,
        name: &OsStr,
    ) -> Result<Option<Meta>, Errno> {
        let look = match look(directory, name) {
            Ok(look) => look,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
        // When neither the kernel nor the mount table is there to ask, nothing may be touched.
        let is_mount = look.is_mount.unwrap_or(self.mounts.is_none()) || self.has_mount_above(path);
        Ok(Some(Meta { look, is_mount }))
    }

    /// Whether something is mounted at a path or below it, as far as the mount table tells.
    pub(crate) fn has_mount_within(&self, path: &Path) -> bool {
        let Some(mounts) = &*self.mounts else {
            return false;
        };
        let step = |node, name: &OsStr| mounts.child(node, name.as_bytes());
        path.iter().try_fold(Mounts::root(), step).is_some()
    }

    /// Whether a directory has a name for each directory in it, `..`, besides its own two. Those of
    /// overlayfs that several layers have are counted as one and so are all of btrfs (`ovl_getattr`).
    pub(crate) fn counts_directories(&self) -> bool {
        fstatfs(self.rootfs).is_ok_and(|found| COUNT_DIRECTORIES.contains(&found.f_type))
    }

    /// Everything at and below a path; mounts are listed and not entered.
    pub(crate) fn walk(&self, top: &Path) -> Result<Entries, Errno> {
        self.walk_into(top, |_| true)
    }

    /// Everything at and below a path that is reached through directories to be entered.
    pub(crate) fn walk_into(
        &self,
        top: &Path,
        enter: impl Fn(&Path) -> bool,
    ) -> Result<Entries, Errno> {
        let Some(meta) = self.meta(top)? else {
            return Ok(Entries::new());
        };
        // A map that is made at once compares far fewer paths than one that grows.
        let mut entries = Vec::new();
        let mut open = vec![];
        if meta.is_open_directory() && enter(top) {
            open.push(top.to_owned());
        }
        entries.push((top.to_owned(), meta));
        while let Some(path) = open.pop() {
            let directory = match self.open(&path) {
                Ok(directory) => directory,
                // Another process took it away or put something else there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error),
            };
            for name in sorted_names(directory.as_fd())? {
                let path = path.join(&name);
                let Some(meta) = self.meta_in(directory.as_fd(), &path, &name)? else {
                    continue;
                };
                if meta.is_open_directory() && enter(&path) {
                    open.push(path.clone());
                }
                entries.push((path, meta));
            }
        }
        Ok(entries.into_iter().collect())
    }

    /// The names in a directory; none when it cannot be listed.
    pub(crate) fn names(&self, path: &Path) -> Option<Vec<OsString>> {
        self.list_names(path).ok()
    }

    /// The names in a directory, for who changes something upon them.
    pub(crate) fn list_names(&self, path: &Path) -> Result<Vec<OsString>, Errno> {
        sorted_names(self.open(path)?.as_fd())
    }

    /// The directories in a directory that nothing is mounted on; none when it cannot be listed.
    pub(crate) fn directories(&self, path: &Path) -> Result<Vec<(OsString, Meta)>, Errno> {
        let may_be = |kind| matches!(kind, FileType::Directory | FileType::Unknown);
        let mut found = self.entries_where(path, may_be)?;
        found.retain(|(_, meta)| meta.is_open_directory());
        Ok(found)
    }

    /// The names in a directory, each with whether it is a directory; none when it cannot be listed.
    pub(crate) fn kinds(&self, path: &Path) -> Result<Vec<(OsString, bool)>, Errno> {
        let Ok(directory) = self.open(path) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        list(directory.as_fd(), |name, kind| {
            let is_directory = match kind {
                FileType::Unknown => look(directory.as_fd(), name)
                    .is_ok_and(|look| look.kind == EntryKind::Directory),
                kind => kind == FileType::Directory,
            };
            found.push((name.to_owned(), is_directory));
        })?;
        Ok(found)
    }

    /// The entries of a directory that are no links; none when it cannot be listed.
    pub(crate) fn entries_but_links(&self, path: &Path) -> Result<Vec<(OsString, Meta)>, Errno> {
        self.entries_where(path, |kind| kind != FileType::Symlink)
    }

    /// The entries of a directory; none when it cannot be listed.
    pub(crate) fn entries(&self, path: &Path) -> Result<Vec<(OsString, Meta)>, Errno> {
        self.entries_where(path, |_| true)
    }

    fn entries_where(
        &self,
        path: &Path,
        is_wanted: impl Fn(FileType) -> bool,
    ) -> Result<Vec<(OsString, Meta)>, Errno> {
        let Ok(directory) = self.open(path) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        let mut outcome = Ok(());
        list(directory.as_fd(), |name, kind| {
            if outcome.is_ok() && is_wanted(kind) {
                let meta = self.meta_in(directory.as_fd(), &path.join(name), name);
                outcome = meta.map(|meta| found.extend(meta.map(|meta| (name.to_owned(), meta))));
            }
        })?;
        outcome.map(|()| found)
    }

    /// What stands at each path, if anything, in the order of the paths; each directory is opened
    /// once only.
    pub(crate) fn metas<'p>(
        &self,
        paths: impl Iterator<Item = &'p Path>,
    ) -> Result<Vec<Option<Meta>>, Errno> {
        let mut handles = Handles::new(self);
        let mut metas = Vec::new();
        for path in paths {
            let name = path.file_name().ok_or(Errno::INVAL)?;
            metas.push(match handles.parent_of(path) {
                Ok(directory) => self.meta_in(directory, path, name)?,
                Err(_) => None,
            });
        }
        Ok(metas)
    }

    /// The directory of a path, and the name in it.
    pub(crate) fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let directory = self.reach(path.parent().unwrap_or(Path::new("")))?;
        Ok((directory, name))
    }

    /// Directories that are held open from one path to the next.
    pub(crate) fn handles(&self) -> Handles<'_> {
        Handles::new(self)
    }

    /// Whether a file has a content.
    pub(crate) fn holds(&self, path: &Path, content: &[u8]) -> Result<bool, Errno> {
        let (directory, name) = self.parent(path)?;
        let mut held = Vec::new();
        let limit = content.len() as u64 + 1;
        let file = File::from(open_file(directory.as_fd(), name)?);
        file.take(limit)
            .read_to_end(&mut held)
            .map_err(|error| errno(&error))?;
        Ok(held == content)
    }

    /// Whether two files have the same content.
    pub(crate) fn hold_the_same(&self, left: &Path, right: &Path) -> Result<bool, Errno> {
        let open = |path| {
            let (directory, name) = self.parent(path)?;
            open_file(directory.as_fd(), name)
        };
        let (left, right) = (open(left)?, open(right)?);
        if fstat(&left)?.st_size != fstat(&right)?.st_size {
            return Ok(false);
        }
        begins_with(File::from(left), File::from(right))
    }

    /// The type of what is neither file, directory nor link.
    pub(crate) fn file_type(&self, path: &Path) -> Result<FileType, Errno> {
        let (directory, name) = self.parent(path)?;
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(found.st_mode))
    }

    pub(crate) fn link_target(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        let (directory, name) = self.parent(path)?;
        Ok(readlinkat(directory.as_fd(), name, Vec::new())?.into_bytes())
    }

    /// Opens a file for reading: `XDEV` when it is a mount.
    pub(crate) fn open_file(&self, path: &Path) -> Result<File, Errno> {
        let (directory, name) = self.parent(path)?;
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        Ok(open_file(directory.as_fd(), name)?.into())
    }

    /// Reads a file; none when it is no regular file or a mount point. `FBIG` means that it has more
    /// than `limit` bytes.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
        let (directory, name) = self.parent(path)?;
        read_regular(directory.as_fd(), name, limit)
    }
}

/// Directories that are held open while many paths are looked at, made or removed.
pub(crate) struct Handles<'a> {
    place: &'a Place<'a>,
    open: HashMap<PathBuf, Result<OwnedFd, Errno>>,
}

impl<'a> Handles<'a> {
    pub(super) fn new(place: &'a Place<'a>) -> Self {
        Self {
            place,
            open: HashMap::new(),
        }
    }

    /// Makes a directory that is not there, in place: for those that go again if they are not
    /// finished. The umask takes bits away, and mkdir gives no setgid bit but the parent's.
    pub(crate) fn make_directory(
        &mut self,
        path: &Path,
        mode: u32,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        self.place.rootfs.note_change();
        let directory = self.parent_of(path)?;
        mkdirat(directory, name, Mode::from_raw_mode(mode))?;
        if owner == NewOwner::default() {
            return Ok(());
        }
        chown_at(directory, name, owner)
    }

    /// Makes a link that is not there, in place.
    pub(crate) fn make_link(
        &mut self,
        path: &Path,
        target: &[u8],
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        self.place.rootfs.note_change();
        let directory = self.parent_of(path)?;
        symlinkat(OsStr::from_bytes(target), directory, name)?;
        if owner == NewOwner::default() {
            return Ok(());
        }
        chown_at(directory, name, owner)
    }

    /// The directory that a path is in.
    pub(crate) fn parent_of(&mut self, path: &Path) -> Result<BorrowedFd<'_>, Errno> {
        let above = path.parent().unwrap_or(Path::new(""));
        if !self.open.contains_key(above) {
            // Their number is bounded, whatever the tree.
            if self.open.len() >= MAX_OPEN {
                self.open.clear();
            }
            let opened = self.place.reach(above);
            self.open.insert(above.to_owned(), opened);
        }
        self.open[above]
            .as_ref()
            .map(AsFd::as_fd)
            .map_err(|error| *error)
    }
}

/// Gives an [`Errno`] its path and what was tried.
pub(crate) trait Told<T> {
    fn told(self, action: &'static str, path: &Path) -> ToolResult<T>;
}

impl<T> Told<T> for Result<T, Errno> {
    fn told(self, action: &'static str, path: &Path) -> ToolResult<T> {
        self.map_err(|source| Error::Place {
            action,
            path: shown(path),
            source,
        })
    }
}

/// A path below `from` as it is below `to`.
pub(crate) fn moved(path: &Path, from: &Path, to: &Path) -> PathBuf {
    match path.strip_prefix(from) {
        // Joining with nothing would end in a slash.
        Ok(below) if below.as_os_str().is_empty() => to.to_owned(),
        Ok(below) => to.join(below),
        Err(_) => path.to_owned(),
    }
}
