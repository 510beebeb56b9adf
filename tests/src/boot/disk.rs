//! A machine's disk: an image deployed by the reference importer, or the tree of an ordinary system. A disk
//! that a machine used is deployed into as an update of that machine would be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::Archive;
use super::layout::Layout;
use super::workshop::Workshop;
use crate::error::{Result, io_error};
use crate::process::run_logged;
use crate::roots::remove;

const PREPARE: &str = concat!(include_str!("release.sh"), include_str!("prepare.sh"));
const DEPLOY: &str = concat!(include_str!("release.sh"), include_str!("deploy.sh"));
const INSTALL: &str = concat!(include_str!("release.sh"), include_str!("install.sh"));

/// What the machine's kernel is told; the last three end a boot that cannot go on.
const KERNEL_ARGUMENTS: &[&str] = &[
    "root=/dev/vda",
    "rootfstype=ext4",
    "rw",
    "console=ttyS0",
    "quiet",
    "systemd.show_status=yes",
    "panic=-1",
    "rd.shell=0",
    "rd.emergency=poweroff",
];

/// A disk, and the kernel that it boots with, in a folder that goes with the value.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// A disk with nothing on it yet.
    pub(super) fn empty(folder: &Path) -> Result<Self> {
        remove(folder)?;
        fs::create_dir_all(folder).map_err(io_error("make", folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// A copy, as if the machine had been cloned.
    pub(super) fn copy(&self, folder: &Path) -> Result<Self> {
        let copy = Self::empty(folder)?;
        let mut cp = Command::new("cp");
        cp.args(["--sparse=always", "--reflink=auto", "--recursive"])
            .arg(self.folder.join("."))
            .arg(folder);
        run_logged("copy a disk", &mut cp, &copy.log())?;
        Ok(copy)
    }

    /// A disk that has an image's layers and no system yet.
    pub(super) fn prepared(folder: &Path, workshop: &Workshop, image: &Layout) -> Result<Self> {
        let disk = Self::empty(folder)?;
        let mut command = workshop.command("/bin/sh");
        command
            .args(["-c", PREPARE, "disk"])
            .arg(disk.path())
            .args([workshop.importer(), image.path()]);
        run_logged("import the base image", &mut command, &disk.log())?;
        Ok(disk)
    }

    /// Deploys an image: the first on this disk, or the next.
    pub(super) fn deploy(&self, workshop: &Workshop, image: &Layout) -> Result<()> {
        let mut command = self.script(workshop, DEPLOY);
        command
            .args([workshop.importer(), image.path()])
            .args(KERNEL_ARGUMENTS);
        run_logged("import and deploy", &mut command, &self.log())
    }

    /// Makes an ordinary mutable system of a root file system.
    pub(super) fn install(&self, workshop: &Workshop, tree: &Archive) -> Result<()> {
        let mut command = self.script(workshop, INSTALL);
        command.arg(tree.path()).args(KERNEL_ARGUMENTS);
        run_logged("install", &mut command, &self.log())
    }

    fn script(&self, workshop: &Workshop, script: &str) -> Command {
        let mut command = workshop.command("/bin/sh");
        command
            .args(["-c", script, "disk"])
            .arg(self.path())
            .arg(&self.folder);
        command
    }

    /// The folder of the disk, for what belongs to its machine.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("disk.img")
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    pub(super) fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }

    /// The kernel's command line.
    pub(super) fn options(&self) -> Result<String> {
        let path = self.folder.join("options");
        let text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
        Ok(text.trim_end().to_owned())
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            eprintln!("warning: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::process::capture;

    use super::*;

    const RELEASE: &str = include_str!("release.sh");

    /// Unmounts a file system that is in use for so many seconds after its unmounting has begun.
    fn release(seconds: u32) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "{RELEASE}\nset -eu; mount -t tmpfs tmpfs \"$1\"; : >\"$1/file\"; sleep {seconds} <\"$1/file\" &\n\
             release \"$1\"; findmnt \"$1\" || echo released"
        );
        let mut sh = Command::new("unshare");
        sh.args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", &script, "sh"])
            .arg(folder.path());
        capture("unmount", &mut sh)
    }

    #[test]
    fn a_disk_that_is_in_use_for_a_moment_is_unmounted_after_that() {
        assert_eq!(release(1).unwrap(), "released");
    }
}
