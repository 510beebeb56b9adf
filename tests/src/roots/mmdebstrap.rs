//! mmdebstrap without installing it: fetched by the machine's apt with private state, unpacked, run from there.
//! Its mounts and processes live in namespaces that end with the harness.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Recipe, Shape};
use crate::error::{Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::{ending_with_us, run_logged};

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "usr/share/keyrings/debian-archive-keyring";

/// What every root gets before its first package: no documentation, and no waiting for the disk.
/// (mmdebstrap's own `--dpkgopt=path-exclude` would need Python.)
pub(super) const SETUP: &str = r#"
mkdir -p "$1/etc/dpkg/dpkg.cfg.d"
{
    printf 'path-exclude=/usr/share/%s/*\n' doc info locale man
    echo 'path-include=/usr/share/doc/*/copyright'
    echo force-unsafe-io
} >"$1/etc/dpkg/dpkg.cfg.d/small"
"#;

/// What is done to every root when its packages are configured: apt's downloads go, its directories stay. No documentation is
/// left either.
pub(super) const CLEANUP: &str = r#"
cd "$1"
rm -rf var/lib/apt/lists/* var/cache/apt/archives/* var/cache/apt/*.bin
rm -f etc/resolv.conf etc/hostname etc/apt/apt.conf.d/99mmdebstrap etc/dpkg/dpkg.cfg.d/99mmdebstrap
find var/log -type f -delete
# Of the essential packages, which are unpacked before dpkg reads its configuration.
find usr/share/doc usr/share/info usr/share/locale usr/share/man ! -type d ! -name copyright -delete
"#;

/// An unpacked mmdebstrap and the keys it trusts.
#[derive(Debug)]
pub(super) struct Tool {
    directory: PathBuf,
    keyring: PathBuf,
}

impl Tool {
    /// Fetches the tool, unless that was done before.
    pub(super) fn obtain(places: &Places) -> Result<Self> {
        let roots = places.directory("roots")?;
        let directory = roots.join("mmdebstrap");
        let _lock = FileLock::wait(&roots.join("mmdebstrap.lock"))?;
        if !directory.exists() {
            let partial = roots.join("mmdebstrap.partial");
            super::remove(&partial)?;
            fetch(&partial, &roots.join("mmdebstrap.log"))?;
            fs::rename(&partial, &directory).map_err(io_error("put in place", &directory))?;
        }
        let keyring = keyring(&directory).unwrap_or_default();
        Ok(Self { directory, keyring })
    }

    /// The command that builds `recipe` at `output`.
    pub(super) fn command(&self, recipe: &Recipe, output: &Path) -> Command {
        let mut command = ending_with_us("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--ipc",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .arg("perl")
            .arg(self.directory.join("usr/bin/mmdebstrap"))
            .args(["--mode=root", "--variant=apt"])
            .args(match recipe.shape {
                Shape::Directory => &["--format=directory"][..],
                // An image says by its machine-id whether it was booted; its own script does.
                Shape::Tar => &["--format=tar", "--skip=cleanup/reproducible/machine-id"],
            })
            .arg(format!("--keyring={}", self.keyring.display()))
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .arg("--aptopt=Acquire::Languages \"none\"")
            // An unstable archive's index is declared stale a week after its signing; a mirror may lag.
            .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
            .arg(format!("--include={}", recipe.packages.join(",")));
        if let Some(architectures) = recipe.architectures() {
            command.arg(format!("--architectures={architectures}"));
        }
        // The last hook cleans up; mmdebstrap's own way leaves lock files, and device nodes in archives.
        command.args(["--skip=cleanup/apt", "--skip=output/dev"]);
        for (hook, script) in [
            ("setup", SETUP),
            ("setup", recipe.prepare),
            ("customize", CLEANUP),
            ("customize", recipe.finish),
        ] {
            if !script.is_empty() {
                command.arg(format!("--{hook}-hook=set -eu\n{script}"));
            }
        }
        command
            .arg(recipe.suite.name())
            .arg(output)
            .arg(MIRROR)
            .env("PATH", tool_path(&self.directory))
            // Debian's kernel hooks honour it: whoever wants an initramfs makes it on purpose.
            .env("INITRD", "No")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("APT_CONFIG");
        command
    }
}

fn tool_path(tool: &Path) -> String {
    let own = tool.join("usr/bin");
    format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        own.display()
    )
}

/// Debian's keys: from trixie's own package in the tool, else from the machine.
fn keyring(tool: &Path) -> Option<PathBuf> {
    [tool, Path::new("/")]
        .iter()
        .flat_map(|base| ["pgp", "gpg"].map(|end| base.join(format!("{KEYRING}.{end}"))))
        .find(|path| path.exists())
}

fn fetch(directory: &Path, log: &Path) -> Result<()> {
    let apt = directory.join("apt");
    for name in [
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/trusted.gpg.d",
        "lists/partial",
        "cache/archives/partial",
    ] {
        let path = apt.join(name);
        fs::create_dir_all(&path).map_err(io_error("make", &path))?;
    }
    let script = directory.join("fetch.sh");
    fs::write(&script, include_str!("fetch.sh")).map_err(io_error("write", &script))?;
    let mut command = Command::new("sh");
    command.arg(&script).arg(directory).arg(MIRROR);
    if let Some(host_keyring) = keyring(Path::new("/")) {
        command.arg(host_keyring);
    }
    run_logged("fetch mmdebstrap from Debian trixie", &mut command, log)
}
