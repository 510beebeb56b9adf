//! Paths below the root file system, reached one name at a time through directory handles: no
//! link is followed and no mount is entered. What stands there is looked at, copied and removed.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead as _, Read as _, Seek as _, SeekFrom},
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
        fsetxattr, fstat, fstatfs, futimens, linkat, mkdirat, mknodat, openat, readlinkat,
        renameat, renameat_with, seek, statat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use crate::{
    attributes::{filled, is_list_of_xfs},
    error::{Error, IN_THE_WAY, Result as ToolResult},
    files::shown,
    handle::{
        Look, Moment, errno, list, look, open_below, open_child, open_file, reach_below,
        read_regular, set_mode, sorted_names,
    },
    mounts::Mounts,
    rootfs::Rootfs,
    snippets::digits_of,
};

/// How the name of what is being made ends, until it is whole.
const UNFINISHED: &str = ".osderive-new";

/// The longest name that a file system takes, in bytes (`NAME_MAX` of linux/limits.h).
const MAX_NAME: usize = 255;

/// The name of what is made beside its place, to be renamed there when it is whole. A killed commit leaves it, and the
/// next one, which makes the same again, finds it by the same name.
pub(crate) fn unfinished(name: &OsStr) -> OsString {
    let mut unfinished = OsString::from(".");
    if name.len() + UNFINISHED.len() < MAX_NAME {
        unfinished.push(name);
    } else {
        unfinished.push(digits_of(name.as_bytes()));
    }
    unfinished.push(UNFINISHED);
    unfinished
}

/// Directories that a look at many paths holds open.
const MAX_OPEN: usize = 128;

/// File systems that [count directories](Place::counts_directories): ext2 to ext4, overlayfs, tmpfs and
/// XFS (linux/magic.h).
const COUNT_DIRECTORIES: [FsWord; 4] = [0xef53, 0x794c_7630, 0x0102_1994, 0x5846_5342];

