//! Paths below the root file system, reached one name at a time through directory handles: no
//! link is followed and no mount is entered. What stands there is looked at, copied and removed.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use osderive_lints::EntryKind;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, FileType, FsWord, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps,
        UTIME_OMIT, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, flistxattr, fremovexattr,
        fsetxattr, fstat, fstatfs, futimens, linkat, mkdirat, openat, readlinkat, renameat,
        renameat_with, seek, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use crate::{
    attributes::filled,
    error::{Error, Result as ToolResult},
    files::shown,
    handle::{
        Look, Moment, errno, list, look, open_below, open_child, reach_below, read_regular,
        sorted_names,
    },
    mounts::Mounts,
    rootfs::Rootfs,
};

/// The name of a file that is being written; one that stands there was left by a killed commit.
pub(crate) const BESIDE: &str = ".osderive-new";

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

    /// Whether it is a directory, and none that something is mounted on.
    pub(crate) fn is_open_directory(&self) -> bool {
        self.look.kind == EntryKind::Directory && !self.is_mount
    }
}

/// Entries by path relative to the root file system; a directory stands before what is in it.
pub(crate) type Entries = BTreeMap<PathBuf, Meta>;

/// Who owns a copy, where not the owner of what is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewOwner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// A root file system with its mount table.
pub(crate) struct Place<'a> {
    root: BorrowedFd<'a>,
    mounts: Arc<Option<Mounts>>,
}

