//! A root file system in a directory. Every path is resolved by the kernel inside of that directory
//! (openat2(2)); what other file systems are mounted on it is not looked at.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags, openat2, readlinkat,
    statx,
};
use rustix::io::Errno;

use super::{Entry, Gathered, Kind, Meta, Seekable, Tree, within};
use crate::budget::{self, Budget};

/// How much of a directory is read at once.
const LIST_BYTES: usize = 32 << 10;

/// Longer paths are opened in parts: the kernel takes less than 4096 bytes at a time (`PATH_MAX`).
const MAX_PATH: usize = 3 << 10;

/// What the budget has for each entry, and for each byte that the disk has of it: only an initramfs is unpacked.
const PER_ENTRY: u64 = 64 << 10;
const PER_STORED_BYTE: u64 = 16;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// As a system that runs on the root resolves paths.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Through no link and onto no mount: for the walk.
const CONFINED: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// A root file system in a directory.
#[derive(Debug)]
pub struct Rootfs {
    root: OwnedFd,
    /// The mount that the root is on.
    mount: u64,
    budget: Budget,
}

impl Rootfs {
    /// Opens a directory as a root.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?.into())
    }

    /// Takes an open directory as a root.
    ///
    /// # Errors
    /// When it is none, or cannot be looked at.
    pub fn of(root: OwnedFd) -> io::Result<Self> {
        let meta = statx(&root, "", AtFlags::EMPTY_PATH, WANTED)?;
        if FileType::from_raw_mode(meta.stx_mode.into()) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        Ok(Self {
            mount: meta.stx_mnt_id,
            root,
            budget: Budget::default(),
        })
    }

    /// Opens a directory by its path from the root, however long.
    fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let mut parts = parts(path).into_iter();
        let first = parts.next().unwrap_or(b".");
        let mut opened = open(self.root.as_fd(), first, DIRECTORY, CONFINED)?;
        for part in parts {
            opened = open(opened.as_fd(), part, DIRECTORY, CONFINED)?;
        }
        Ok(opened)
    }

    fn at(&self, path: &[u8], flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let names = path.split(|&byte| byte == b'/').count() as u64;
        let spent = self.budget.spend(budget::CALL + names * budget::STEP);
        spent.inspect_err(|error| self.budget.note(&[b"/", path].concat(), error))?;
        let path = if path.is_empty() { b"." } else { path };
        match open(self.root.as_fd(), path, flags | OFlags::CLOEXEC, INSIDE) {
            Ok(opened) => Ok(Some(opened)),
            // A link in a circle leads nowhere.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn meta_at(&self, path: &[u8], flags: OFlags) -> io::Result<Option<Meta>> {
        let Some(entry) = self.at(path, flags | OFlags::PATH)? else {
            return Ok(None);
        };
        Ok(Some(meta(&statx(&entry, "", AtFlags::EMPTY_PATH, WANTED)?)))
    }

    /// The regular file that a path leads to, with its bytes.
    fn file(&self, path: &[u8]) -> io::Result<Option<(File, u64)>> {
        // A FIFO must not be opened to read: it would wait for a writer.
        let Some(meta) = self.meta_at(path, OFlags::empty())? else {
            return Ok(None);
        };
        if meta.kind != Kind::File {
            let kind = meta.kind.name();
            return Err(io::Error::other(format!("it is a {kind}, not a file")));
        }
        let opened = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        Ok(opened.map(|file| (File::from(file), meta.size)))
    }

    fn read_directory(
        &self,
        path: &[u8],
        buffer: &mut Vec<u8>,
        visit: &(dyn Fn(&Entry<'_>, &mut Gathered) + Sync),
        gathered: &mut Gathered,
    ) -> Vec<Vec<u8>> {
        let mut below = Vec::new();
        let directory = match self.directory(path) {
            Ok(directory) => directory,
            // A mount, or gone since its parent was listed.
            Err(Errno::XDEV | Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return below,
            Err(error) => {
                gathered.unread.insert(path.to_vec(), error.to_string());
                return below;
            }
        };
        let mut entry_path = path.to_vec();
        if !path.is_empty() {
            entry_path.push(b'/');
        }
        let prefix = entry_path.len();
        let mut list = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = list.next() {
            let name = match &entry {
                Ok(entry) => entry.file_name(),
                Err(error) => {
                    gathered.unread.insert(path.to_vec(), error.to_string());
                    break;
                }
            };
            if [b".".as_slice(), b".."].contains(&name.to_bytes()) {
                continue;
            }
            entry_path.truncate(prefix);
            entry_path.extend(name.to_bytes());
            let seen = match statx(&directory, name, AtFlags::SYMLINK_NOFOLLOW, WANTED) {
                Ok(seen) => seen,
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    gathered
                        .unread
                        .insert(entry_path.clone(), error.to_string());
                    continue;
                }
            };
            if seen.stx_mnt_id != self.mount {
                continue;
            }
            let stored = seen.stx_blocks.saturating_mul(512) / u64::from(seen.stx_nlink.max(1));
            self.budget
                .allow(PER_ENTRY.saturating_add(stored.saturating_mul(PER_STORED_BYTE)));
            let meta = meta(&seen);
            let target = (meta.kind == Kind::Symlink)
                .then(|| readlinkat(&directory, name, Vec::new()).ok())
                .flatten();
            let entry = Entry {
                path: &entry_path,
                meta: &meta,
                target: target.as_ref().map(|target| target.to_bytes()),
            };
            gathered.note(&entry);
            visit(&entry, gathered);
            if meta.kind == Kind::Directory {
                below.push(entry_path.clone());
            }
        }
        below
    }
}

impl Tree for Rootfs {
    fn walk(&self, visit: &(dyn Fn(&Entry<'_>, &mut Gathered) + Sync)) -> Gathered {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let queue = Queue::new(threads);
        let work = || {
            let mut gathered = Gathered::default();
            let mut buffer = Vec::with_capacity(LIST_BYTES);
            let mut own = Vec::new();
            while let Some(path) = own.pop().or_else(|| queue.take()) {
                own.extend(self.read_directory(&path, &mut buffer, visit, &mut gathered));
                queue.share(&mut own);
            }
            gathered
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut all = work();
            for other in others {
                match other.join() {
                    Ok(gathered) => all.merge(gathered),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            all
        })
    }

    fn look(&self, path: &[u8]) -> io::Result<Option<Meta>> {
        self.meta_at(path, OFlags::NOFOLLOW)
    }

    fn follow(&self, path: &[u8]) -> io::Result<Option<Meta>> {
        self.meta_at(path, OFlags::empty())
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.file(path)? else {
            return Ok(None);
        };
        within(size, limit)?;
        // It may be millions of accounts: no more room than they need.
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        file.take(limit).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Read + '_>>> {
        let file = self.file(path)?;
        Ok(file.map(|(file, _)| Box::new(file) as Box<dyn Read>))
    }

    fn open_seekable(&self, path: &[u8], limit: u64) -> io::Result<Option<Box<dyn Seekable + '_>>> {
        let Some((file, size)) = self.file(path)? else {
            return Ok(None);
        };
        within(size, limit)?;
        Ok(Some(Box::new(file)))
    }

    fn target(&self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let Some(entry) = self.at(path, OFlags::PATH | OFlags::NOFOLLOW)? else {
            return Ok(None);
        };
        match readlinkat(&entry, "", Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            // What is no link (readlinkat(2) with an empty path).
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK;
        let Some(directory) = self.at(path, flags)? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        let mut buffer = Vec::with_capacity(LIST_BYTES);
        let mut list = RawDir::new(&directory, buffer.spare_capacity_mut());
        while let Some(entry) = list.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if ![b".".as_slice(), b".."].contains(&name) {
                names.push(name.to_vec());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn open(
    from: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    loop {
        match openat2(from, path, flags, Mode::empty(), resolve) {
            // The tree was renamed about while the kernel looked (openat2(2)).
            Err(Errno::AGAIN) => {}
            opened => return opened,
        }
    }
}

/// A path in parts that the kernel takes, each a whole number of components.
fn parts(path: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = path;
    while rest.len() > MAX_PATH {
        let Some(cut) = rest[..MAX_PATH].iter().rposition(|&byte| byte == b'/') else {
            break;
        };
        parts.push(&rest[..cut]);
        rest = &rest[cut + 1..];
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn meta(seen: &Statx) -> Meta {
    let kind = match FileType::from_raw_mode(seen.stx_mode.into()) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharacterDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::RegularFile | FileType::Unknown => Kind::File,
    };
    Meta {
        kind,
        mode: u32::from(seen.stx_mode) & 0o7777,
        uid: seen.stx_uid,
        gid: seen.stx_gid,
        size: seen.stx_size,
        links: seen.stx_nlink.into(),
        inode: seen.stx_ino,
        device: (seen.stx_rdev_major, seen.stx_rdev_minor),
    }
}

/// Directories that no thread has taken yet.
struct Queue {
    paths: Mutex<VecDeque<Vec<u8>>>,
    changed: Condvar,
    /// Threads that wait for a directory. When all do, there is none left.
    idle: AtomicUsize,
    threads: usize,
}

impl Queue {
    /// One that holds the root.
    fn new(threads: usize) -> Self {
        Self {
            paths: Mutex::new(VecDeque::from([Vec::new()])),
            changed: Condvar::new(),
            idle: AtomicUsize::new(0),
            threads,
        }
    }

    /// A directory for a thread that has none; nothing once all are read.
    fn take(&self) -> Option<Vec<u8>> {
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        self.idle.fetch_add(1, Ordering::Relaxed);
        loop {
            if let Some(path) = paths.pop_front() {
                self.idle.fetch_sub(1, Ordering::Relaxed);
                return Some(path);
            }
            if self.idle.load(Ordering::Relaxed) == self.threads {
                self.changed.notify_all();
                return None;
            }
            paths = (self.changed.wait(paths)).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives half of a thread's directories to one that waits, those nearest to the root.
    fn share(&self, own: &mut Vec<Vec<u8>>) {
        if own.len() < 2 || self.idle.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        paths.extend(own.drain(..own.len() / 2));
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn paths(tree: &Rootfs) -> BTreeSet<String> {
        let all = Mutex::new(BTreeSet::new());
        tree.walk(&|entry, _| {
            let path = String::from_utf8_lossy(entry.path).into_owned();
            all.lock().expect("no panic").insert(path);
        });
        all.into_inner().expect("no panic")
    }

    #[test]
    fn the_walk_comes_to_each_entry_once_and_through_no_link() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(root.path().join("a/b/c")).expect("directories");
        fs::write(root.path().join("a/b/file"), "").expect("a file");
        symlink("/", root.path().join("a/up")).expect("a link");
        symlink("loop", root.path().join("loop")).expect("a link");
        let tree = Rootfs::open(root.path()).expect("a root");
        let found = paths(&tree);
        let expected = ["a", "a/b", "a/b/c", "a/b/file", "a/up", "loop"];
        assert_eq!(found, expected.map(str::to_owned).into());
        let gathered = tree.walk(&|_, _| {});
        assert_eq!(gathered.entries, 6);
    }

    #[test]
    fn a_thousand_directories_deep_is_no_limit() {
        let root = tempfile::tempdir().expect("a folder");
        let name = "directory-with-a-long-name";
        let mut directory: OwnedFd = File::open(root.path()).expect("a folder").into();
        for _ in 0..1000 {
            rustix::fs::mkdirat(&directory, name, Mode::RWXU).expect("a directory");
            directory = rustix::fs::openat(&directory, name, DIRECTORY, Mode::empty())
                .expect("the directory");
        }
        let tree = Rootfs::open(root.path()).expect("a root");
        let gathered = tree.walk(&|_, _| {});
        assert_eq!((gathered.entries, gathered.unread.len()), (1000, 0));
    }

    #[test]
    fn a_path_resolves_inside_of_the_root() {
        let root = tempfile::tempdir().expect("a folder");
        fs::create_dir(root.path().join("etc")).expect("a directory");
        fs::write(root.path().join("etc/real"), "inside").expect("a file");
        symlink("/etc/real", root.path().join("etc/absolute")).expect("a link");
        symlink("../../../../etc/real", root.path().join("etc/upward")).expect("a link");
        symlink("circle", root.path().join("etc/circle")).expect("a link");
        let tree = Rootfs::open(root.path()).expect("a root");
        for path in ["etc/real", "etc/absolute", "etc/upward", "/etc/real"] {
            let content = tree.read(path.as_bytes(), 100).expect("readable");
            assert_eq!(content.as_deref(), Some(&b"inside"[..]), "{path}");
        }
        assert_eq!(tree.follow(b"etc/circle").expect("an answer"), None);
        let seen = tree.look(b"etc/circle").expect("an answer");
        assert_eq!(seen.expect("a link").kind, Kind::Symlink);
        let target = tree.target(b"etc/absolute").expect("an answer");
        assert_eq!(target.expect("a link"), b"/etc/real");
        assert_eq!(tree.target(b"etc/real").expect("an answer"), None);
        assert_eq!(tree.names(b"etc").expect("a list").len(), 4);
    }

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let root = tempfile::tempdir().expect("a folder");
        let fifo = root.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
        File::create(root.path().join("large"))
            .and_then(|file| file.set_len(2 << 30))
            .expect("a sparse file");
        let tree = Rootfs::open(root.path()).expect("a root");
        for (path, reason) in [("fifo", "FIFO"), ("large", "2147483648 bytes")] {
            let error = tree.read(path.as_bytes(), 1 << 20).expect_err("no content");
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(tree.read(b"missing", 1).expect("an answer"), None);
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        if rustix::process::geteuid().is_root() {
            // Permissions do not stop root: tests/ asks another user.
            return;
        }
        let root = tempfile::tempdir().expect("a folder");
        let closed = root.path().join("closed");
        fs::create_dir(&closed).expect("a directory");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("a mode");
        let gathered = Rootfs::open(root.path()).expect("a root").walk(&|_, _| {});
        assert!(gathered.unread.contains_key(&b"closed"[..]));
    }
}
