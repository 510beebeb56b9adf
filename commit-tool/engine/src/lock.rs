//! Two commits of one root at a time would undo each other's work: a lock on its directory keeps them apart, which the
//! kernel takes away with the process (flock(2)).

use std::{fs, path::Path};

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, Mode, OFlags, flock, fstat, openat},
    io::{Errno, retry_on_intr},
};

use crate::{error::Result, place::Told as _, rootfs::Rootfs, say::say};

/// Gives way to other commits when it is dropped.
pub struct Lock {
    _held: OwnedFd,
}

impl Lock {
    /// Keeps other commits of a root away. Waits for one that is under way, and says so.
    pub fn take(rootfs: &Rootfs) -> Result<Self> {
        let top = Path::new("");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = openat(rootfs, ".", flags, Mode::empty()).told("open", top)?;
        let mut locked = flock(&held, FlockOperation::NonBlockingLockExclusive);
        if locked == Err(Errno::WOULDBLOCK) {
            let who = holder(&held).map_or_else(String::new, |pid| format!(" (process {pid})"));
            say(&format!(
                "osderive: another commit of {} is under way{who}; waiting for it\n",
                rootfs.shown(),
            ));
            locked = retry_on_intr(|| flock(&held, FlockOperation::LockExclusive));
        }
        match locked {
            // A file system without locks.
            Ok(()) | Err(Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::NOLCK) => {
                Ok(Self { _held: held })
            }
            Err(error) => Err(error).told("lock", top),
        }
    }
}

/// The process that holds a lock on a directory, as `/proc/locks` tells (proc(5)); none when it does not, or does not
/// see that process.
fn holder(directory: &OwnedFd) -> Option<u32> {
    let inode = fstat(directory).ok()?.st_ino.to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let is_flock = words.next() == Some("FLOCK");
        let pid = words.nth(2)?.parse().ok()?;
        let file = words.next()?;
        (is_flock && pid != 0 && file.rsplit(':').next() == Some(&inode)).then_some(pid)
    })
}
