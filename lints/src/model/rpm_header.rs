//! The header of an installed package as rpm's database has it (rpm's `lib/header.cc`, `hdrblobInit`): how many entries
//! and bytes, the entries, the bytes. Nothing is copied; what does not fit together is left out.

use thiserror::Error;

use crate::tree::Kind;

/// Bytes of an entry: tag, type, place and count.
const ENTRY: usize = 16;

/// Directories of a package at most; the largest have some ten thousand.
const MAX_DIRECTORIES: usize = 1 << 18;

/// A path is no longer (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// Types of values (`include/rpm/rpmtypes.h`).
const CHAR: u32 = 1;
const INT8: u32 = 2;
const INT16: u32 = 3;
const INT32: u32 = 4;
const INT64: u32 = 5;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// What a header says (`include/rpm/rpmtag.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    /// The package's name.
    Name = 1000,
    /// What runs before its files are there.
    PreIn = 1023,
    /// What runs after.
    PostIn = 1024,
    /// What became of each file.
    FileStates = 1029,
    /// Type and permission bits.
    FileModes = 1030,
    /// What links lead to.
    FileLinkTos = 1036,
    /// What files are to rpm, such as configuration.
    FileFlags = 1037,
    /// Owners' names.
    FileUserName = 1039,
    /// Groups' names.
    FileGroupName = 1040,
    /// What others may require of it.
    ProvideName = 1047,
    /// Times of the changes, the latest first.
    ChangelogTime = 1080,
    /// Of each file, the number of its directory.
    DirIndexes = 1116,
    /// Of each file, its last component.
    BaseNames = 1117,
    /// Directories, with a slash at the end.
    DirNames = 1118,
    /// What runs before the transaction.
    PreTrans = 1151,
    /// What runs after it.
    PostTrans = 1152,
}

/// Flags of files (`include/rpm/rpmfiles.h`).
const CONFIG: u64 = 1;
const GHOST: u64 = 1 << 6;

/// States of files: what rpm has put there, and what is there but was not put by it.
const NORMAL: u64 = 0;
const NET_SHARED: u64 = 3;

/// That bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no header of a package")]
pub struct NoHeader;

/// A header.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    entries: &'a [u8],
    data: &'a [u8],
}

/// What a package says of one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// What it is.
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Its owner's name.
    pub user: &'a [u8],
    /// Its group's name.
    pub group: &'a [u8],
    /// What a symbolic link leads to.
    pub target: Option<&'a [u8]>,
    /// Whether it is the package's configuration (`%config`).
    pub is_configuration: bool,
    /// Whether the package has put it there: not what it only knows of (`%ghost`), and not what was left out.
    pub is_installed: bool,
}

impl<'a> Header<'a> {
    /// Reads a header.
    ///
    /// # Errors
    /// When its sizes are not those of the bytes.
    pub fn parse(blob: &'a [u8]) -> Result<Self, NoHeader> {
        let size = |at: usize| {
            let word = blob.get(at..)?.first_chunk()?;
            usize::try_from(u32::from_be_bytes(*word)).ok()
        };
        let sizes = size(0).zip(size(4)).ok_or(NoHeader)?;
        let entries = sizes.0.checked_mul(ENTRY).ok_or(NoHeader)?;
        let (entries, data) = blob[8..].split_at_checked(entries).ok_or(NoHeader)?;
        if data.len() != sizes.1 {
            return Err(NoHeader);
        }
        Ok(Self { entries, data })
    }

    /// The type of an entry's values, how many there are, and what the header has from the first one on.
    fn entry(&self, tag: Tag) -> Option<(u32, usize, &'a [u8])> {
        let (entries, _) = self.entries.as_chunks::<ENTRY>();
        let word = |entry: &[u8; ENTRY], at: usize| {
            u32::from_be_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        // What the installation has added stands behind what the package brought, and replaces it.
        let entry = entries.iter().rfind(|entry| word(entry, 0) == tag as u32)?;
        let place = usize::try_from(word(entry, 8)).ok()?;
        let count = usize::try_from(word(entry, 12)).ok()?;
        Some((word(entry, 4), count, self.data.get(place..)?))
    }

    /// Text: the first, where there is more.
    pub fn string(&self, tag: Tag) -> Option<&'a [u8]> {
        self.strings(tag).next()
    }

