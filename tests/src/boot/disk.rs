//! A machine's disk: an image deployed by the reference importer, or the tree of an ordinary system. A disk
//! that a machine used is deployed into as an update of that machine would be.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

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

/// How long a machine that was ended may keep its disk.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

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

    /// Waits until no machine has the disk: one that was ended gives it back when the kernel has cleared it away.
    ///
    /// # Errors
    /// When one still has it after half a minute, or there is no disk.
    pub(super) fn wait_until_free(&self) -> Result<()> {
        wait_until_free(&self.path(), PATIENCE)
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }
}

/// QEMU locks bytes of a file that it uses (block/file-posix.c). A lock of ours on all of it is had when it has none.
fn wait_until_free(path: &Path, patience: Duration) -> Result<()> {
    let file = File::options().read(true).write(true).open(path);
    let file = file.map_err(io_error("open", path))?;
    let start = Instant::now();
    loop {
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::ACCESS) if start.elapsed() < patience => sleep(POLL),
            locked => return locked.map_err(|errno| io_error("lock", path)(errno.into())),
        }
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
    use std::io::Read as _;
    use std::process::Stdio;
    use std::thread;

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

    /// Holds a lock on a byte of a file, as QEMU does, until its standard input ends.
    const HOLD: &str = "
        use Fcntl qw(:DEFAULT :seek);
        open(my $file, '+<', $ARGV[0]) or die;
        my $lock = pack('s s x4 q q l x4', F_RDLCK, SEEK_SET, 100, 1, 0);
        fcntl($file, F_SETLK, $lock) or die;
        $| = 1;
        print \"held\\n\";
        <STDIN>;
    ";

    #[test]
    fn a_disk_that_a_machine_has_is_waited_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut perl = Command::new("perl")
            .args(["-e", HOLD])
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = [0; 5];
        perl.stdout.take().unwrap().read_exact(&mut held).unwrap();
        wait_until_free(file.path(), Duration::ZERO).unwrap_err();
        let input = perl.stdin.take();
        thread::scope(|scope| {
            let waits = scope.spawn(|| wait_until_free(file.path(), PATIENCE));
            drop(input);
            waits.join().unwrap().unwrap();
        });
        assert!(perl.wait().unwrap().success());
    }

    #[test]
    fn a_disk_that_is_in_use_for_a_moment_is_unmounted_after_that() {
        assert_eq!(release(1).unwrap(), "released");
    }
}
