//! One boot of a disk in QEMU, until the probe has reported and the machine has shut down.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::disk::Disk;
use super::guest::Guest;
use super::probe::{self, LocalChange};
use super::report::Report;
use super::workshop::Workshop;
use crate::error::Result;

/// How long a boot in emulation may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// The machine's second serial port, which the probe writes to.
const OUTPUT: &str = "/dev/ttyS1";

const MACHINE: &[&str] = &[
    "-machine",
    "q35",
    "-m",
    "2048",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    // Otherwise programs that want randomness wait for it.
    "-device",
    "virtio-rng-pci",
];

/// An emulated processor is ten times slower than those that systemd's limits are made for, and slower
/// still beside another one (kernel-command-line(7)). What does not start at all must have failed before [`PATIENCE`] ends.
const SLOW: &str = "systemd.default_timeout_start_sec=180 systemd.default_device_timeout_sec=180";

/// What runs the machine's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// Emulation.
    Tcg,
    /// This machine's own processor.
    Kvm,
}

impl Accelerator {
    fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
        }
    }
}

/// A boot to be run.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    workshop: &'a Workshop,
    disk: &'a Disk,
    accelerator: Accelerator,
    change: LocalChange,
    patience: Duration,
    snapshot: bool,
    processors: u8,
}

impl<'a> Boot<'a> {
    pub(super) fn new(workshop: &'a Workshop, disk: &'a Disk, accelerator: Accelerator) -> Self {
        Self {
            workshop,
            disk,
            accelerator,
            change: LocalChange::None,
            patience: PATIENCE,
            snapshot: false,
            processors: 2,
        }
    }

    /// What happens on the machine before the probe reports.
    pub(super) fn changed(mut self, change: LocalChange) -> Self {
        self.change = change;
        self
    }

    /// How long the machine may take to report.
    pub(super) fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many processors the machine has.
    pub(super) fn with_processors(mut self, processors: u8) -> Self {
        self.processors = processors;
        self
    }

    /// The disk stays as it was.
    pub(super) fn without_a_trace(mut self) -> Self {
        self.snapshot = true;
        self
    }

    /// Boots the machine and returns what its probe reported, when it has shut down. All that it writes to its
    /// console is kept in the file `console`.
    pub(super) fn run(self, console: &Path) -> Result<Report> {
        let guest = Guest {
            runner: "QEMU",
            patience: self.patience,
            output: self.disk.folder().join("probe.txt"),
            console,
        };
        guest.clear()?;
        self.disk.wait_until_free()?;
        guest.run(
            self.command(console, &guest.output)?
                .stdout(Stdio::null())
                .stderr(Stdio::piped()),
        )
    }

    fn command(&self, console: &Path, output: &Path) -> Result<Command> {
        let snapshot = if self.snapshot { "on" } else { "off" };
        let drive = format!(
            "file={},format=raw,if=virtio,cache=unsafe,discard=unmap,snapshot={snapshot}",
            self.disk.path().display()
        );
        let mut command = self.workshop.command("qemu-system-x86_64");
        command
            .args(self.accelerator.arguments())
            .args(MACHINE)
            .args(["-smp", &self.processors.to_string()])
            .arg("-kernel")
            .arg(self.disk.kernel())
            .arg("-initrd")
            .arg(self.disk.initrd())
            .args(["-append", &format!("{} {SLOW}", self.disk.options()?)])
            .args(["-drive", &drive])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-serial", &format!("file:{}", output.display())]);
        for credential in probe::credentials(self.change, OUTPUT) {
            let table = credential.smbios(self.disk.folder())?;
            command
                .arg("-smbios")
                .arg(format!("type=11,path={}", table.display()));
        }
        Ok(command)
    }
}
