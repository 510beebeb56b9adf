//! The tree that rules look at, wherever it is: a directory, the running container, the layers of an
//! archive. Rules see entries and answers to questions about paths, never where they come from.

mod index;
mod layer;
mod layered;
mod rootfs;
mod stack;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};

use crate::budget::Budget;

pub use layered::Layered;
pub use rootfs::Rootfs;
pub use stack::{Access, Buried, BuriedFiles, FarLink, Layer, Stack};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// The name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Symlink => "symbolic link",
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
        }
    }
}

/// What is known of an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Bytes of a regular file, length of a link's target.
    pub size: u64,
    /// How many names it has.
    pub links: u64,
    /// A number that all names of one file share, and no other file.
    pub inode: u64,
    /// A device's major and minor number.
    pub device: (u32, u32),
}

impl Meta {
    /// Whether somebody may execute it.
    pub fn is_executable(&self) -> bool {
        self.kind == Kind::File && self.mode & 0o111 != 0
    }
}

/// An entry that the walk has come to.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its path relative to the root, without a slash at either end; any bytes.
    pub path: &'a [u8],
    /// What is known of it.
    pub meta: &'a Meta,
    /// What a link leads to, as it stands.
    pub target: Option<&'a [u8]>,
}

impl Entry<'_> {
    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.path
            .rsplit(|&byte| byte == b'/')
            .next()
            .unwrap_or(self.path)
    }

    /// The path below `directory`, which has no slash at either end; none if it is not below.
    pub fn below(&self, directory: &str) -> Option<&[u8]> {
        self.path
            .strip_prefix(directory.as_bytes())?
            .strip_prefix(b"/")
    }

    /// Whether it is an entry of the root directory itself.
    pub fn is_top_level(&self) -> bool {
        !self.path.contains(&b'/')
    }
}

/// A source of which any part can be read.
pub trait Seekable: Read + Seek {}

impl<T: Read + Seek> Seekable for T {}

