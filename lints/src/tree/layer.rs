//! What one layer of an image changes, read from its archive as a stream. Small files of places where
//! rules look are kept; of all others only where they stand.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tar::EntryType;

use super::{Kind, LARGE, MAX_SCRIPT, PROGRAM_START};
use crate::budget::{Budget, is_spent};
use crate::knowledge::secrets::{FACTORY, PRIVATE_KEYS};
use crate::model::secrets;
use crate::oci::{Headers, LayerBlob, Member, Unpacked};

/// Bytes of a file that is kept at most.
const MAX_KEPT_FILE: u64 = 256 << 10;

/// Bytes of a large file that are kept.
const BEGINNING: u64 = 4096;

/// Bytes of all files that are kept at most: of /usr and of package databases, which are read for sure, and as many
/// of what administrators and users have, so that the latter never takes the room of the former.
const MAX_KEPT: u64 = 32 << 20;

/// The same of scripts, of which some are of units and none is told from the others here.
const MAX_KEPT_SCRIPTS: u64 = 8 << 20;

/// Entries of an image at most, and bytes of their names: what an index of them takes in memory has
/// a limit, whatever a layer holds.
const MAX_ENTRIES: u64 = 8 << 20;
const MAX_NAMES: u64 = 512 << 20;

/// Bytes of a path at most: engines unpack by whole paths (`PATH_MAX`), of names of 255 (`NAME_MAX`).
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// Places of small files that rules read.
const KEPT: [&str; 21] = [
    "etc",
    "home",
    "root",
    "usr/etc",
    "usr/lib/bootc",
    "usr/lib/dracut",
    "usr/lib/environment.d",
    "usr/lib/modprobe.d",
    "usr/lib/modules-load.d",
    "usr/lib/ostree",
    "usr/lib/systemd",
    "usr/lib/sysimage/dpkg",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    "usr/share/base-passwd",
    "usr/share/containers/systemd",
    "usr/share/dbus-1",
    "usr/share/polkit-1",
    "var/home",
    "var/lib/dpkg",
    "var/roothome",
];

/// What programs begin with that are no scripts.
const ELF: &[u8] = b"\x7fELF";

/// A whiteout's name begins so (image-spec `layer.md`, "Whiteouts"), one for all that lower layers have
/// in a directory is named [`OPAQUE`]; what else begins with two is AUFS's own.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const AUFS: &[u8] = b".wh..wh.";

/// A change of the tree. Paths are clean: no slash at either end, no `.` and no `..`.
#[derive(Debug)]
pub(super) enum Change {
    /// Takes away what lower layers have at a path, and below it.
    Remove(Vec<u8>),
    /// Takes away what lower layers have in a directory.
    Empty(Vec<u8>),
    /// Puts something at a path.
    Put(Vec<u8>, Box<Put>),
    /// Gives a file that is there a further name.
    Link { path: Vec<u8>, target: Vec<u8> },
    /// Nothing that an engine could do.
    Problem(Vec<u8>, String),
}

/// What is put at a path.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) device: (u32, u32),
    pub(super) size: u64,
    /// What a symbolic link leads to.
    pub(super) target: Vec<u8>,
    pub(super) place: Content,
}

/// Where the content of a file is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In memory.
    Kept(Arc<[u8]>),
    /// In the unpacked layer.
    At {
        /// From this byte on.
        offset: u64,
        /// The first bytes of a large file, by which most others of its size are told from it, and of a
        /// program, which say what runs it.
        begin: Arc<[u8]>,
    },
    /// Somewhere where it is not read from: a sparse file.
    Sparse,
}

/// What the layers of an image together may take in memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    of_system: AtomicU64,
    of_others: AtomicU64,
    scripts: AtomicU64,
    entries: AtomicU64,
    names: AtomicU64,
}

impl Memory {
    fn keeps(&self, path: &[u8], size: u64) -> bool {
        let is_of_system = path.starts_with(b"usr/lib/") || path.starts_with(b"usr/share/");
        let kept = if is_of_system || path.starts_with(b"var/lib/dpkg/") {
            &self.of_system
        } else {
            &self.of_others
        };
        takes(kept, size, MAX_KEPT)
    }

    fn keeps_script(&self, size: u64) -> bool {
        size <= MAX_SCRIPT && takes(&self.scripts, size, MAX_KEPT_SCRIPTS)
    }

    fn count(&self, member: &Member) -> io::Result<()> {
        let bytes = (member.path.len() + member.link.len()) as u64;
        if self.entries.fetch_add(1, Ordering::Relaxed) < MAX_ENTRIES
            && self.names.fetch_add(bytes, Ordering::Relaxed) < MAX_NAMES
        {
            return Ok(());
        }
        let limits = format!("{MAX_ENTRIES} entries or {MAX_NAMES} bytes of names");
        Err(io::Error::other(format!(
            "the image has more than {limits}"
        )))
    }
}

/// Whether there is room for so many bytes more, which are taken then.
fn takes(kept: &AtomicU64, size: u64, limit: u64) -> bool {
    let taken = |kept: u64| Some(kept + size).filter(|sum| *sum <= limit);
    let relaxed = Ordering::Relaxed;
    kept.fetch_update(relaxed, relaxed, taken).is_ok()
}

/// What one layer changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<Change>,
    /// That the layer has more, which was not read for the budget.
    pub(super) cut: Option<io::Error>,
}

