//! One boot of a disk in systemd-nspawn, until the probe has reported and the machine has shut down: seconds where QEMU
//! takes a minute, without a kernel, an initramfs and devices of its own.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::disk::Disk;
use super::guest::Guest;
use super::probe::{self, LocalChange};
use super::report::Report;
use super::workshop::Workshop;
use crate::engine::group_name;
use crate::engine::private::{LAUNCHER, PATH};
use crate::error::{Result, io_error};

const SUPERVISOR: &str = include_str!("container.sh");
const INSIDE: &str = include_str!("nspawn.sh");

/// How long a boot may take on a busy machine: systemd gives a start 90 s, and one may wait for another.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the machine has the file that the probe writes to.
const OUTPUT: &str = "/run/boot-probe";

/// Nothing registers it, nothing of this machine is put into the image, and it reaches no network. Without the right to
/// make device nodes it has no disk of this machine, whatever its packages look for.
const MACHINE: &[&str] = &[
    "--boot",
    "--machine=machine",
    "--hostname=localhost",
    "--settings=no",
    "--register=no",
    "--keep-unit",
    "--private-network",
    "--drop-capability=CAP_MKNOD",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--console=read-only",
];

/// Boots the machine and returns what its probe reported, when it has shut down. All that it writes to its console is
/// kept in the file `console`.
pub(super) fn boot(
    workshop: &Workshop,
    disk: &Disk,
    change: LocalChange,
    console: &Path,
) -> Result<Report> {
    let folder = disk.folder();
    let guest = Guest {
        runner: "systemd-nspawn",
        patience: PATIENCE,
        output: folder.join("probe.txt"),
        console,
    };
    guest.clear()?;
    let log = || {
        let file = File::options().append(true).open(console);
        file.map_err(io_error("write", console))
    };
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", LAUNCHER, "launcher"])
        .arg(folder.join("alive"))
        .arg(group_name(folder))
        .args([workshop.root(), workshop.state()])
        .args([&disk.path(), folder])
        .args(MACHINE)
        .arg(format!("--bind={}:{OUTPUT}", guest.output.display()));
    for credential in probe::credentials(change, OUTPUT) {
        command
            .arg("--load-credential")
            .arg(credential.for_nspawn(folder)?);
    }
    command
        .env("SUPERVISOR", SUPERVISOR)
        .env("INSIDE", INSIDE)
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .env_remove("TMPDIR")
        .stdout(log()?)
        .stderr(log()?)
        // Ctrl-c is for the harness; the machine follows when its pipe closes.
        .process_group(0);
    guest.run(&mut command)
}