/// Whether an entry is a link that a killed commit left before it had its name. Of other unfinished things only who
/// makes the same again knows that they are no user's.
pub(crate) fn is_unfinished_link(path: &Path, kind: EntryKind) -> bool {
    let name = path.file_name().map_or(&[][..], OsStr::as_bytes);
    kind == EntryKind::Symlink && name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes())
}

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
    fn is_unwritten(&self, listed: &Self) -> bool {
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

/// Who owns a copy, where not the owner of what is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewOwner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// A root file system with its mount table.
pub(crate) struct Place<'a> {
    rootfs: &'a Rootfs,
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
        self.rootfs.note_change();
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

    /// The same of a path at which something is about to change.
    pub(crate) fn parent_to_change<'p>(
        &self,
        path: &'p Path,
    ) -> Result<(OwnedFd, &'p OsStr), Errno> {
        self.rootfs.note_change();
        self.parent(path)
    }

    /// Makes a directory that is not there, 0755 and with what its parent hands down unless the
    /// mode is given; it is made beside its place, so that nobody ever finds it half made.
    pub(crate) fn make_directory(
        &self,
        path: &Path,
        mode: Option<u32>,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        // Whoever left one with something in it was none of us.
        let is_left = || Ok(true);
        beside.make(AtFlags::REMOVEDIR, is_left, |at, name| {
            mkdirat(at, name, Mode::RWXU)
        })?;
        let opened = open_child(beside.directory, &beside.name)?;
        let done = chown_open(&opened, owner)
            .and_then(|()| {
                let inherited = fstat(&opened)?.st_mode & Mode::SGID.as_raw_mode();
                give_mode(&opened, mode.unwrap_or(0o755 | inherited))
            })
            .and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::REMOVEDIR)
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
        let (directory, name) = self.parent_to_change(path)?;
        set_mode(directory.as_fd(), name, Mode::from_raw_mode(mode))
    }

    /// Sets who owns a file, directory or link, which takes setuid bits away.
    pub(crate) fn set_owner(&self, path: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        chown_at(directory.as_fd(), name, owner)
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

    pub(crate) fn make_link(
        &self,
        path: &Path,
        target: &[u8],
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        let target = OsStr::from_bytes(target);
        let is_left = || {
            let left = readlinkat(beside.directory, &beside.name, Vec::new());
            Ok(left.is_ok_and(|left| left.as_bytes() == target.as_bytes()))
        };
        beside.make(AtFlags::empty(), is_left, |at, name| {
            symlinkat(target, at, name)
        })?;
        let done = chown_at(beside.directory, &beside.name, owner).and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::empty())
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
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        let mut file = beside.create(|| Ok(content))?;
        let written = io::Write::write_all(&mut file, content)
            .map_err(|error| errno(&error))
            .and_then(|()| chown_open(&file, owner))
            .and_then(|()| give_mode(&file, mode))
            .and_then(|()| beside.replace());
        beside.or_remove(written, AtFlags::empty())
    }

    /// Sets a file's, directory's or link's time of last modification.
    pub(crate) fn set_modified(&self, path: &Path, modified: Moment) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let times = times(modified);
        utimensat(directory.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Copies a file with its owner, mode, times, extended attributes and holes.
    pub(crate) fn copy_file(&self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let open = || Ok(File::from(open_file(from_directory.as_fd(), from_name)?));
        let source = open()?;
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let target = beside.create(open)?;
        let copied = copy_content(&source, &target)
            .and_then(|()| copy_attributes(&source, &target, owner))
            .and_then(|()| beside.replace());
        beside.or_remove(copied, AtFlags::empty())
    }

    /// Whether all that stands at a path is a copy of what stands at another one, whole or in part, and nothing else.
    pub(crate) fn is_copied_from(&self, copy: &Path, from: &Path) -> Result<bool, Errno> {
        for (path, meta) in &self.walk(copy)? {
            let original = moved(path, copy, from);
            let Some(there) = self.meta(&original)? else {
                let above = original.parent().unwrap_or(Path::new(""));
                // What was being made when the commit was killed.
                let mut names = self.names(above).unwrap_or_default().into_iter();
                if names.any(|name| Some(&*unfinished(&name)) == path.file_name()) {
                    continue;
                }
                return Ok(false);
            };
            let is_alike = there.look.kind == meta.look.kind
                && match meta.look.kind {
                    EntryKind::File => self.hold_the_same(path, &original)?,
                    EntryKind::Symlink => self.link_target(path)? == self.link_target(&original)?,
                    EntryKind::Directory | EntryKind::Special => true,
                };
            if !is_alike {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies what was listed at a path and below it to where nothing is yet. Hard links among the files stay such.
    pub(crate) fn copy_tree(
        &self,
        source: &Entries,
        from: &Path,
        to: &Path,
        owner: NewOwner,
        made: &mut dyn FnMut(&Path),
    ) -> Result<(), Errno> {
        let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
        for (path, meta) in source {
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
                EntryKind::Special => self.copy_special(path, &target, owner)?,
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

    /// Makes a FIFO, socket or device like another one.
    fn copy_special(&self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let found = statat(from_directory, from_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let is_left = || {
            let left = look(beside.directory, &beside.name)?;
            Ok(left.kind == EntryKind::Special)
        };
        beside.make(AtFlags::empty(), is_left, |at, name| {
            mknodat(at, name, kind, mode, found.st_rdev)
        })?;
        // The umask takes bits away, and a change of owner others.
        let done = chown_at(beside.directory, &beside.name, owner)
            .and_then(|()| set_mode(beside.directory, &beside.name, mode))
            .and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::empty())
    }

    /// Gives an entry another path; of a directory, `XDEV` when it is one of a lower layer.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent_to_change(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        renameat(from_directory, from_name, to_directory, to_name)
    }

    /// Gives a file one more name.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent_to_change(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
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
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let file = look(from_directory.as_fd(), from_name)?.file();
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let is_left = || Ok(look(beside.directory, &beside.name)?.file() == file);
        beside.make(AtFlags::empty(), is_left, |at, name| {
            linkat(&from_directory, from_name, at, name, AtFlags::empty())
        })?;
        let linked = beside.replace();
        // Renaming does nothing when both are names of one file.
        match unlinkat(beside.directory, &beside.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => linked,
            Err(error) => Err(error),
        }
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

    /// Removes one entry; of a directory only an empty one.
    pub(crate) fn remove(&self, path: &Path, kind: EntryKind) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        unlinkat(directory, name, removal_of(kind))
    }

    /// Removes what was listed and is still as it was; answers with what is not, and stays.
    pub(crate) fn remove_listed(&self, entries: &Entries) -> Result<Vec<PathBuf>, Errno> {
        let mut written = Vec::new();
        for (path, listed) in entries.iter().rev() {
            match self.meta(path)? {
                None => {}
                Some(found) if !found.is_unwritten(listed) => written.push(path.clone()),
                Some(_) => match self.remove(path, listed.look.kind) {
                    // Something came into it.
                    Err(Errno::NOTEMPTY | Errno::EXIST) => written.push(path.clone()),
                    removed => removed?,
                },
            }
        }
        Ok(written)
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
        self.rootfs.note_change();
        let (source, target) = (self.open(other)?, self.open(path)?);
        let found = fstat(&source)?;
        let owner = NewOwner {
            uid: Some(found.st_uid),
            gid: Some(found.st_gid),
        };
        chown_open(&target, owner)?;
        give_mode(&target, found.st_mode & 0o7777)?;
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
        self.place.rootfs.note_change();
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
        self.place.rootfs.note_change();
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

/// What is made beside its place.
struct Beside<'a> {
    directory: BorrowedFd<'a>,
    /// Its name until it is whole.
    name: OsString,
    /// Its name then.
    settled: &'a OsStr,
}

impl<'a> Beside<'a> {
    fn of(directory: BorrowedFd<'a>, settled: &'a OsStr) -> Self {
        Self {
            directory,
            name: unfinished(settled),
            settled,
        }
    }

    /// Makes it. What stands there `is_left` by a killed commit and goes, or it is [`IN_THE_WAY`] and stays.
    fn make<T>(
        &self,
        removal: AtFlags,
        is_left: impl FnOnce() -> Result<bool, Errno>,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make(self.directory, &self.name) {
            Err(Errno::EXIST) => {
                if !is_left()? || unlinkat(self.directory, &self.name, removal).is_err() {
                    return Err(IN_THE_WAY);
                }
                make(self.directory, &self.name)
            }
            outcome => outcome,
        }
    }

    /// Makes a file that is going to have a content. What a killed commit left is the beginning of the same.
    fn create<R: io::Read>(
        &self,
        content: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let is_left = || match open_file(self.directory, &self.name) {
            Ok(left) => begins_with(content()?, File::from(left)),
            Err(Errno::LOOP | Errno::NXIO | Errno::XDEV) => Ok(false),
            Err(error) => Err(error),
        };
        let made = self.make(AtFlags::empty(), is_left, |at, name| {
            openat(at, name, flags, Mode::RUSR | Mode::WUSR)
        });
        Ok(made?.into())
    }

    /// Gives it its name, which nothing may have yet.
    fn settle(&self) -> Result<(), Errno> {
        let (at, name, settled) = (self.directory, &self.name, self.settled);
        match renameat_with(at, name, at, settled, RenameFlags::NOREPLACE) {
            // A file system that cannot tell.
            Err(Errno::INVAL) => match look(at, settled) {
                Err(Errno::NOENT) => renameat(at, name, at, settled),
                Ok(_) => Err(Errno::EXIST),
                Err(error) => Err(error),
            },
            renamed => renamed,
        }
    }

    /// Puts it in the place of what has its name.
    fn replace(&self) -> Result<(), Errno> {
        renameat(self.directory, &self.name, self.directory, self.settled)
    }

    /// Removes it where it did not become whole.
    fn or_remove(&self, outcome: Result<(), Errno>, removal: AtFlags) -> Result<(), Errno> {
        if outcome.is_err() {
            let _ = unlinkat(self.directory, &self.name, removal);
        }
        outcome
    }
}

/// Whether a content begins with all of another one.
fn begins_with(whole: impl io::Read, part: impl io::Read) -> Result<bool, Errno> {
    let (mut whole, mut part) = (io::BufReader::new(whole), io::BufReader::new(part));
    let mut compare = || -> io::Result<bool> {
        loop {
            let (have, want) = (whole.fill_buf()?, part.fill_buf()?);
            let length = have.len().min(want.len());
            if length == 0 {
                return Ok(want.is_empty());
            }
            if have[..length] != want[..length] {
                return Ok(false);
            }
            whole.consume(length);
            part.consume(length);
        }
    };
    compare().map_err(|error| errno(&error))
}

/// Sets the permission bits of an open file or directory. `PERM` means that the kernel left out the set-group-ID bit
/// without a word: for a group that is not the caller's it wants `CAP_FSETID` (chmod(2)).
fn give_mode(file: impl AsFd, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    fchmod(&file, mode)?;
    let is_given = !mode.contains(Mode::SGID)
        || Mode::from_raw_mode(fstat(&file)?.st_mode).contains(Mode::SGID);
    if is_given { Ok(()) } else { Err(Errno::PERM) }
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
    give_mode(target, found.st_mode & 0o7777)?;
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

/// The names of a file's extended attributes, but for labels of a policy, which are the machine's business, and what
/// XFS tells twice.
fn xattr_names(file: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let names = filled(|buffer| flistxattr(&file, buffer))?.unwrap_or_default();
    let names = names.split(|&byte| byte == 0);
    let is_left_out = |name: &[u8]| name == b"security.selinux" || is_list_of_xfs(name);
    let names = names.filter(|name| !name.is_empty() && !is_left_out(name));
    Ok(names.map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Rootfs) {
        let root = tempfile::tempdir().expect("a directory");
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, content).expect("a file");
        }
        let rootfs = Rootfs::open(root.path()).expect("opens");
        (root, rootfs)
    }

    type Way = fn(&Place<'_>, &Path) -> Result<(), Errno>;

    /// Each way of making something at a path.
    const WAYS: [Way; 4] = [
        |place, path| place.write_file(path, b"whole", 0o644, NewOwner::default()),
        |place, path| place.copy_file(Path::new("from"), path, NewOwner::default()),
        |place, path| place.make_link(path, b"target", NewOwner::default()),
        |place, path| place.make_directory(path, None, NewOwner::default()),
    ];

    #[test]
    fn a_users_file_under_the_name_of_unfinished_work_stays_and_stops_it() {
        let long = "n".repeat(MAX_NAME);
        for name in ["new", &long] {
            let left = unfinished(OsStr::new(name)).into_string().expect("text");
            for way in WAYS {
                let (root, rootfs) = root_with(&[("from", "whole"), (&left, "mine")]);
                let made = way(&Place::of(&rootfs), Path::new(name));
                assert_eq!(made, Err(IN_THE_WAY));
                let left = fs::read_to_string(root.path().join(&left));
                assert_eq!(left.expect("is there"), "mine");
                assert!(!root.path().join(name).exists());
            }
        }
    }

    #[test]
    fn what_a_killed_commit_left_of_the_same_thing_is_made_again() {
        let leave: [fn(&Path); 4] = [
            |left| fs::write(left, "wh").expect("a file"),
            |left| fs::write(left, "whole").expect("a file"),
            |left| std::os::unix::fs::symlink("target", left).expect("a link"),
            |left| fs::create_dir(left).expect("a directory"),
        ];
        for (way, leave) in WAYS.into_iter().zip(leave) {
            let (root, rootfs) = root_with(&[("from", "whole")]);
            let left = root.path().join(unfinished(OsStr::new("new")));
            leave(&left);
            way(&Place::of(&rootfs), Path::new("new")).expect("makes");
            assert!(root.path().join("new").symlink_metadata().is_ok());
            assert!(left.symlink_metadata().is_err());
        }
    }

    #[test]
    fn a_tree_is_a_copy_only_of_what_has_all_of_it() {
        let files = [("from/a", "a"), ("from/d/b", "b"), ("copy/d/b", "b")];
        let (root, rootfs) = root_with(&files);
        let place = Place::of(&rootfs);
        let is_copy = || place.is_copied_from(Path::new("copy"), Path::new("from"));
        assert_eq!(is_copy(), Ok(true));
        fs::write(root.path().join("copy/.a.osderive-new"), "").expect("a file");
        assert_eq!(is_copy(), Ok(true));
        for (path, content) in [("copy/mine", "x"), ("copy/a", "other")] {
            let path = root.path().join(path);
            fs::write(&path, content).expect("a file");
            assert_eq!(is_copy(), Ok(false));
            fs::remove_file(path).expect("removes");
        }
    }

    #[test]
    fn what_was_written_since_it_was_listed_is_not_removed() {
        let files = [
            ("top/a", "a"),
            ("top/b", "b"),
            ("top/d/old", ""),
            ("top/gone", ""),
        ];
        let (root, rootfs) = root_with(&files);
        let path = |name: &str| root.path().join("top").join(name);
        fs::hard_link(path("a"), path("a-too")).expect("a link");
        let place = Place::of(&rootfs);
        let listed = place.walk(Path::new("top")).expect("lists");
        fs::write(path("b"), "new").expect("a file");
        fs::write(path("d/new"), "new").expect("a file");
        fs::remove_file(path("gone")).expect("removes");
        let written = place.remove_listed(&listed).expect("removes");
        let expected = ["top/d", "top/b", "top"].map(PathBuf::from);
        assert_eq!(written, expected);
        for (name, is_left) in [
            ("a", false),
            ("a-too", false),
            ("d/old", false),
            ("d/new", true),
        ] {
            assert_eq!(path(name).exists(), is_left, "{name}");
        }
    }
}