impl<'a> Place<'a> {
    pub(crate) fn of(rootfs: &'a Rootfs) -> Self {
        Self {
            root: rootfs.as_fd(),
            mounts: rootfs.mounts(),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_mounts(rootfs: &'a Rootfs, mounts: Mounts) -> Self {
        Self {
            root: rootfs.as_fd(),
            mounts: Arc::new(Some(mounts)),
        }
    }

    /// Opens a directory: `XDEV` when a mount is on the way, `NOTDIR` or `LOOP` when something
    /// else is.
    pub(crate) fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        open_below(self.root, path)
    }

    /// The same of a directory in which names are looked up, and that is not read.
    fn reach(&self, path: &Path) -> Result<OwnedFd, Errno> {
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        reach_below(self.root, path)
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
        fstatfs(self.root).is_ok_and(|found| COUNT_DIRECTORIES.contains(&found.f_type))
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
        let mut entries = Entries::new();
        let Some(meta) = self.meta(top)? else {
            return Ok(entries);
        };
        let mut open = vec![];
        if meta.is_open_directory() && enter(top) {
            open.push(top.to_owned());
        }
        entries.insert(top.to_owned(), meta);
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
                entries.insert(path, meta);
            }
        }
        Ok(entries)
    }

    /// The names in a directory; none when it cannot be listed.
    pub(crate) fn names(&self, path: &Path) -> Option<Vec<std::ffi::OsString>> {
        sorted_names(self.open(path).ok()?.as_fd()).ok()
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
                Some(directory) => self.meta_in(directory, path, name)?,
                None => None,
            });
        }
        Ok(metas)
    }

    /// Removes entries, of directories only empty ones; answers with those that cannot be removed.
    pub(crate) fn remove_each<'p>(
        &self,
        entries: impl Iterator<Item = (&'p Path, EntryKind)>,
    ) -> Vec<PathBuf> {
        let mut handles = Handles::new(self);
        let mut remove = |path: &Path, kind| {
            let name = path.file_name().ok_or(Errno::INVAL)?;
            let directory = handles.parent_of(path).ok_or(Errno::NOENT)?;
            unlinkat(directory, name, removal_of(kind))
        };
        let stuck = entries.filter(|(path, kind)| remove(path, *kind).is_err());
        stuck.map(|(path, _)| path.to_owned()).collect()
    }

    /// The directory of a path, and the name in it.
    pub(crate) fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let directory = self.reach(path.parent().unwrap_or(Path::new("")))?;
        Ok((directory, name))
    }

    /// Makes a directory that is not there, 0755 and with what its parent hands down unless the
    /// mode is given; it is made beside its place, so that nobody ever finds it half made.
    pub(crate) fn make_directory(
        &self,
        path: &Path,
        mode: Option<u32>,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let directory = directory.as_fd();
        match mkdirat(directory, BESIDE, Mode::RWXU) {
            Err(Errno::EXIST) => {
                clear(directory)?;
                mkdirat(directory, BESIDE, Mode::RWXU)?;
            }
            done => done?,
        }
        let opened = open_child(directory, OsStr::new(BESIDE))?;
        let done = chown_open(&opened, owner)
            .and_then(|()| {
                let inherited = fstat(&opened)?.st_mode & Mode::SGID.as_raw_mode();
                let mode = mode.unwrap_or(0o755 | inherited);
                fchmod(&opened, Mode::from_raw_mode(mode))
            })
            .and_then(|()| settle_in(directory, name));
        or_clear(done, directory)
    }

    /// Directories that are held open from one path to the next.
    pub(crate) fn handles(&self) -> Handles<'_> {
        Handles::new(self)
    }

    /// Makes the missing directories above a path, root's and 0755 as systemd makes them.
    pub(crate) fn make_parents(
        &self,
        path: &Path,
        made: &mut dyn FnMut(&Path),
    ) -> Result<(), Errno> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        for directory in above.into_iter().rev() {
            if self.meta(directory)?.is_none() {
                self.make_directory(directory, Some(0o755), NewOwner::default())?;
                made(directory);
            }
        }
        Ok(())
    }

    /// Sets the permission bits of a file or directory.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let file = open_file(directory.as_fd(), name)?;
        fchmod(&file, Mode::from_raw_mode(mode))
    }

    /// Sets who owns a file, directory or link, which takes setuid bits away.
    pub(crate) fn set_owner(&self, path: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        chown_at(directory.as_fd(), name, owner)
    }

    /// Whether a file has a content.
    pub(crate) fn holds(&self, path: &Path, content: &[u8]) -> Result<bool, Errno> {
        let (directory, name) = self.parent(path)?;
        let mut held = Vec::new();
        let limit = content.len() as u64 + 1;
        let file = open_file(directory.as_fd(), name)?;
        file.take(limit)
            .read_to_end(&mut held)
            .map_err(|error| errno(&error))?;
        Ok(held == content)
    }

    /// Whether two files have the same content.
    pub(crate) fn hold_the_same(&self, left: &Path, right: &Path) -> Result<bool, Errno> {
        let open = |path| {
            let (directory, name) = self.parent(path)?;
            open_file(directory.as_fd(), name).map(io::BufReader::new)
        };
        let (mut left, mut right) = (open(left)?, open(right)?);
        loop {
            let read = |file: &mut io::BufReader<File>| {
                let part = io::BufRead::fill_buf(file).map_err(|error| errno(&error))?;
                Ok::<_, Errno>(part.to_vec())
            };
            let (part, other) = (read(&mut left)?, read(&mut right)?);
            let length = part.len().min(other.len());
            if part[..length] != other[..length] || (length == 0 && part.len() != other.len()) {
                return Ok(false);
            }
            if length == 0 {
                return Ok(true);
            }
            io::BufRead::consume(&mut left, length);
            io::BufRead::consume(&mut right, length);
        }
    }

    /// The type of what is neither file, directory nor link.
    pub(crate) fn file_type(&self, path: &Path) -> Result<FileType, Errno> {
        let (directory, name) = self.parent(path)?;
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(found.st_mode))
    }

    pub(crate) fn make_link(
        &self,
        path: &Path,
        target: &[u8],
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let directory = directory.as_fd();
        clear(directory)?;
        symlinkat(OsStr::from_bytes(target), directory, BESIDE)?;
        let done = chown_at(directory, OsStr::new(BESIDE), owner)
            .and_then(|()| settle_in(directory, name));
        or_clear(done, directory)
    }

    pub(crate) fn link_target(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        let (directory, name) = self.parent(path)?;
        Ok(readlinkat(directory.as_fd(), name, Vec::new())?.into_bytes())
    }

    /// Writes a file beside its place and renames it there.
    pub(crate) fn write_file(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let mut file = create(directory.as_fd())?;
        let written = io::Write::write_all(&mut file, content)
            .map_err(|error| errno(&error))
            .and_then(|()| chown_open(&file, owner))
            .and_then(|()| fchmod(&file, Mode::from_raw_mode(mode)))
            .and_then(|()| renameat(directory.as_fd(), BESIDE, directory.as_fd(), name));
        or_clear(written, directory.as_fd())
    }

    /// Sets a file's, directory's or link's time of last modification.
    pub(crate) fn set_modified(&self, path: &Path, modified: Moment) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        let times = times(modified);
        utimensat(directory.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Copies a file with its owner, mode, times, extended attributes and holes.
    pub(crate) fn copy_file(&self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent(to)?;
        let source = open_file(from_directory.as_fd(), from_name)?;
        let target = create(to_directory.as_fd())?;
        let copied = copy_content(&source, &target)
            .and_then(|()| copy_attributes(&source, &target, owner))
            .and_then(|()| renameat(to_directory.as_fd(), BESIDE, to_directory.as_fd(), to_name));
        or_clear(copied, to_directory.as_fd())
    }

    /// Copies what stands at a path, and below it if it is a directory, to where nothing is yet.
    /// Hard links among the files stay such.
    pub(crate) fn copy_tree(
        &self,
        from: &Path,
        to: &Path,
        owner: NewOwner,
        made: &mut dyn FnMut(&Path),
    ) -> Result<(), Errno> {
        let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let source = self.walk(from)?;
        for (path, meta) in &source {
            let target = moved(path, from, to);
            let owner = NewOwner {
                uid: owner.uid.or(Some(meta.look.uid)),
                gid: owner.gid.or(Some(meta.look.gid)),
            };
            match meta.look.kind {
                EntryKind::Directory => {
                    self.make_directory(&target, Some(meta.look.mode), owner)?;
                    copy_xattrs(self.open(path)?, self.open(&target)?)?;
                }
                EntryKind::File => match linked.get(&meta.look.file()) {
                    Some(first) => self.link(first, &target)?,
                    None => self.copy_file(path, &target, owner)?,
                },
                EntryKind::Symlink => {
                    self.make_link(&target, &self.link_target(path)?, owner)?;
                    self.set_modified(&target, meta.look.modified)?;
                }
                EntryKind::Special => continue,
            }
            made(&target);
            if meta.look.kind == EntryKind::File && meta.look.links > 1 {
                linked.entry(meta.look.file()).or_insert(target);
            }
        }
        let is_directory = |entry: &(&PathBuf, &Meta)| entry.1.look.kind == EntryKind::Directory;
        for (path, meta) in source.iter().rev().filter(is_directory) {
            self.set_modified(&moved(path, from, to), meta.look.modified)?;
        }
        Ok(())
    }

    /// Gives an entry another path; of a directory, `XDEV` when it is one of a lower layer.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent(to)?;
        renameat(from_directory, from_name, to_directory, to_name)
    }

    /// Gives a file one more name.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent(to)?;
        linkat(
            from_directory,
            from_name,
            to_directory,
            to_name,
            AtFlags::empty(),
        )
    }

    /// The same in the place of what may be there, but for a directory.
    pub(crate) fn link_over(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (directory, name) = self.parent(to)?;
        clear(directory.as_fd())?;
        self.link(from, &to.with_file_name(BESIDE))?;
        let linked = renameat(&directory, BESIDE, &directory, name);
        // Renaming does nothing when both are names of one file.
        clear(directory.as_fd()).and(linked)
    }

    /// Opens a file for reading: `XDEV` when it is a mount.
    pub(crate) fn open_file(&self, path: &Path) -> Result<File, Errno> {
        let (directory, name) = self.parent(path)?;
        if self.has_mount_above(path) {
            return Err(Errno::XDEV);
        }
        open_file(directory.as_fd(), name)
    }

    /// Reads a file; none when it is no regular file or a mount point. `FBIG` means that it has more
    /// than `limit` bytes.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
        let (directory, name) = self.parent(path)?;
        read_regular(directory.as_fd(), name, limit)
    }

    /// Removes one entry; of a directory only an empty one.
    pub(crate) fn remove(&self, path: &Path, kind: EntryKind) -> Result<(), Errno> {
        let (directory, name) = self.parent(path)?;
        unlinkat(directory, name, removal_of(kind))
    }

    /// Removes what stands at a path, and below it if it is a directory.
    pub(crate) fn remove_tree(&self, top: &Path) -> Result<(), Errno> {
        for (path, meta) in self.walk(top)?.iter().rev() {
            self.remove(path, meta.look.kind)?;
        }
        Ok(())
    }

    /// Gives a directory the owner, mode and extended attributes of another one.
    pub(crate) fn set_as(&self, path: &Path, other: &Path) -> Result<(), Errno> {
        let (source, target) = (self.open(other)?, self.open(path)?);
        let found = fstat(&source)?;
        let owner = NewOwner {
            uid: Some(found.st_uid),
            gid: Some(found.st_gid),
        };
        chown_open(&target, owner)?;
        fchmod(&target, Mode::from_raw_mode(found.st_mode & 0o7777))?;
        copy_xattrs(&source, &target)
    }
}

