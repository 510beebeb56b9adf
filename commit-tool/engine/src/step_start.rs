//! When a step began, and with it what is the step's own: what it changes has a ctime from then on, which nobody can
//! set back, and on overlayfs so have all directories above.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FsWord, fstat, fstatfs};

use crate::{
    error::{Error, Result},
    handle::{Look, Moment},
    rootfs::Rootfs,
};

/// `OVERLAYFS_SUPER_MAGIC` (Linux, `uapi/linux/magic.h`).
const OVERLAYFS: FsWord = 0x794c_7630;

/// File times come from a clock that may be a tick behind (`CLOCK_REALTIME_COARSE`), 10 ms at the most.
const TICK: Duration = Duration::from_millis(10);

/// The engine makes mount points, and so directories of the layer, between the layer and the step: in milliseconds
/// mostly, in seconds where the disk is busy.
const SET_UP: i64 = 10;

/// The moment at which a step began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepStart {
    files: Moment,
    /// A directory of the step's layer may be a little older: the root's was there first.
    directories: Moment,
    is_overlay: bool,
}

impl StepStart {
    /// The step begins now.
    pub(crate) fn now(rootfs: &Rootfs) -> Result<Self> {
        let root = fstat(rootfs).map_err(|source| Error::Place {
            action: "look at",
            path: "/".to_owned(),
            source,
        })?;
        let files = clock(TICK);
        let root = Moment {
            seconds: root.st_ctime - SET_UP,
            nanoseconds: 0,
        };
        Ok(Self {
            files,
            directories: files.min(root),
            is_overlay: fstatfs(rootfs).is_ok_and(|found| found.f_type == OVERLAYFS),
        })
    }

    /// A step that begins when some time has gone by since the root was made, as with engines.
    #[cfg(test)]
    pub(crate) fn after_what_is_there(rootfs: &Rootfs) -> Self {
        std::thread::sleep(3 * TICK);
        Self::now(rootfs).expect("a root")
    }

    /// The same, unless the clock was set back meanwhile and tells nothing.
    pub(crate) fn checked(self) -> Self {
        if clock(Duration::ZERO) >= self.files {
            return self;
        }
        let ever = Moment {
            seconds: i64::MIN,
            nanoseconds: 0,
        };
        Self {
            files: ever,
            directories: ever,
            ..self
        }
    }

    /// Whether the step made or changed an entry.
    pub(crate) fn has_changed(&self, entry: &Look) -> bool {
        self.is_since(entry.changed)
    }

    /// Whether a moment is of the step.
    pub(crate) fn is_since(&self, moment: Moment) -> bool {
        moment >= self.files
    }

    /// The same of a directory, unless it is new in the step's layer, as far as that can be told: one that several layers
    /// have has a single link on overlayfs (`ovl_getattr`).
    pub(crate) fn has_changed_what_was_there(&self, directory: &Look) -> bool {
        self.has_changed(directory) && (!self.is_overlay || directory.links == 1)
    }

    /// Whether something in a directory, at any depth, may be the step's: on overlayfs nothing is in one that is none
    /// of the step's layer.
    pub(crate) fn may_have_changed_in(&self, directory: &Look) -> bool {
        !self.is_overlay || directory.changed >= self.directories
    }
}

fn clock(back: Duration) -> Moment {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().saturating_sub(back);
    Moment {
        seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: now.subsec_nanos(),
    }
}
