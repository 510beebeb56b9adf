//! The root file system that is committed: its handle, what says that it belongs to a bootable
//! image, and what says that it is running right now.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, MetadataExt as _},
};
use cap_std_ext::dirext::CapStdExtDirExt as _;
use osderive_lints::{Ordinary, escape_path, tree::Rootfs as Tree};
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{Mode, OFlags, ResolveFlags, fstat, openat2},
    path::Arg,
};

use crate::{
    error::{Error, Result},
    handle::{Moment, look},
    mounts::Mounts,
};

/// What stands in /run while a system runs: of ostree, systemd (`sd_booted(3)`), `OpenRC`, runit, s6-rc,
/// dinit, System V init, Windows' subsystem for Linux, and toolbox.
const MARKS: [&str; 9] = [
    "run/ostree-booted",
    "run/systemd/system",
    "run/openrc/softlevel",
    "run/runit",
    "run/s6-rc",
    "run/dinitctl",
    "run/initctl",
    "run/WSL",
    "run/.toolboxenv",
];

/// An open root file system.
pub struct Rootfs {
    path: PathBuf,
    dir: Dir,
    mounts: Mutex<Option<Known>>,
    changes: AtomicU64,
}

/// A mount table that was read; none when /proc did not tell.
type Known = Arc<Option<Mounts>>;

