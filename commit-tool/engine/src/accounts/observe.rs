//! The first stage: the account files of a root file system as bytes, and what its sysusers.d and
//! its base already declare. A dozen small files are read; links and mounts are not followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use osderive_lints::model::ids::Ids;
use rustix::{
    fd::{AsFd, OwnedFd},
    io::Errno,
};

use super::declare::{Accounts, Limits};
use crate::{
    error::{Error, Result},
    handle::{look, open_below, read_in_root, read_regular},
    rootfs::Rootfs,
    snippets::Folder,
};

/// Where our own files are, and those of packages.
pub(super) const SYSUSERS: &str = "usr/lib/sysusers.d";

/// Where systemd looks for sysusers.d, most important first.
const SYSUSERS_PATHS: [&str; 4] = [
    "etc/sysusers.d",
    "run/sysusers.d",
    "usr/local/lib/sysusers.d",
    SYSUSERS,
];

/// Where nss-altfiles has accounts.
const ALTFILES: [&str; 2] = ["usr/lib/passwd", "usr/lib/group"];

/// Files that a base declares its accounts in besides sysusers.d: nss-altfiles' and Debian's.
const BASE_PASSWD: [&str; 2] = [ALTFILES[0], "usr/share/base-passwd/passwd.master"];
const BASE_GROUP: [&str; 2] = [ALTFILES[1], "usr/share/base-passwd/group.master"];

/// As much of an account file as build engines read.
pub(super) const MAX_FILE_BYTES: u64 = 10 << 20;

/// The account files.
pub(super) const FILES: [&str; 6] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];

/// A file that account tools leave behind: which one it was, by inode, time and size.
type Stamp = (u64, i64, i64, i64);

/// The account files at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The directory they are in: `etc`, or `usr/etc` where there is no other; none without either.
    pub(super) etc: Option<&'static str>,
    /// The content of those that exist.
    pub(super) files: BTreeMap<&'static str, Vec<u8>>,
    /// /usr/lib/passwd and /usr/lib/group, which nss-altfiles reads; empty where there are none.
    pub(super) altfiles: [Vec<u8>; 2],
    /// Those that are no regular file.
    pub(super) odd: BTreeSet<&'static str>,
    /// Backups and locks of account tools, and what a killed commit left.
    pub(super) debris: BTreeMap<String, Stamp>,
}

impl Snapshot {
    /// Reads the account files.
    pub(crate) fn take(rootfs: &Rootfs) -> Result<Self> {
        let mut seen = Self {
            altfiles: ALTFILES.map(|path| content(rootfs, path)),
            ..Self::default()
        };
        let Some((path, etc)) = open_etc(rootfs)? else {
            return Ok(seen);
        };
        seen.etc = Some(path);
        for name in FILES {
            match read_regular(etc.as_fd(), OsStr::new(name), MAX_FILE_BYTES) {
                Ok(Some(content)) => drop(seen.files.insert(name, content)),
                Ok(None) => drop(seen.odd.insert(name)),
                Err(Errno::NOENT) => {}
                Err(source) => return Err(failed(&format!("{path}/{name}"), source)),
            }
        }
        for name in debris_names() {
            if let Some(stamp) = stamp(&etc, &name) {
                seen.debris.insert(name, stamp);
            }
        }
        Ok(seen)
    }

    pub(super) fn file(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// The accounts.
    pub(super) fn accounts(&self, limits: Limits) -> Accounts<'_> {
        let [passwd, group] = &self.altfiles;
        Accounts::new(self.file("passwd"), self.file("group"), limits).beside(passwd, group)
    }

    /// All ids.
    pub(super) fn ids(&self) -> Ids {
        let [passwd, group] = &self.altfiles;
        Ids::of([self.file("passwd"), passwd, self.file("group"), group])
    }
}

/// shadow-utils' backups and locks (`lib/commonio.c`), and glibc's lock.
fn debris_names() -> impl Iterator<Item = String> {
    FILES
        .iter()
        .flat_map(|name| [format!("{name}-"), format!("{name}.lock")])
        .chain([".pwd.lock".to_owned()])
}

fn stamp(etc: &OwnedFd, name: &str) -> Option<Stamp> {
    let name = OsStr::new(name);
    let is_file = look(etc.as_fd(), name).is_ok_and(|found| {
        found.kind == osderive_lints::EntryKind::File && found.is_mount != Some(true)
    });
    if !is_file {
        return None;
    }
    let found = rustix::fs::statat(etc, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let nanoseconds = i64::try_from(found.st_mtime_nsec).unwrap_or(0);
    Some((found.st_ino, found.st_mtime, nanoseconds, found.st_size))
}

fn open_etc(rootfs: &Rootfs) -> Result<Option<(&'static str, OwnedFd)>> {
    for path in ["etc", "usr/etc"] {
        match open_below(rootfs.as_fd(), path) {
            Ok(opened) => return Ok(Some((path, opened))),
            Err(Errno::NOENT) => {}
            // A link or a mount: not ours to change.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(None),
            Err(source) => return Err(failed(path, source)),
        }
    }
    Ok(None)
}

/// What an image declares about accounts.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// Each of [`SYSUSERS_PATHS`], most important first.
    pub(super) sysusers: Vec<Folder>,
    pub(super) base_passwd: Vec<u8>,
    pub(super) base_group: Vec<u8>,
    pub(super) login_defs: Vec<u8>,
}

impl Declared {
    pub(super) fn read(rootfs: &Rootfs, seen: &Snapshot) -> Result<Self> {
        let mut declared = Self::default();
        for path in SYSUSERS_PATHS {
            let path = match (path.strip_prefix("etc/"), seen.etc) {
                (Some(below), Some(etc)) => format!("{etc}/{below}"),
                _ => path.to_owned(),
            };
            declared.sysusers.push(Folder::read(rootfs, &path)?);
        }
        declared.base_passwd = joined(rootfs, &BASE_PASSWD);
        declared.base_group = joined(rootfs, &BASE_GROUP);
        let etc = seen.etc.unwrap_or("etc");
        declared.login_defs = joined(rootfs, &[&format!("{etc}/login.defs")]);
        Ok(declared)
    }

    /// The lowest ids of people's accounts.
    pub(super) fn limits(&self) -> Limits {
        Limits::parse(&self.login_defs)
    }
}

fn joined(rootfs: &Rootfs, paths: &[&str]) -> Vec<u8> {
    let mut joined = Vec::new();
    for path in paths {
        joined.extend(content(rootfs, path));
        joined.push(b'\n');
    }
    joined
}

/// What is in a file; nothing where it cannot be read.
fn content(rootfs: &Rootfs, path: &str) -> Vec<u8> {
    read_in_root(rootfs.as_fd(), OsStr::new(path), MAX_FILE_BYTES).unwrap_or_default()
}

pub(super) fn failed(path: &str, source: Errno) -> Error {
    Error::Place {
        action: "look at",
        path: format!("/{path}"),
        source,
    }
}