/// Reads a layer.
///
/// # Errors
/// When it is damaged, no archive, or ends early.
pub(super) fn changes(
    layer: &LayerBlob,
    memory: &Memory,
    budget: &Arc<Budget>,
) -> io::Result<Changes> {
    let mut read = Changes::default();
    match layer.read(budget, |content| {
        read_changes(content, memory, &mut read.changes)
    }) {
        Ok(()) => {}
        Err(error) if is_spent(&error) => read.cut = Some(error),
        Err(error) => return Err(error),
    }
    Ok(read)
}

fn read_changes(content: Unpacked, memory: &Memory, changes: &mut Vec<Change>) -> io::Result<()> {
    let mut headers = Headers::new(content);
    while let Some(member) = headers.next()? {
        memory.count(&member)?;
        let path = match clean(&member.path) {
            Ok(path) => path,
            Err(why) => {
                changes.push(Change::Problem(member.path, why.to_owned()));
                continue;
            }
        };
        let place = if member.is_whole {
            let is_read = is_read_by_rules(&path, member.size);
            let known = beginning(&member, is_read);
            let mut begin = if known > 0 && memory.keeps(&path, known) {
                headers.content(known)?
            } else {
                Vec::new()
            };
            let rest = member.size - begin.len() as u64;
            // Rules read no more of a program than what runs it, wherever it is.
            let is_kept = is_read && !begin.starts_with(ELF) && memory.keeps(&path, rest);
            if is_kept || (begin.starts_with(b"#!") && memory.keeps_script(member.size)) {
                begin.extend(headers.content(rest)?);
                Content::Kept(begin.into())
            } else {
                Content::At {
                    offset: member.offset,
                    begin: begin.into(),
                }
            }
        } else {
            Content::Sparse
        };
        changes.extend(change(path, member, place));
    }
    Ok(())
}

fn change(path: Vec<u8>, member: Member, place: Content) -> Option<Change> {
    let start = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (parent, name) = (&path[..start.saturating_sub(1)], &path[start..]);
    if name == OPAQUE {
        return Some(Change::Empty(parent.to_vec()));
    }
    if name.starts_with(AUFS) {
        return None;
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return Some(match hidden {
            b"" | b"." | b".." => Change::Problem(path, "it is a whiteout of no name".to_owned()),
            hidden => Change::Remove([&path[..start], hidden].concat()),
        });
    }
    let kind = match member.kind {
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Char => Kind::CharacterDevice,
        EntryType::Block => Kind::BlockDevice,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Link => {
            return Some(match clean(&member.link) {
                Ok(target) => Change::Link { path, target },
                Err(why) => Change::Problem(
                    path,
                    format!("what it is a hard link to is not allowed: {why}"),
                ),
            });
        }
        other => {
            let what = format!(
                "its type {:?} is none that engines know",
                other.as_byte() as char
            );
            return Some(Change::Problem(path, what));
        }
    };
    // The root itself: nothing that a rule looks at.
    if path.is_empty() {
        return None;
    }
    if kind == Kind::Symlink && member.link.len() > MAX_PATH {
        let why = "what it leads to is longer than 4095 bytes".to_owned();
        return Some(Change::Problem(path, why));
    }
    let size = match kind {
        Kind::Symlink => member.link.len() as u64,
        _ => member.size,
    };
    let put = Put {
        kind,
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        device: member.device,
        size,
        target: if kind == Kind::Symlink {
            member.link
        } else {
            Vec::new()
        },
        place,
    };
    Some(Change::Put(path, Box::new(put)))
}

/// A path without what changes nothing.
fn clean(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("its path has `..`, at which the import of the image ends"),
            part if part.contains(&0) => return Err("its path has a byte 0"),
            part if part.len() > MAX_NAME => {
                return Err("a part of its path is longer than 255 bytes");
            }
            part => {
                if !clean.is_empty() {
                    clean.push(b'/');
                }
                clean.extend(part);
            }
        }
    }
    if clean.len() > MAX_PATH {
        return Err("its path is longer than 4095 bytes");
    }
    Ok(clean)
}

/// How much of a file's beginning is kept.
fn beginning(member: &Member, is_read: bool) -> u64 {
    if member.size >= LARGE {
        BEGINNING
    } else if is_read || member.mode & 0o111 != 0 {
        PROGRAM_START.min(member.size)
    } else {
        0
    }
}

/// Whether a file is small and of a place where rules look.
fn is_read_by_rules(path: &[u8], size: u64) -> bool {
    let is_below = |place: &&str| {
        let rest = path.strip_prefix(place.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let is_of_usr_lib = || {
        let name = path.strip_prefix(b"usr/lib/");
        name.is_some_and(|name| !name.contains(&b'/'))
    };
    let may_be_key = || {
        let kept = path.strip_prefix(FACTORY.as_bytes());
        let path = kept
            .and_then(|rest| rest.strip_prefix(b"/"))
            .unwrap_or(path);
        let of_place = |(place, _): &(&str, _)| path.starts_with(place.as_bytes());
        size <= secrets::MAX_KEY_BYTES && PRIVATE_KEYS.iter().any(of_place)
    };
    size > 0
        && size <= MAX_KEPT_FILE
        && (KEPT.iter().any(is_below) || is_of_usr_lib() && size <= 64 << 10 || may_be_key())
}
