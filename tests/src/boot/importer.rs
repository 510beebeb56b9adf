//! The reference importer (`tests/importer`): built once, in the workshop, by the machine's own Rust, because
//! it links a libostree that the machine need not have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::workshop::Workshop;
use crate::error::{Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::{capture, cargo_program, run_logged};
use crate::product::cargo_home;
use crate::roots::{remove, twelve_digits};

const SOURCES: [&str; 3] = ["Cargo.toml", "Cargo.lock", "src/main.rs"];
const PROGRAM: &str = "osderive-importer";

/// The program's path, built now (two minutes) unless the same sources were built before.
pub(super) fn obtain(workshop: &Workshop, places: &Places) -> Result<PathBuf> {
    let package = package(places);
    let mut hash = Sha256::new_with_prefix(workshop.hash());
    for name in SOURCES {
        let path = package.join(name);
        hash.update(fs::read(&path).map_err(io_error("read", &path))?);
    }
    let digits = twelve_digits(&hash.finalize());
    let folder = places.directory("boot/importer")?;
    let program = folder.join(format!("{PROGRAM}-{digits}"));
    let _lock = FileLock::wait(&folder.join("lock"))?;
    if !program.exists() {
        build(workshop, places, &folder, &program)?;
    }
    Ok(program)
}

/// Has clippy look at it, as strictly as at the workspace.
///
/// # Errors
/// When it finds anything, or the workshop cannot be made.
pub fn check_importer(places: &Places) -> Result<()> {
    let workshop = Workshop::obtain(places)?;
    let folder = places.directory("boot/importer")?;
    let words = ["clippy", "--release", "--", "--deny", "warnings"];
    let checked = folder.join("checked");
    cargo(&workshop, places, "cargo-clippy", &words, &checked)
}

fn build(workshop: &Workshop, places: &Places, folder: &Path, program: &Path) -> Result<()> {
    let target = folder.join("target");
    cargo(workshop, places, "cargo", &["build", "--release"], &target)?;
    let built = target.join("release").join(PROGRAM);
    fs::rename(&built, program).map_err(io_error("put in place", program))?;
    remove(&target)
}

/// Runs a program of the machine's own toolchain in the workshop. The words before `--` are cargo's.
fn cargo(
    workshop: &Workshop,
    places: &Places,
    tool: &str,
    words: &[&str],
    target: &Path,
) -> Result<()> {
    let package = package(places);
    let manifest = package.join("Cargo.toml");
    let log = places
        .directory("boot/importer")?
        .join(format!("{tool}.log"));
    // The root has no network: the machine fetches, the root compiles.
    let mut fetch = Command::new(cargo_program());
    fetch
        .args(["fetch", "--locked", "--manifest-path"])
        .arg(&manifest);
    run_logged("fetch the reference importer's crates", &mut fetch, &log)?;

    let toolchain = PathBuf::from(capture(
        "tell where its toolchain is",
        Command::new("rustc").args(["--print", "sysroot"]),
    )?);
    let crates = cargo_home();
    let program = toolchain.join("bin").join(tool);
    let mut cargo = workshop.command_with(program, &[&package, &toolchain, &crates]);
    let ours = words.iter().position(|word| *word == "--");
    let (words, others) = words.split_at(ours.unwrap_or(words.len()));
    cargo
        .args(words)
        .args(["--locked", "--offline", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(target)
        .args(others)
        .env("CARGO", toolchain.join("bin/cargo"))
        .env("CARGO_HOME", &crates)
        .env("RUSTC", toolchain.join("bin/rustc"));
    for foreign in [
        "CARGO_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
    ] {
        cargo.env_remove(foreign);
    }
    run_logged(
        &format!("{} the reference importer", words[0]),
        &mut cargo,
        &log,
    )
}

fn package(places: &Places) -> PathBuf {
    places.workspace().join("tests/importer")
}