/// Directories that are held open while many paths are looked at, made or removed.
pub(crate) struct Handles<'a> {
    place: &'a Place<'a>,
    open: HashMap<PathBuf, Option<OwnedFd>>,
}

impl<'a> Handles<'a> {
    fn new(place: &'a Place<'a>) -> Self {
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
        let directory = self.parent_of(path).ok_or(Errno::NOENT)?;
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
        let directory = self.parent_of(path).ok_or(Errno::NOENT)?;
        symlinkat(OsStr::from_bytes(target), directory, name)?;
        if owner == NewOwner::default() {
            return Ok(());
        }
        chown_at(directory, name, owner)
    }

    /// The directory that a path is in; none when it cannot be opened.
    fn parent_of(&mut self, path: &Path) -> Option<BorrowedFd<'_>> {
        let above = path.parent().unwrap_or(Path::new(""));
        if !self.open.contains_key(above) {
            // Their number is bounded, whatever the tree.
            if self.open.len() >= MAX_OPEN {
                self.open.clear();
            }
            let opened = self.place.reach(above).ok();
            self.open.insert(above.to_owned(), opened);
        }
        self.open[above].as_ref().map(AsFd::as_fd)
    }
}

fn removal_of(kind: EntryKind) -> AtFlags {
    match kind {
        EntryKind::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
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

fn times(modified: Moment) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: modified.seconds,
            tv_nsec: modified.nanoseconds.into(),
        },
    }
}