/// A root file system to look at. Paths are relative to its root and are resolved as a system that
/// runs on it would, never outside.
pub trait Tree: Sync {
    /// Calls `visit` once for each entry, in any order and from several threads, each with a
    /// [`Gathered`] of its own; returns all of them as one.
    fn walk(&self, visit: &(dyn Fn(&Entry<'_>, &mut Gathered) + Sync)) -> Gathered;

    /// What is at a path; a link at its end is not followed. None when there is nothing.
    ///
    /// # Errors
    /// When the tree cannot tell.
    fn look(&self, path: &[u8]) -> io::Result<Option<Meta>>;

    /// What a path leads to, all links followed. None when there is nothing.
    ///
    /// # Errors
    /// When the tree cannot tell.
    fn follow(&self, path: &[u8]) -> io::Result<Option<Meta>>;

    /// The content of the regular file that a path leads to. None when there is nothing.
    ///
    /// # Errors
    /// When it is no regular file, has more than `limit` bytes, or cannot be read.
    fn read(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>>;

    /// The regular file that a path leads to, to be read as a stream: for what may be large. None when
    /// there is nothing.
    ///
    /// # Errors
    /// When it is no regular file, or cannot be opened.
    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// The same, to be read in any order: for databases. Where a tree has streams alone, the content goes into a file
    /// without a name first.
    ///
    /// # Errors
    /// When it is no regular file, has more than `limit` bytes, or cannot be read.
    fn open_seekable(&self, path: &[u8], limit: u64) -> io::Result<Option<Box<dyn Seekable + '_>>> {
        let Some(stream) = self.open(path)? else {
            return Ok(None);
        };
        let mut file = unnamed()?;
        let size = io::copy(&mut stream.take(limit + 1), &mut file)?;
        within(size, limit)?;
        file.rewind()?;
        Ok(Some(Box::new(file)))
    }

    /// The target of the link at a path. None when there is no link.
    ///
    /// # Errors
    /// When the tree cannot tell.
    fn target(&self, path: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// The names in the directory that a path leads to, sorted; none where there is no directory.
    ///
    /// # Errors
    /// When it cannot be read.
    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>>;

    /// What looking at it may cost; all that the methods above do counts.
    fn budget(&self) -> &Budget;

    /// The layers that the tree adds up from; none where it is no image.
    fn layers(&self) -> Option<&Stack> {
        None
    }

    /// The layer that brought what is at a path last, by its place among [`Tree::layers`]; links are
    /// not followed.
    fn layer_of(&self, path: &[u8]) -> Option<usize> {
        let _ = path;
        None
    }
}

/// A file that goes when it is closed: on disk, or in memory where no file can be without a name.
fn unnamed() -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = openat(CWD, std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR);
    let file = file.or_else(|_| memfd_create("database", MemfdFlags::CLOEXEC))?;
    Ok(file.into())
}

/// That something has no more bytes than are wanted.
fn within(size: u64, limit: u64) -> io::Result<()> {
    if size > limit {
        let error = format!("it has {size} bytes, more than {limit}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(())
}

/// Where a link at `path` with `target` leads, by the names alone: as if no directory on the way were
/// a link. Relative to the root, without `.`, `..` and slashes too many.
pub fn destination(path: &[u8], target: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        names.extend(path.split(|&byte| byte == b'/'));
        names.pop();
    }
    for name in target.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join(&b'/')
}

/// Paths that a rule or a list keeps at most; those that sort first.
pub const MAX_PATHS: usize = 10_000;

/// Bytes at the beginning of a program that say what runs it: as many as the kernel looks at
/// (`BINPRM_BUF_SIZE`).
pub const PROGRAM_START: u64 = 256;

/// Bytes of a script that is read at most; what has more is a program with a script before it.
pub const MAX_SCRIPT: u64 = 64 << 10;

/// Bytes from which on a file is worth a look for duplicates.
pub const LARGE: u64 = 1 << 20;

/// A number of paths, of which the first are known by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// How many there are.
    pub count: u64,
    /// The first [`MAX_PATHS`] in their order.
    pub first: BTreeSet<Vec<u8>>,
}

impl Paths {
    /// Adds one.
    pub fn add(&mut self, path: &[u8]) {
        self.count += 1;
        self.keep(path.to_vec());
    }

    fn keep(&mut self, path: Vec<u8>) {
        if self.first.len() == MAX_PATHS {
            let is_later = self.first.last().is_some_and(|last| *last <= path);
            if is_later {
                return;
            }
            self.first.pop_last();
        }
        self.first.insert(path);
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        for path in other.first {
            self.keep(path);
        }
    }
}

/// What one walk gathers for all rules.
#[derive(Debug, Default)]
pub struct Gathered {
    /// How many entries there are.
    pub entries: u64,
    /// By the rule's index in the registry: what its predicate held for.
    pub hits: HashMap<usize, Paths>,
    /// By number: entries of each owner.
    pub users: HashMap<u32, Paths>,
    /// By number: entries of each group.
    pub groups: HashMap<u32, Paths>,
    /// Setuid and setgid files.
    pub set_ids: BTreeMap<Vec<u8>, Meta>,
    /// What is below /var.
    pub var: BTreeMap<Vec<u8>, Meta>,
    /// Files with more than one name, by inode.
    pub linked: HashMap<u64, Paths>,
    /// Files of [`LARGE`] bytes and more, by size.
    pub large: HashMap<u64, Paths>,
    /// By the rule's index: an entry that its predicate panicked at.
    pub broken: BTreeMap<usize, Vec<u8>>,
    /// Directories and entries that could not be read, and why.
    pub unread: BTreeMap<Vec<u8>, String>,
}

impl Gathered {
    /// Takes in what every rule may ask for.
    pub fn note(&mut self, entry: &Entry<'_>) {
        let meta = entry.meta;
        self.entries += 1;
        // Most entries are root's: nothing is ever asked about those.
        if meta.uid != 0 {
            self.users.entry(meta.uid).or_default().add(entry.path);
        }
        if meta.gid != 0 {
            self.groups.entry(meta.gid).or_default().add(entry.path);
        }
        if entry.below("var").is_some() && self.var.len() < MAX_PATHS {
            self.var.insert(entry.path.to_vec(), *meta);
        }
        if meta.kind != Kind::File {
            return;
        }
        if meta.mode & 0o6000 != 0 && self.set_ids.len() < MAX_PATHS {
            self.set_ids.insert(entry.path.to_vec(), *meta);
        }
        if meta.links > 1 {
            self.linked.entry(meta.inode).or_default().add(entry.path);
        }
        if meta.size >= LARGE {
            self.large.entry(meta.size).or_default().add(entry.path);
        }
    }

    /// Takes in what another thread has gathered.
    pub fn merge(&mut self, other: Self) {
        self.entries += other.entries;
        merge_paths(&mut self.hits, other.hits);
        merge_paths(&mut self.users, other.users);
        merge_paths(&mut self.groups, other.groups);
        merge_paths(&mut self.linked, other.linked);
        merge_paths(&mut self.large, other.large);
        self.set_ids.extend(other.set_ids);
        self.var.extend(other.var);
        self.broken.extend(other.broken);
        self.unread.extend(other.unread);
    }
}

fn merge_paths<K: Eq + std::hash::Hash>(into: &mut HashMap<K, Paths>, from: HashMap<K, Paths>) {
    for (key, paths) in from {
        into.entry(key).or_default().merge(paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_its_names_say() {
        let cases: [(&str, &str, &str); 6] = [
            ("etc/a", "b", "etc/b"),
            ("etc/a", "../usr/b", "usr/b"),
            ("a", "../../b", "b"),
            ("a/b/c", "/d//./e/", "d/e"),
            ("a/b", "..", ""),
            ("a/b", "", "a"),
        ];
        for (path, target, end) in cases {
            let found = destination(path.as_bytes(), target.as_bytes());
            assert_eq!(found, end.as_bytes(), "{path} -> {target}");
        }
    }

    #[test]
    fn the_first_paths_are_kept_whatever_the_order() {
        let mut paths = Paths::default();
        for number in (0..MAX_PATHS + 5).rev() {
            paths.add(format!("{number:06}").as_bytes());
        }
        assert_eq!(paths.count, 10_005);
        assert_eq!(paths.first.len(), MAX_PATHS);
        assert_eq!(paths.first.first().expect("a path"), b"000000");
    }
}
