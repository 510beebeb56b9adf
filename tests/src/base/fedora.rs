//! The base images that are shaped like Fedora's: where they differ among themselves, and what Debian lacks for them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::{cargo_program, run_logged};
use crate::roots::{Given, Suite};

const PACKAGES: &[&str] = &["dnf5", "libcap2-bin", "rpm"];

const PACKAGES_OF_DNF4: &[&str] = &[
    "authselect",
    "checkpolicy",
    "dnf",
    "libcap2-bin",
    "policycoreutils",
    "rpm",
    "selinux-policy-default",
    "semodule-utils",
];

/// Which of the images that are shaped like Fedora's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shaped {
    /// `fedora-shaped-base`: dnf5, and the database of packages in /usr/lib/sysimage/rpm.
    Fedora,
    /// `fedora-shaped-rpm-ostree`: as rpm-ostree makes them, with the database in /usr/share/rpm and a second name of it.
    RpmOstree,
    /// `fedora-shaped-dnf4`: dnf4, and a policy of SELinux whose store is in /etc.
    Dnf4,
}

impl Shaped {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fedora, Self::RpmOstree, Self::Dnf4];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fedora => "fedora-shaped-base",
            Self::RpmOstree => "fedora-shaped-rpm-ostree",
            Self::Dnf4 => "fedora-shaped-dnf4",
        }
    }

    /// The policy of Debian unstable does not configure.
    pub(super) fn suite(self) -> Suite {
        match self {
            Self::Fedora | Self::RpmOstree => Suite::Sid,
            Self::Dnf4 => Suite::Trixie,
        }
    }

    pub(super) fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Fedora | Self::RpmOstree => PACKAGES,
            Self::Dnf4 => PACKAGES_OF_DNF4,
        }
    }

    /// What `fedora.sh` finds in `$FILES`.
    pub(super) fn files(self, places: &Places) -> Result<Vec<Given>> {
        let (database, dnf) = match self {
            Self::Fedora => ("/usr/lib/sysimage/rpm", "dnf5"),
            Self::RpmOstree => ("/usr/share/rpm", "dnf5"),
            Self::Dnf4 => ("/usr/lib/sysimage/rpm", "dnf-3"),
        };
        let given = |name, content: &str| Given {
            name,
            content: content.into(),
        };
        let module = nss_module(places)?;
        Ok(vec![
            given("fedora.conf", &format!("dbpath={database}\ndnf={dnf}\n")),
            given("fedora-base.spec", include_str!("fedora/fedora-base.spec")),
            given(
                "05-rpmostree.install",
                include_str!("fedora/05-rpmostree.install"),
            ),
            given("alternatives", include_str!("fedora/alternatives")),
            given(
                "systemd-update-helper",
                include_str!("fedora/systemd-update-helper"),
            ),
            Given {
                name: "libnss_altfiles.so",
                content: fs::read(&module).map_err(io_error("read", &module))?,
            },
        ])
    }
}

/// The NSS module (`tests/altfiles`), built by the machine's own Rust for its own libc, which is no newer than those of the
/// roots that load it.
fn nss_module(places: &Places) -> Result<PathBuf> {
    let folder = places.directory("altfiles")?;
    let _lock = FileLock::wait(&folder.join("lock"))?;
    let manifest = places.workspace().join("tests/altfiles/Cargo.toml");
    let mut cargo = Command::new(cargo_program());
    cargo
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&folder)
        // The same sources give the same bytes wherever they are: a base image is known by them.
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            crate::product::paths_kept_out(places.workspace()).join("\x1f"),
        );
    run_logged(
        "build the NSS module",
        &mut cargo,
        &folder.join("build.log"),
    )?;
    Ok(folder.join("release/libnss_altfiles.so"))
}
