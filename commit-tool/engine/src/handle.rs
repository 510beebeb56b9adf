//! Directory handles that cannot leave the root file system: never through a link, never across a
//! mount. Every look at an entry goes through here too.

use std::{
    ffi::{OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use rustix::{
    buffer::spare_capacity,
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, RawDir, ResolveFlags, SeekFrom,
        chmodat, fstat, fstatfs, openat, openat2, seek,
    },
    io::Errno,
    path::DecInt,
};

use crate::unread::heed;

// The fuzz targets have this file under another path.
#[path = "handle/look.rs"]
mod look;

pub(crate) use look::{Look, Moment, look};

/// How much of a directory is read at once.
const LIST_BYTES: usize = 8 << 10;

/// Handles that a [`Descent`] holds open; deeper levels are reached again through `..`.
const MAX_OPEN: usize = 64;

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A handle that names are looked up in and that cannot be read: the file system opens nothing for it.
const REACH: OFlags = OFlags::PATH
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A handle of an entry that is only looked at: the device or FIFO that it may be hears nothing of it (open(2)).
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// Beneath the directory, through no link and onto no mount.
const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

const HANDLES_OF_PROC: &str = "/proc/self/fd";

/// Bytes of a path that the kernel takes at once, without its end (`PATH_MAX`).
const MAX_PATH: usize = 4095;

/// Opens the entry `name` of a directory as a directory.
///
/// `XDEV` means that it is a mount point, `NOTDIR` or `LOOP` that it is no directory.
pub(crate) fn open_child(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    open_one(directory, name, OPEN)
}

/// Opens a directory by its path below another one, each name as [`open_child`] does.
pub(crate) fn open_below(top: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd, Errno> {
    below(top, path.as_ref(), OPEN)
}

/// The same of a directory in which names are looked up, and that is not read.
pub(crate) fn reach_below(top: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Errno> {
    below(top, path, REACH)
}

fn below(top: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    if path.as_os_str().is_empty() {
        // A handle of its own: the root's may be one that cannot be read.
        let opened = openat(top, ".", flags, Mode::empty());
        return heed(top, OsStr::new("."), opened);
    }
    if !path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return Err(Errno::INVAL);
    }
    if path.as_os_str().len() <= MAX_PATH {
        let opened = openat2(top, path, flags, Mode::empty(), CONFINED);
        match heed(top, path.as_os_str(), opened) {
            Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
            opened => return opened,
        }
    }
    let mut directory = heed(top, path.as_os_str(), rustix::io::dup(top))?;
    for name in path {
        directory = open_one(directory.as_fd(), name, flags)?;
    }
    Ok(directory)
}

/// Opens the entry `name` of a directory, if it is a regular file, to read it or to change its owner. Nothing else is
/// ever opened: a tape rewinds, a watchdog starts and a FIFO waits when they are.
///
/// `LOOP` means that it is a link, `XDEV` a mount point, `NXIO` anything else.
pub(crate) fn open_file(directory: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    open_regular(directory, name, READ)
}

/// The same, to write into it.
pub(crate) fn open_file_to_change(
    directory: BorrowedFd<'_>,
    name: &OsStr,
) -> Result<OwnedFd, Errno> {
    open_regular(directory, name, READ | OFlags::RDWR)
}

fn open_regular(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let found = open_one(directory, name, LOOK | OFlags::NOFOLLOW)?;
    match file_type(&found)? {
        FileType::RegularFile => {
            let again = || openat(directory, name, flags | OFlags::NOFOLLOW, Mode::empty());
            heed(directory, name, reopen(&found, flags, again))
        }
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::NXIO),
    }
}

/// Sets the permission bits of the entry `name` of a directory, without opening it. `LOOP` means that it is a link.
pub(crate) fn set_mode(directory: BorrowedFd<'_>, name: &OsStr, mode: Mode) -> Result<(), Errno> {
    let found = open_one(directory, name, LOOK | OFlags::NOFOLLOW)?;
    if file_type(&found)? == FileType::Symlink {
        return Err(Errno::LOOP);
    }
    match handles_of_proc() {
        Some(handles) => chmodat(handles, number_of(&found), mode, AtFlags::empty()),
        None => chmodat(directory, name, mode, AtFlags::empty()),
    }
}

fn file_type(found: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(found)?.st_mode))
}

/// Opens a regular file that was looked at. Without /proc it has to be found `again`, and `STALE` means
/// that something else stands there now.
fn reopen(
    found: &OwnedFd,
    flags: OFlags,
    again: impl FnOnce() -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    if let Some(handles) = handles_of_proc() {
        return openat(handles, number_of(found), flags, Mode::empty());
    }
    let opened = again()?;
    if FileId::of(opened.as_fd())? == FileId::of(found.as_fd())? {
        Ok(opened)
    } else {
        Err(Errno::STALE)
    }
}

