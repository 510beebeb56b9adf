//! Owners, modes and times of what is open or named.

use std::ffi::OsStr;

use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{
        AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, fstat,
    },
    io::Errno,
};

use crate::handle::Moment;

/// Who owns a copy, where not the owner of what is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewOwner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

pub(super) fn times(modified: Moment) -> Timestamps {
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

/// Sets the permission bits of an open file or directory. `PERM` means that the kernel left out the set-group-ID bit
/// without a word: for a group that is not the caller's it wants `CAP_FSETID` (chmod(2)).
pub(super) fn give_mode(file: impl AsFd, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    fchmod(&file, mode)?;
    let is_given = !mode.contains(Mode::SGID)
        || Mode::from_raw_mode(fstat(&file)?.st_mode).contains(Mode::SGID);
    if is_given { Ok(()) } else { Err(Errno::PERM) }
}

pub(super) fn chown_open(file: impl AsFd, owner: NewOwner) -> Result<(), Errno> {
    fchown(
        file,
        owner.uid.map(Uid::from_raw),
        owner.gid.map(Gid::from_raw),
    )
}

pub(super) fn chown_at(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    owner: NewOwner,
) -> Result<(), Errno> {
    let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}
