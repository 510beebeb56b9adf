//! What builders leave in the layer of a RUN whatever its command does: empty files and directories that were mount
//! points (/etc/hostname, /etc/resolv.conf, /etc/hosts; /dev, /proc and /sys in an image of nothing), and the times of the
//! directories that they are in. What was not there before the container was made, and is empty when it goes, was never
//! anybody's: the command saw what was mounted there.
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

/// The directories that mount points are made in, and their names there; what is below comes first.
const MOUNT_POINTS: [(&str, &[&str]); 3] = [
    ("etc", &["hostname", "hosts", "resolv.conf"]),
    ("run", &[".containerenv", "secrets"]),
    (".", &["dev", "etc", "proc", "run", "sys"]),
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
    /// When it was changed, before the mount points were made; none if it was not there.
    changed: Option<(i64, i64)>,
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
        let directories = MOUNT_POINTS.iter().map(|(name, points)| {
            let directory = open_below(&root, name);
            let is_there = |point: &str| {
                let directory = directory.as_ref();
                directory.is_some_and(|directory| look(directory, point).is_some())
            };
            let absent = points.iter().filter(|point| !is_there(point));
            Directory {
                name: (*name).to_owned(),
                absent: absent.map(|point| (*point).to_owned()).collect(),
                changed: directory.as_ref().and_then(changed),
                then: None,
            }
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
        for name in &self.absent {
            let Some(stat) = look(open, name) else {
                continue;
            };
            let how = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if stat.st_size == 0 => AtFlags::empty(),
                // Only an empty one goes.
                FileType::Directory => AtFlags::REMOVEDIR,
                _ => continue,
            };
            let _ = unlinkat(open, name.as_str(), how);
        }
        let changed = if now == self.then { self.changed } else { now };
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
    fn an_image_of_nothing_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("app")).expect("makes");
        let traces = Traces {
            file: folder.path().join("id.json"),
        };
        traces.before_create(&root);
        for point in ["dev", "etc", "proc", "run/secrets", "sys/kept"] {
            fs::create_dir_all(root.join(point)).expect("makes");
        }
        fs::write(root.join("etc/hosts"), "").expect("writes");
        traces.before_start();
        traces.before_delete();
        let left = fs::read_dir(&root).expect("reads").flatten();
        let mut left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["app", "sys"], "what is not empty stays");
    }

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
