//! The probe: a service that reports from inside a booted machine. It comes as systemd credentials, in the SMBIOS
//! tables of a virtual machine or as options of systemd-nspawn, so nothing of it is in the image.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::{Result, io_error};

const SCRIPT: &str = include_str!("probe.sh");

const UNIT: &str = "\
[Unit]
Description=Boot probe
[Service]
ImportCredential=boot.probe
ExecStart=/bin/sh %d/boot.probe OUTPUT
TimeoutStopSec=5
";

const WANT: &str = "[Unit]\nWants=boot-probe.service\n";

/// What a person did on the machine before the probe reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalChange {
    /// Nothing.
    None,
    /// A user and group `local` with a password, and a changed /etc/hosts; with these ids, or any.
    User(Option<(u32, u32)>),
}

/// The line that [`LocalChange::User`] adds to /etc/hosts.
const CHANGED_LINE: &str = "192.0.2.1 changed.on.this.machine";

impl LocalChange {
    fn script(self) -> String {
        let Self::User(ids) = self else {
            return String::new();
        };
        let (uid, gid) = ids.map_or((String::new(), String::new()), |(uid, gid)| {
            (format!("--uid {uid}"), format!("--gid {gid}"))
        });
        format!(
            "groupadd {gid} local\n\
             useradd {uid} --gid local --create-home local\n\
             echo local:changed-on-this-machine | chpasswd\n\
             echo '{CHANGED_LINE}' >>/etc/hosts\n"
        )
    }
}

/// A system credential (systemd.system-credentials(7)).
#[derive(Debug)]
pub(super) struct Credential {
    name: &'static str,
    content: String,
}

impl Credential {
    /// Writes it below `folder` as a string of QEMU's `-smbios type=11,path=`, and returns the file.
    pub(super) fn smbios(&self, folder: &Path) -> Result<PathBuf> {
        let text = format!(
            "io.systemd.credential.binary:{}={}",
            self.name,
            STANDARD.encode(&self.content)
        );
        self.write(folder, &text)
    }

    /// Writes it below `folder`; returns the value of systemd-nspawn's option `--load-credential`.
    pub(super) fn for_nspawn(&self, folder: &Path) -> Result<OsString> {
        let path = self.write(folder, &self.content)?;
        let mut value = OsString::from(format!("{}:", self.name));
        value.push(path);
        Ok(value)
    }

    fn write(&self, folder: &Path, text: &str) -> Result<PathBuf> {
        let path = folder.join(self.name);
        fs::write(&path, text).map_err(io_error("write", &path))?;
        Ok(path)
    }
}

/// The probe's credentials; it reports to a file or device of the machine.
pub(super) fn credentials(change: LocalChange, output: &str) -> [Credential; 3] {
    let credential = |name, content| Credential { name, content };
    [
        credential("boot.probe", format!("{}{SCRIPT}", change.script())),
        credential(
            "systemd.extra-unit.boot-probe.service",
            UNIT.replace("OUTPUT", output),
        ),
        credential("systemd.unit-dropin.multi-user.target", WANT.to_owned()),
    ]
}