    /// Texts.
    pub fn strings(&self, tag: Tag) -> impl Iterator<Item = &'a [u8]> {
        let (count, mut data) = match self.entry(tag) {
            Some((STRING, _, data)) => (1, data),
            Some((STRING_ARRAY | I18N_STRING, count, data)) => (count, data),
            _ => (0, &[][..]),
        };
        let next = move || {
            let end = data.iter().position(|&byte| byte == 0)?;
            let (text, rest) = data.split_at(end);
            data = &rest[1..];
            Some(text)
        };
        std::iter::from_fn(next).take(count)
    }

    /// Numbers.
    pub fn numbers(&self, tag: Tag) -> impl Iterator<Item = u64> + use<'a> {
        let (kind, count, data) = self.entry(tag).unwrap_or((INT8, 0, &[]));
        let size = match kind {
            CHAR | INT8 => 1,
            INT16 => 2,
            INT32 => 4,
            INT64 => 8,
            _ => data.len() + 1,
        };
        let numbers = data.chunks_exact(size).take(count);
        numbers.map(|bytes| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        })
    }

    /// Visits its entries: their absolute paths, and what it says of each.
    pub fn files(&self, visit: &mut dyn FnMut(&[u8], Option<Attributes<'a>>)) {
        let directories: Vec<&[u8]> = self.strings(Tag::DirNames).take(MAX_DIRECTORIES).collect();
        let places = self.numbers(Tag::DirIndexes);
        let mut all = self.attributes();
        let mut path = Vec::new();
        for (name, place) in self.strings(Tag::BaseNames).zip(places) {
            let attributes = all.next().flatten();
            let directory = usize::try_from(place).ok();
            let directory = directory.and_then(|place| directories.get(place));
            let Some(directory) = directory.filter(|directory| directory.starts_with(b"/")) else {
                continue;
            };
            if !name.contains(&b'/') && directory.len() + name.len() < MAX_PATH {
                path.clear();
                path.extend_from_slice(directory);
                path.extend_from_slice(name);
                visit(&path, attributes);
            }
        }
    }

    /// What it says of its entries, in their order; none of those of which something is missing.
    fn attributes(&self) -> impl Iterator<Item = Option<Attributes<'a>>> {
        let mut modes = self.numbers(Tag::FileModes);
        let mut flags = self.numbers(Tag::FileFlags);
        let mut states = self.numbers(Tag::FileStates);
        let mut users = self.strings(Tag::FileUserName);
        let mut groups = self.strings(Tag::FileGroupName);
        let mut targets = self.strings(Tag::FileLinkTos);
        let next = move || {
            let (mode, user, group) = (modes.next(), users.next(), groups.next());
            let (flags, target) = (flags.next().unwrap_or(0), targets.next());
            // Packages that no rpm has put there, but another tool, have no states.
            let state = states.next().unwrap_or(NORMAL);
            let (mode, user, group) = (mode?, user?, group?);
            let kind = kind(mode);
            Some(Attributes {
                kind,
                mode: u32::try_from(mode & 0o7777).unwrap_or(0),
                user,
                group,
                target: target.filter(|_| kind == Kind::Symlink),
                is_configuration: flags & CONFIG != 0,
                is_installed: flags & GHOST == 0 && [NORMAL, NET_SHARED].contains(&state),
            })
        };
        std::iter::repeat_with(next)
    }
}

/// What a file is by its type bits (inode(7)).
fn kind(mode: u64) -> Kind {
    match mode & 0o170_000 {
        0o040_000 => Kind::Directory,
        0o120_000 => Kind::Symlink,
        0o020_000 => Kind::CharacterDevice,
        0o060_000 => Kind::BlockDevice,
        0o010_000 => Kind::Fifo,
        0o140_000 => Kind::Socket,
        _ => Kind::File,
    }
}

#[cfg(test)]
mod tests;