fn create(directory: BorrowedFd<'_>) -> Result<File, Errno> {
    clear(directory)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(openat(directory, BESIDE, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Removes what a killed commit left unfinished.
fn clear(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    let removed = match unlinkat(directory, BESIDE, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(directory, BESIDE, AtFlags::REMOVEDIR),
        removed => removed,
    };
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// Gives what was made beside its place its name, which nothing may have yet.
fn settle_in(directory: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    match renameat_with(directory, BESIDE, directory, name, RenameFlags::NOREPLACE) {
        // A file system that cannot tell.
        Err(Errno::INVAL) => match look(directory, name) {
            Err(Errno::NOENT) => renameat(directory, BESIDE, directory, name),
            Ok(_) => Err(Errno::EXIST),
            Err(error) => Err(error),
        },
        renamed => renamed,
    }
}

fn or_clear(outcome: Result<(), Errno>, directory: BorrowedFd<'_>) -> Result<(), Errno> {
    if outcome.is_err() {
        let _ = clear(directory);
    }
    outcome
}

fn open_file(directory: BorrowedFd<'_>, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat(directory, name, flags, Mode::empty())?.into())
}

fn chown_open(file: impl AsFd, owner: NewOwner) -> Result<(), Errno> {
    fchown(
        file,
        owner.uid.map(Uid::from_raw),
        owner.gid.map(Gid::from_raw),
    )
}

fn chown_at(directory: BorrowedFd<'_>, name: &OsStr, owner: NewOwner) -> Result<(), Errno> {
    let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

/// Copies the parts of a file that hold data.
fn copy_content(source: &File, target: &File) -> Result<(), Errno> {
    let size = source.metadata().map_err(|error| errno(&error))?.len();
    let mut end = 0;
    while end < size {
        let start = match seek(source, rustix::fs::SeekFrom::Data(end)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(Errno::INVAL) => end,
            Err(error) => return Err(error),
        };
        end = seek(source, rustix::fs::SeekFrom::Hole(start)).unwrap_or(size);
        copy_part(source, target, start, end).map_err(|error| errno(&error))?;
    }
    target.set_len(size).map_err(|error| errno(&error))
}

fn copy_part(mut source: &File, mut target: &File, start: u64, end: u64) -> io::Result<()> {
    source.seek(SeekFrom::Start(start))?;
    target.seek(SeekFrom::Start(start))?;
    io::copy(&mut source.take(end - start), &mut target)?;
    Ok(())
}

fn copy_attributes(source: &File, target: &File, owner: NewOwner) -> Result<(), Errno> {
    let found = fstat(source)?;
    let owner = NewOwner {
        uid: owner.uid.or(Some(found.st_uid)),
        gid: owner.gid.or(Some(found.st_gid)),
    };
    chown_open(target, owner)?;
    fchmod(target, Mode::from_raw_mode(found.st_mode & 0o7777))?;
    copy_xattrs(source, target)?;
    let modified = Moment {
        seconds: found.st_mtime,
        nanoseconds: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
    };
    futimens(target, &times(modified))
}

/// Gives a target the attributes of a source and no others, such as lists that its directory hands down. A change
/// of owner drops capabilities, so this comes after it.
fn copy_xattrs(source: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let wanted = xattr_names(&source)?;
    for name in xattr_names(&target)? {
        let is_ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
        if is_ours && !wanted.contains(&name) {
            fremovexattr(&target, OsStr::from_bytes(&name))?;
        }
    }
    for name in &wanted {
        let name = OsStr::from_bytes(name);
        let value = filled(|buffer| fgetxattr(&source, name, buffer))?.unwrap_or_default();
        fsetxattr(&target, name, &value, XattrFlags::empty())?;
    }
    Ok(())
}

/// The names of a file's extended attributes, but for labels of a policy, which are the machine's business.
fn xattr_names(file: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let names = filled(|buffer| flistxattr(&file, buffer))?.unwrap_or_default();
    let names = names.split(|&byte| byte == 0);
    let names = names.filter(|name| !name.is_empty() && *name != b"security.selinux");
    Ok(names.map(<[u8]>::to_vec).collect())
}
