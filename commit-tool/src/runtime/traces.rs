//! What builders leave in the layer of a RUN whatever its command does: empty files that were mount points
//! (/etc/hostname, /etc/resolv.conf, /etc/hosts), and the times of the directories that they are in. What was not there
//! before the container was made, and is empty when it goes, was never anybody's.
//!
//! Nothing here fails a build: without it the image is what it is without us.

use std::{
    env,
    ffi::OsStr,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT,
    futimens, openat, openat2, statat, unlinkat,
};
use serde::{Deserialize, Serialize};

/// The directories that mount points are made in, and their names there.
const MOUNT_POINTS: [(&str, &[&str]); 2] = [
    ("etc", &["hostname", "hosts", "resolv.conf"]),
    ("run", &[".containerenv"]),
];

/// What was known of a step's root before its container was made.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    rootfs: PathBuf,
    directories: Vec<Directory>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Directory {
    name: String,
    /// The names of mount points that were not there.
    absent: Vec<String>,
    /// When it was changed, before the mount points were made.
    changed: (i64, i64),
    /// The same after they were made.
    then: Option<(i64, i64)>,
}

/// What is kept of a step between the calls of the runtime.
pub(super) struct Traces {
    file: PathBuf,
}

impl Traces {
    /// Of a container; none where there is no directory that is this user's alone.
    pub(super) fn of(id: &OsStr) -> Option<Self> {
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let is_root = rustix::process::getuid().is_root();
        let folder = own
            .filter(|path| path.is_absolute())
            .or_else(|| is_root.then(|| PathBuf::from("/run")))?;
        let mut name = id.to_owned();
        name.push(".json");
        let file = folder.join("osderive").join(name);
        Some(Self { file })
    }

    /// Takes down what is in a root before its container is made.
    pub(super) fn before_create(&self, rootfs: &Path) {
        let Some(root) = open_root(rootfs) else {
            return;
        };
        let directories = MOUNT_POINTS.iter().filter_map(|(name, points)| {
            let directory = open_below(&root, name)?;
            let absent = points
                .iter()
                .filter(|point| look(&directory, point).is_none());
            Some(Directory {
                name: (*name).to_owned(),
                absent: absent.map(|point| (*point).to_owned()).collect(),
                changed: changed(&directory)?,
                then: None,
            })
        });
        let directories = directories.collect();
        if let Ok(rootfs) = fs::canonicalize(rootfs) {
            self.keep(&Known {
                rootfs,
                directories,
            });
        }
    }

    /// Takes down when the mount points were made.
    pub(super) fn before_start(&self) {
        let Some(mut known) = self.known() else {
            return;
        };
        let Some(root) = open_root(&known.rootfs) else {
            return;
        };
        for directory in &mut known.directories {
            directory.then = open_below(&root, &directory.name).and_then(|open| changed(&open));
        }
        self.keep(&known);
    }

    /// Takes away what is left of the mount points, and gives directories that the command did not change their times.
    pub(super) fn before_delete(&self) {
        let Some(known) = self.known() else { return };
        let _ = fs::remove_file(&self.file);
        let Some(root) = open_root(&known.rootfs) else {
            return;
        };
        for directory in &known.directories {
            if let Some(open) = open_below(&root, &directory.name) {
                directory.tidy(&open);
            }
        }
    }

    fn known(&self) -> Option<Known> {
        serde_json::from_slice(&fs::read(&self.file).ok()?).ok()
    }

    fn keep(&self, known: &Known) {
        let json = serde_json::to_vec(known).unwrap_or_default();
        let _ = self.file.parent().map(fs::create_dir_all);
        let _ = fs::write(&self.file, json);
    }
}

impl Directory {
    fn tidy(&self, open: &OwnedFd) {
        let now = changed(open);
        let is_empty_file = |stat: &Stat| {
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0
        };
        for name in &self.absent {
            if look(open, name).is_some_and(|stat| is_empty_file(&stat)) {
                let _ = unlinkat(open, name.as_str(), AtFlags::empty());
            }
        }
        let changed = if now == self.then {
            Some(self.changed)
        } else {
            now
        };
        let Some((seconds, nanoseconds)) = changed else {
            return;
        };
        let omitted = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        };
        let times = Timestamps {
            last_access: omitted,
            last_modification: Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds,
            },
        };
        let _ = futimens(open, &times);
    }
}

fn open_root(rootfs: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, rootfs, flags, Mode::empty()).ok()
}

fn open_below(root: &OwnedFd, name: &str) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV;
    openat2(root, name, flags, Mode::empty(), resolve).ok()
}

fn look(directory: &OwnedFd, name: &str) -> Option<Stat> {
    statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn changed(directory: &OwnedFd) -> Option<(i64, i64)> {
    let stat = rustix::fs::fstat(directory).ok()?;
    Some((stat.st_mtime, i64::try_from(stat.st_mtime_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_builder_left_goes_and_what_a_command_wrote_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        let etc = root.join("etc");
        fs::create_dir_all(&etc).expect("makes");
        fs::write(etc.join("hosts"), "").expect("writes");
        let traces = Traces {
            file: folder.path().join("state/id.json"),
        };
        let set = |seconds| {
            let time = Timespec {
                tv_sec: seconds,
                tv_nsec: 5,
            };
            let times = Timestamps {
                last_access: time,
                last_modification: time,
            };
            futimens(fs::File::open(&etc).expect("opens"), &times).expect("sets");
        };
        let time = || changed(&open_below(&open_root(&root).expect("a root"), "etc").expect("etc"));
        let is_there = |name: &str| etc.join(name).exists();

        set(1_000);
        traces.before_create(&root);
        fs::write(etc.join("hostname"), "").expect("writes");
        fs::write(etc.join("resolv.conf"), "").expect("writes");
        traces.before_start();
        traces.before_delete();
        let names = ["hostname", "resolv.conf", "hosts"].map(is_there);
        assert_eq!((names, time()), ([false, false, true], Some((1_000, 5))));

        traces.before_create(&root);
        traces.before_start();
        fs::write(etc.join("resolv.conf"), "nameserver 192.0.2.1\n").expect("writes");
        fs::write(etc.join("hostname"), "").expect("writes");
        set(2_000);
        traces.before_delete();
        let names = ["hostname", "resolv.conf"].map(is_there);
        assert_eq!(
            (names, time()),
            ([false, true], Some((2_000, 5))),
            "the command changed it"
        );
        assert!(traces.known().is_none());
    }
}