fn number_of(handle: impl AsFd) -> DecInt {
    DecInt::from_fd(handle.as_fd())
}

/// A path that leads to what a handle is of; none where no /proc is mounted.
pub(crate) fn path_in_proc(handle: impl AsFd) -> Option<PathBuf> {
    handles_of_proc()?;
    Some(Path::new(HANDLES_OF_PROC).join(number_of(handle)))
}

/// The directory with the handles of this process; none where no /proc is mounted. A root file system may hold
/// any files in its place.
fn handles_of_proc() -> Option<BorrowedFd<'static>> {
    static HANDLES: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let open = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handles = openat(CWD, HANDLES_OF_PROC, flags, Mode::empty()).ok()?;
        (fstatfs(&handles).ok()?.f_type == PROC_SUPER_MAGIC).then_some(handles)
    };
    HANDLES.get_or_init(open).as_ref().map(AsFd::as_fd)
}

/// Reads the entry `name` of a directory; none when it is no regular file or a mount point.
///
/// `FBIG` means that it has more than `limit` bytes.
pub fn read_regular(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    limit: u64,
) -> Result<Option<Vec<u8>>, Errno> {
    match open_file(directory, name) {
        Ok(file) => read_all(&file, limit),
        Err(Errno::LOOP | Errno::XDEV | Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file by its path, following links as a system that runs on this root would; none when
/// there is no such regular file, it is too large, or the kernel cannot confine links.
pub(crate) fn read_in_root(root: BorrowedFd<'_>, path: &OsStr, limit: u64) -> Option<Vec<u8>> {
    heed(root, path, read_all(&open_in_root(root, path)?, limit)).ok()?
}

/// Opens a file for reading, which is reached in the same way.
pub(crate) fn open_in_root(root: BorrowedFd<'_>, path: &OsStr) -> Option<OwnedFd> {
    let open = |flags| openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    let reached = || {
        let found = open(LOOK)?;
        if file_type(&found)? != FileType::RegularFile {
            return Ok(None);
        }
        reopen(&found, READ, || open(READ)).map(Some)
    };
    heed(root, path, reached()).ok()?
}

/// Opens a directory, which is reached as in [`read_in_root`]; none when there is no such directory.
pub(crate) fn directory_in_root(root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    let flags = READ | OFlags::DIRECTORY;
    let opened = openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    heed(root, path.as_os_str(), opened).ok()
}

/// Reads an entry of a directory that stands at `path`, as [`read_in_root`] does: only for a link the way to it
/// is gone again.
pub(crate) fn read_listed(
    root: BorrowedFd<'_>,
    path: &Path,
    directory: BorrowedFd<'_>,
    name: &OsStr,
    limit: u64,
) -> Option<Vec<u8>> {
    match open_file(directory, name) {
        Ok(file) => heed(directory, name, read_all(&file, limit)).ok()?,
        Err(Errno::LOOP) => read_in_root(root, path.join(name).as_os_str(), limit),
        Err(_) => None,
    }
}

fn read_all(file: &OwnedFd, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
    let found = fstat(file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    // One byte more than it has: a read that does not fill the room is the last.
    let size = u64::try_from(found.st_size).unwrap_or(0).min(limit);
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    while content.len() as u64 <= limit {
        content.reserve(1);
        let room = content.capacity() - content.len();
        if rustix::io::read(file, spare_capacity(&mut content))? < room {
            return Ok(Some(content));
        }
    }
    Err(Errno::FBIG)
}

fn open_one(directory: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    debug_assert!(!name.as_encoded_bytes().contains(&b'/') && name != ".." && name != ".");
    match heed(
        directory,
        name,
        openat2(directory, name, flags, Mode::empty(), CONFINED),
    ) {
        // Kernels before 5.6 have no openat2, and old seccomp profiles answer EPERM. A single
        // name with O_NOFOLLOW stays beneath all the same.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => heed(
            directory,
            name,
            openat(directory, name, flags, Mode::empty()),
        ),
        opened => opened,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let found = fstat(directory)?;
        Ok(Self {
            device: found.st_dev,
            inode: found.st_ino,
        })
    }
}

struct Level {
    handle: Option<OwnedFd>,
    id: FileId,
}

/// A way down a directory tree, of any depth with a bounded number of handles.
pub(crate) struct Descent {
    /// Never empty; the last level's handle is always open.
    levels: Vec<Level>,
}

impl Descent {
    /// Begins at an open directory.
    pub(crate) fn from(top: OwnedFd) -> Result<Self, Errno> {
        let id = FileId::of(top.as_fd())?;
        Ok(Self {
            levels: vec![Level {
                handle: Some(top),
                id,
            }],
        })
    }

    /// The directory that was entered last.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        match self.levels.last() {
            Some(Level {
                handle: Some(handle),
                ..
            }) => handle.as_fd(),
            _ => unreachable!("the last level is open"),
        }
    }

    /// Goes one level down.
    pub(crate) fn enter(&mut self, name: &OsStr) -> Result<(), Errno> {
        let handle = open_child(self.directory(), name)?;
        let id = FileId::of(handle.as_fd())?;
        self.levels.push(Level {
            handle: Some(handle),
            id,
        });
        if let Some(distant) = self.levels.len().checked_sub(MAX_OPEN + 1)
            && distant > 0
        {
            self.levels[distant].handle = None;
        }
        Ok(())
    }

    /// Goes one level up, to the very directory that was entered before: `STALE` when the tree
    /// was moved meanwhile.
    pub(crate) fn leave(&mut self) -> Result<(), Errno> {
        let above = self.levels.len() - 2;
        if self.levels[above].handle.is_none() {
            let opened = openat(self.directory(), "..", OPEN, Mode::empty());
            let parent = heed(self.directory(), OsStr::new(".."), opened)?;
            if FileId::of(parent.as_fd())? != self.levels[above].id {
                return Err(Errno::STALE);
            }
            self.levels[above].handle = Some(parent);
        }
        self.levels.pop();
        Ok(())
    }
}

/// The names in a directory, sorted by their bytes.
pub(crate) fn sorted_names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    list(directory, |name, _| names.push(name.to_owned()))?;
    names.sort_unstable();
    Ok(names)
}

