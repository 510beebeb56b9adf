//! What people install the host command from: an archive, a package of dpkg and one of rpm, with checksums and the list of
//! what is in the programs. The package managers' own tools pack them, in a private root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::base::with_package_managers;
use crate::error::{Result, io_error};
use crate::places::Places;
use crate::process::{capture, copy_program, run_logged};
use crate::product::{self, Binary, Profile};
use crate::roots::SOURCE_DATE_EPOCH;
use crate::sbom::{self, Subject};

const SCRIPT: &str = include_str!("dist.sh");

/// What programs print, with its place below /usr.
const PRINTED: [(&[&str], &str); 4] = [
    (&["man"], "share/man/man1/osderive.1"),
    (
        &["completions", "bash"],
        "share/bash-completion/completions/osderive",
    ),
    (
        &["completions", "zsh"],
        "share/zsh/site-functions/_osderive",
    ),
    (
        &["completions", "fish"],
        "share/fish/vendor_completions.d/osderive.fish",
    ),
];

/// Makes them in a folder, in place of those of the same version. The same sources give the same bytes.
///
/// # Errors
/// When the programs cannot be built, or this machine cannot make the private root.
pub fn dist(profile: Profile, places: &Places, out: &Path) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    fs::create_dir_all(out).map_err(io_error("make", out))?;
    let out = fs::canonicalize(out).map_err(io_error("use", out))?;
    let state = places.state();
    let tree = tempfile::tempdir_in(state).map_err(io_error("make a folder in", state))?;
    let usr = tree.path().join("usr");
    lay_out(profile, places, &usr)?;
    let made = tempfile::tempdir_in(&out).map_err(io_error("make a folder in", &out))?;
    let contents = made.path().join(format!("osderive-{version}.cdx.json"));
    let document = sbom::document(places, Subject::Packages)?;
    fs::write(&contents, document).map_err(io_error("write", contents))?;

    let root = with_package_managers(places)?;
    let mut command = root.command("/bin/sh", state, &[state, &out]);
    command
        .args(["-c", SCRIPT, "dist"])
        .arg(tree.path())
        .arg(version)
        .arg(made.path())
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
    run_logged(
        "pack the host command",
        &mut command,
        &state.join("dist.log"),
    )?;
    let names = fs::read_dir(made.path()).map_err(io_error("list", made.path()))?;
    for entry in names.flatten() {
        let to = out.join(entry.file_name());
        fs::rename(entry.path(), &to).map_err(io_error("put in place", to))?;
    }
    Ok(())
}

/// The programs and what belongs to them, as they are below /usr.
fn lay_out(profile: Profile, places: &Places, usr: &Path) -> Result<()> {
    let host = product::host(profile, places)?;
    let tool = Binary::Tool.file_name();
    let make = |path: &Path| {
        let parent = path.parent().unwrap_or(usr);
        fs::create_dir_all(parent).map_err(io_error("make", parent))
    };
    let programs = [
        (host.clone(), usr.join("bin/osderive")),
        (
            host.with_file_name(tool),
            usr.join("libexec/osderive").join(tool),
        ),
    ];
    for (from, to) in &programs {
        make(to)?;
        copy_program(from, to)?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(to, mode).map_err(io_error("make executable", to))?;
    }
    for (words, path) in PRINTED {
        let path = usr.join(path);
        let text = capture("ask the host command", Command::new(&host).args(words))?;
        make(&path)?;
        fs::write(&path, text).map_err(io_error("write", path))?;
    }
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let from = places.workspace().join(license);
        let text = fs::read(&from).map_err(io_error("read", from))?;
        let path = usr.join("share/doc/osderive").join(license);
        make(&path)?;
        fs::write(&path, text).map_err(io_error("write", path))?;
    }
    Ok(())
}
