//! The root file system that is committed: its handle, what says that it belongs to a bootable
//! image, and what says that it is running right now.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata},
};
use cap_std_ext::dirext::CapStdExtDirExt as _;
use rustix::fd::{AsFd, BorrowedFd};

use crate::{
    error::{Error, Result},
    handle::look,
    mounts::Mounts,
};

/// An open root file system.
pub(crate) struct Rootfs {
    path: PathBuf,
    dir: Dir,
    mounts: Mutex<Option<Known>>,
}

/// A mount table that was read; none when /proc did not tell.
type Known = Arc<Option<Mounts>>;

impl Rootfs {
    /// Opens a directory as root file system.
    pub(crate) fn open(path: &Path) -> Result<Self> {
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
    pub(crate) fn forget_mounts(&self) {
        *self.mounts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Refuses a root file system that some system runs on: there /tmp and /var/cache are in use.
    ///
    /// systemd and ostree leave their marks in /run. A mark alone may come from a careless build
    /// step; on a booted system /run is a mount as well.
    pub(crate) fn refuse_booted(&self) -> Result<()> {
        let run_is_mounted =
            look(self.as_fd(), OsStr::new("run")).is_ok_and(|run| run.is_mount != Some(false));
        let marks = ["run/ostree-booted", "run/systemd/system"];
        match marks.into_iter().find(|mark| self.dir.exists(mark)) {
            Some(evidence) if run_is_mounted => Err(Error::Booted { evidence }),
            _ => Ok(()),
        }
    }

    /// Whether this process runs in it, as in a build step, and so can run its programs.
    pub(crate) fn is_own_root(&self) -> bool {
        self.path == Path::new("/")
    }

    /// Refuses a root file system that [`is_bootable`](Self::is_bootable) says nothing about.
    pub(crate) fn require_bootable(&self) -> Result<()> {
        if self.is_bootable() {
            return Ok(());
        }
        Err(Error::NotBootable {
            rootfs: self.path.clone(),
        })
    }

    /// Whether this is a bootable image's root file system: it has the directory /sysroot, which
    /// no ordinary image has, and at least one of
    /// - the link /ostree to sysroot/ostree, which both ostree and bootc require,
    /// - /usr/lib/ostree/prepare-root.conf, which sets up the root at boot,
    /// - the directory /usr/lib/bootc,
    /// - /sysroot/ostree/repo/config, the repository of an encapsulated commit.
    pub(crate) fn is_bootable(&self) -> bool {
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
    fn marks_of_a_running_system_count_only_when_run_is_mounted() {
        let root = tempfile::tempdir().expect("a directory");
        mkdir(root.path(), "run/systemd/system");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        assert!(rootfs.refuse_booted().is_ok());
    }
}
