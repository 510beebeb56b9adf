//! The probe: a service that reports from inside a booted machine. It comes as systemd credentials in the
//! machine's SMBIOS tables, so nothing of it is in the image.

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
ExecStart=/bin/sh %d/boot.probe
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

/// Writes the probe's credentials below `folder`; the files are strings of QEMU's `-smbios type=11,path=`.
pub(super) fn write(folder: &Path, change: LocalChange) -> Result<Vec<PathBuf>> {
    let script = format!("{}{SCRIPT}", change.script());
    let credentials = [
        ("boot.probe", script.as_str()),
        ("systemd.extra-unit.boot-probe.service", UNIT),
        ("systemd.unit-dropin.multi-user.target", WANT),
    ];
    let write = |(name, content): (&str, &str)| {
        let path = folder.join(name);
        let text = format!(
            "io.systemd.credential.binary:{name}={}",
            STANDARD.encode(content)
        );
        fs::write(&path, text).map_err(io_error("write", &path))?;
        Ok(path)
    };
    credentials.into_iter().map(write).collect()
}
