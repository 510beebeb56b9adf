//! What is known about a directory entry without opening it.

use std::ffi::OsStr;

use osderive_lints::EntryKind;
use rustix::{
    fd::BorrowedFd,
    fs::{AtFlags, FileType, Stat, Statx, StatxAttributes, StatxFlags, makedev, statat, statx},
    io::Errno,
};

use crate::unread::heed;

const LOCKS: StatxAttributes = StatxAttributes::IMMUTABLE.union(StatxAttributes::APPEND);

/// A moment as the file system keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What is known about one directory entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) kind: EntryKind,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Of a regular file; 0 of anything else.
    pub(crate) bytes: u64,
    pub(crate) links: u64,
    /// Inodes of an overlay's layers may have the same number on different devices.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Whether it is immutable or append-only (chattr(1)), so that nobody may move or remove it.
    pub(crate) is_locked: bool,
    pub(crate) modified: Moment,
    pub(crate) changed: Moment,
    /// Whether it is a mount point; none when the kernel does not say (before Linux 5.8).
    pub(crate) is_mount: Option<bool>,
}

/// Looks at the entry `name` of a directory, following nothing.
pub(crate) fn look(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Look, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(directory, name, flags, StatxFlags::BASIC_STATS) {
        Ok(found) => Ok(Look::from_statx(&found)),
        // Kernels before 4.11, and old seccomp profiles.
        Err(Errno::NOSYS | Errno::PERM) => Ok(Look::from_stat(&statat(directory, name, flags)?)),
        Err(error) => heed(directory, name, Err(error)),
    }
}

impl Look {
    /// By which the names of one file are told from those of others.
    pub(crate) fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    fn from_statx(found: &Statx) -> Self {
        let moment = |time: rustix::fs::StatxTimestamp| Moment {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        Self {
            kind: kind_of(FileType::from_raw_mode(found.stx_mode.into())),
            mode: u32::from(found.stx_mode) & 0o7777,
            uid: found.stx_uid,
            gid: found.stx_gid,
            bytes: found.stx_size,
            links: found.stx_nlink.into(),
            device: makedev(found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            is_locked: found.stx_attributes.intersects(LOCKS),
            modified: moment(found.stx_mtime),
            changed: moment(found.stx_ctime),
            is_mount: mount_root(found),
        }
        .counting_files_only()
    }

    fn from_stat(found: &Stat) -> Self {
        let moment = |seconds, nanoseconds: u64| Moment {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        Self {
            kind: kind_of(FileType::from_raw_mode(found.st_mode)),
            mode: found.st_mode & 0o7777,
            uid: found.st_uid,
            gid: found.st_gid,
            bytes: u64::try_from(found.st_size).unwrap_or(0),
            links: as_u64(found.st_nlink),
            device: found.st_dev,
            inode: found.st_ino,
            is_locked: false,
            modified: moment(found.st_mtime, found.st_mtime_nsec),
            changed: moment(found.st_ctime, found.st_ctime_nsec),
            is_mount: None,
        }
        .counting_files_only()
    }

    fn counting_files_only(self) -> Self {
        Self {
            bytes: if self.kind == EntryKind::File {
                self.bytes
            } else {
                0
            },
            ..self
        }
    }
}

fn mount_root(found: &Statx) -> Option<bool> {
    found
        .stx_attributes_mask
        .contains(StatxAttributes::MOUNT_ROOT)
        .then(|| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// `st_nlink` has 32 bits on 64-bit ARM.
fn as_u64(number: impl Into<u64>) -> u64 {
    number.into()
}

fn kind_of(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::Directory => EntryKind::Directory,
        FileType::RegularFile => EntryKind::File,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Special,
    }
}
