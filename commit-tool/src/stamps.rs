//! Keeps a step that leaves nothing from leaving a trace: emptying a directory moves its
//! modification time, and that time is part of the layer. The times from before the command are
//! put back on directories that are as empty as they were.

use std::ffi::OsStr;

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{Timespec, Timestamps, UTIME_OMIT, fstat, futimens},
    io::Errno,
};

use crate::{
    error::{Error, Result},
    handle::{look, sorted_names},
    observe::{AREAS, Area, reopen},
    rootfs::Rootfs,
};

/// The modification times of the areas before a command.
#[derive(Debug)]
pub(crate) struct Stamps(Vec<(Area, Timespec)>);

impl Stamps {
    /// Takes the times of all areas.
    pub(crate) fn take(rootfs: &Rootfs) -> Self {
        let stamp = |area| {
            let directory = reopen(rootfs, area)?;
            Some((area, modified(&directory).ok()?))
        };
        Self(AREAS.into_iter().filter_map(stamp).collect())
    }

    /// Puts the times of some areas back, where they changed and nothing is left but mount points.
    pub(crate) fn restore(&self, rootfs: &Rootfs, areas: &[Area]) -> Result<()> {
        for (area, before) in self.0.iter().filter(|(area, _)| areas.contains(area)) {
            restore_one(rootfs, *area, *before).map_err(|source| Error::Restore {
                path: format!("/{}", area.path),
                source,
            })?;
        }
        Ok(())
    }
}

fn restore_one(rootfs: &Rootfs, area: Area, before: Timespec) -> Result<(), Errno> {
    let Some(directory) = reopen(rootfs, area) else {
        return Ok(());
    };
    if modified(&directory)? == before || !holds_only_mounts(&directory)? {
        return Ok(());
    }
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: before,
    };
    futimens(&directory, &times)
}

fn holds_only_mounts(directory: &OwnedFd) -> Result<bool, Errno> {
    for name in sorted_names(directory.as_fd())? {
        if look(directory.as_fd(), OsStr::new(&name))?.is_mount != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn modified(directory: &OwnedFd) -> Result<Timespec, Errno> {
    let found = fstat(directory)?;
    Ok(Timespec {
        tv_sec: found.st_mtime,
        tv_nsec: i64::try_from(found.st_mtime_nsec).unwrap_or(0),
    })
}
