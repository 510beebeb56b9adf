//! The third stage: files are written beside their place and renamed there, new declarations before
//! old ones go, so that a kill at any point leaves a state that the next run ends in the same place.

use std::{ffi::OsStr, io::Write as _};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{
        AtFlags, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, openat, renameat, statat,
        unlinkat,
    },
    io::Errno,
};

use super::{
    observe::{BESIDE, SYSUSERS},
    plan::{Action, Plan},
};
use crate::{
    error::{Error, Result},
    handle::{errno, open_below},
    rootfs::Rootfs,
};

/// Applies a plan, first action first; answers with the actions whose directory is behind a mount or
/// a link, which were left undone.
pub(super) fn apply<'p>(rootfs: &Rootfs, plan: &'p Plan) -> Result<Vec<&'p Action>> {
    let mut undone = Vec::new();
    for action in &plan.actions {
        let done = perform(rootfs, action).map_err(|source| Error::Account {
            path: action.path(),
            source,
        })?;
        if !done {
            undone.push(action);
        }
    }
    Ok(undone)
}

fn perform(rootfs: &Rootfs, action: &Action) -> Result<bool, Errno> {
    let opened = match action {
        Action::Write { directory, .. } => open_or_make(rootfs, directory),
        Action::Remove { directory, .. } => open_below(rootfs.as_fd(), directory),
    };
    let directory = match opened {
        Ok(directory) => directory,
        Err(Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => return Ok(false),
        Err(error) => return Err(error),
    };
    match action {
        Action::Write { name, content, .. } => {
            replace(directory.as_fd(), OsStr::new(name), content)?;
        }
        Action::Remove { name, .. } => match unlinkat(directory, name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        },
    }
    Ok(true)
}

/// A rootfs may have no sysusers.d yet; its other directories are not ours to make.
fn open_or_make(rootfs: &Rootfs, directory: &str) -> Result<OwnedFd, Errno> {
    match open_below(rootfs.as_fd(), directory) {
        Err(Errno::NOENT) if directory == SYSUSERS => {
            let mut parent = rustix::io::dup(rootfs)?;
            for name in SYSUSERS.split('/') {
                match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                parent = open_below(parent.as_fd(), name)?;
            }
            Ok(parent)
        }
        opened => opened,
    }
}

/// Replaces a file, keeping its mode and owner; a new one is for everybody to read.
fn replace(directory: BorrowedFd<'_>, name: &OsStr, content: &[u8]) -> Result<(), Errno> {
    match unlinkat(directory, BESIDE, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(directory, BESIDE, flags, Mode::RUSR | Mode::WUSR)?;
    let mode = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(old) => {
            fchown(
                &file,
                Some(Uid::from_raw(old.st_uid)),
                Some(Gid::from_raw(old.st_gid)),
            )?;
            Mode::from_raw_mode(old.st_mode & 0o7777)
        }
        Err(_) => Mode::from_raw_mode(0o644),
    };
    fchmod(&file, mode)?;
    let mut file = std::fs::File::from(file);
    file.write_all(content).map_err(|error| errno(&error))?;
    renameat(directory, BESIDE, directory, name)
}