impl Rootfs {
    /// Opens a directory as root file system.
    pub fn open(path: &Path) -> Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| {
            Error::OpenRootfs {
                rootfs: path.to_owned(),
                source,
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            mounts: Mutex::default(),
            changes: AtomicU64::new(0),
        })
    }

    /// The mount table as it was when it was first asked for, or for the first time since it was
    /// [forgotten](Self::forget_mounts).
    pub(crate) fn mounts(&self) -> Known {
        let mut known = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(|| Arc::new(Mounts::read(&self.dir)));
        Arc::clone(known)
    }

    /// Takes this for the mount table.
    #[cfg(test)]
    pub(crate) fn assume_mounts(&self, mounts: Mounts) {
        let mut known = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Arc::new(Some(mounts)));
    }

    /// Has the mount table read again: a command that has run may have changed it.
    pub fn forget_mounts(&self) {
        *self.mounts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Its tree as lints see it.
    pub(crate) fn tree(&self) -> io::Result<Tree> {
        Tree::of(self.as_fd().try_clone_to_owned()?)
    }

    /// When what a path leads to was changed, in the root or in a mount upon it; none where nothing is.
    pub(crate) fn changed(&self, path: impl Arg) -> Option<Moment> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = openat2(self, path, flags, Mode::empty(), inside).ok()?;
        let found = fstat(&file).ok()?;
        Some(Moment {
            seconds: found.st_ctime,
            nanoseconds: u32::try_from(found.st_ctime_nsec).unwrap_or_default(),
        })
    }

    /// Its path for people.
    pub(crate) fn shown(&self) -> String {
        escape_path(self.path.as_os_str().as_encoded_bytes())
    }

    /// How many calls were made that may have changed something in it.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Something in it may change now.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Refuses a root file system that some system runs on: there /tmp and /var/cache are in use.
    ///
    /// Two things tell. Init systems leave marks in /run: a mark alone may come from a careless build
    /// step, but on a booted system /run is a mount as well. And whatever the init system, the
    /// machine's process 1 lives in this root; that of a container is no evidence, since it may be
    /// the build step's own command.
    pub fn refuse_booted(&self) -> Result<()> {
        let run_is_mounted =
            look(self.as_fd(), OsStr::new("run")).is_ok_and(|run| run.is_mount != Some(false));
        let mark = MARKS.into_iter().find(|mark| self.dir.exists(mark));
        let evidence = match mark {
            Some(mark) if run_is_mounted => format!("/{mark} exists and /run is mounted"),
            _ if self.is_root_of_machine(Path::new("/proc")) => {
                "the machine's process 1 runs in it".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::Booted { evidence })
    }

    /// Whether process 1 is the machine's and this is its root. The kernel's own threads are children
    /// of process 2, which no other pid namespace shows.
    fn is_root_of_machine(&self, proc: &Path) -> bool {
        let kernel = fs::read(proc.join("2/comm"));
        let init = fs::metadata(proc.join("1/root"));
        kernel.is_ok_and(|name| name == b"kthreadd\n")
            && init.is_ok_and(|init| {
                (self.dir.dir_metadata())
                    .is_ok_and(|own| (own.dev(), own.ino()) == (init.dev(), init.ino()))
            })
    }

    /// Whether this process runs in it, as in a build step, and so can run its programs.
    pub fn is_own_root(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Whether it is to be committed.
    ///
    /// # Errors
    /// When it does not look like a bootable image's and is to be refused then.
    pub fn is_to_commit(&self, ordinary: Ordinary) -> Result<bool> {
        match ordinary {
            Ordinary::Commit => Ok(true),
            _ if self.is_bootable() => Ok(true),
            Ordinary::Leave => Ok(false),
            Ordinary::Refuse => Err(Error::NotBootable {
                rootfs: self.path.clone(),
            }),
        }
    }

    /// Whether this is a bootable image's root file system: it has the directory /sysroot, which
    /// no ordinary image has, and at least one of
    /// - the link /ostree to sysroot/ostree, which both ostree and bootc require,
    /// - /usr/lib/ostree/prepare-root.conf, which sets up the root at boot,
    /// - the directory /usr/lib/bootc,
    /// - /sysroot/ostree/repo/config, the repository of an encapsulated commit.
    fn is_bootable(&self) -> bool {
        let links_to_sysroot = || {
            self.dir.read_link_contents("ostree").is_ok_and(|target| {
                target.as_os_str() == "sysroot/ostree" || target == Path::new("/sysroot/ostree")
            })
        };
        self.is("sysroot", Metadata::is_dir)
            && (links_to_sysroot()
                || self.is("usr/lib/ostree/prepare-root.conf", Metadata::is_file)
                || self.is("usr/lib/bootc", Metadata::is_dir)
                || self.is("sysroot/ostree/repo/config", Metadata::is_file))
    }

    fn is(&self, path: &str, kind: fn(&Metadata) -> bool) -> bool {
        self.dir
            .symlink_metadata_optional(path)
            .is_ok_and(|found| found.as_ref().is_some_and(kind))
    }
}

impl AsFd for Rootfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn bootable_after(prepare: impl FnOnce(&Path)) -> bool {
        let root = tempfile::tempdir().expect("a directory");
        prepare(root.path());
        Rootfs::open(root.path()).expect("opens").is_bootable()
    }

    fn mkdir(root: &Path, path: &str) {
        fs::create_dir_all(root.join(path)).expect("a directory");
    }

    #[test]
    fn an_ostree_base_is_bootable() {
        assert!(bootable_after(|root| {
            mkdir(root, "sysroot/ostree");
            symlink("sysroot/ostree", root.join("ostree")).expect("a link");
        }));
    }

    #[test]
    fn a_plain_bootc_base_is_bootable() {
        assert!(bootable_after(|root| {
            mkdir(root, "sysroot");
            mkdir(root, "usr/lib/bootc");
        }));
    }

    #[test]
    fn an_ordinary_image_is_not_bootable_even_with_the_tools_installed() {
        assert!(!bootable_after(|_| ()));
        assert!(!bootable_after(|root| mkdir(root, "usr/lib/bootc")));
        assert!(!bootable_after(|root| mkdir(root, "sysroot")));
        assert!(!bootable_after(|root| mkdir(root, "ostree/repo")));
    }

    #[test]
    fn the_root_of_the_machines_first_process_is_no_builds_whatever_its_init_system() {
        let (root, proc) = (tempfile::tempdir(), tempfile::tempdir());
        let (root, proc) = (root.expect("a directory"), proc.expect("a directory"));
        mkdir(proc.path(), "1");
        mkdir(proc.path(), "2");
        symlink(root.path(), proc.path().join("1/root")).expect("a link");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        for (second, is_machine) in [("kthreadd\n", true), ("sh\n", false)] {
            fs::write(proc.path().join("2/comm"), second).expect("a file");
            assert_eq!(rootfs.is_root_of_machine(proc.path()), is_machine);
            let other = Rootfs::open(proc.path()).expect("opens");
            assert!(!other.is_root_of_machine(proc.path()));
        }
    }

    #[test]
    fn marks_of_a_running_system_count_only_when_run_is_mounted() {
        let root = tempfile::tempdir().expect("a directory");
        mkdir(root.path(), "run/systemd/system");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        assert!(rootfs.refuse_booted().is_ok());
    }
}