/// Hears of each entry of a directory with its type, which is `Unknown` on some file systems.
pub(crate) fn list(
    directory: BorrowedFd<'_>,
    mut hear: impl FnMut(&OsStr, FileType),
) -> Result<(), Errno> {
    // The handle is read from its beginning, whoever has read from it before.
    seek(directory, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            hear(OsStr::from_bytes(name), entry.file_type());
        }
    }
    Ok(())
}

/// The error number behind a standard error.
pub fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    const DEEPER_THAN_HANDLES: usize = 3 * MAX_OPEN;

    fn open(path: &Path) -> OwnedFd {
        fs::File::open(path).expect("opens").into()
    }

    fn nested(top: &Path, depth: usize) -> std::path::PathBuf {
        let path = (0..depth).fold(top.to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&path).expect("directories");
        path
    }

    #[test]
    fn a_way_down_and_up_ends_where_it_began() {
        let top = tempfile::tempdir().expect("a directory");
        nested(top.path(), DEEPER_THAN_HANDLES);
        let mut descent = Descent::from(open(top.path())).expect("begins");
        let begin = FileId::of(descent.directory()).expect("an id");
        for _ in 0..DEEPER_THAN_HANDLES {
            descent.enter(OsStr::new("d")).expect("enters");
        }
        let held = descent.levels.iter().filter(|level| level.handle.is_some());
        assert!(held.count() <= MAX_OPEN + 1);
        for _ in 0..DEEPER_THAN_HANDLES {
            descent.leave().expect("leaves");
        }
        assert!(FileId::of(descent.directory()).expect("an id") == begin);
    }

    #[test]
    fn a_tree_that_was_moved_away_is_not_followed_upwards() {
        let top = tempfile::tempdir().expect("a directory");
        let elsewhere = tempfile::tempdir().expect("a directory");
        nested(top.path(), DEEPER_THAN_HANDLES);
        let mut descent = Descent::from(open(top.path())).expect("begins");
        for _ in 0..DEEPER_THAN_HANDLES {
            descent.enter(OsStr::new("d")).expect("enters");
        }
        let moved = nested(top.path(), 10);
        fs::rename(moved, elsewhere.path().join("moved")).expect("moves");
        let outcome = (0..DEEPER_THAN_HANDLES).try_for_each(|_| descent.leave());
        assert_eq!(outcome, Err(Errno::STALE));
    }

    #[test]
    fn a_link_is_never_opened() {
        let top = tempfile::tempdir().expect("a directory");
        symlink("/", top.path().join("out")).expect("a link");
        let opened = open_child(open(top.path()).as_fd(), OsStr::new("out"));
        assert!(matches!(opened, Err(Errno::LOOP | Errno::NOTDIR)));
    }
}
