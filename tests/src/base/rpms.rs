//! The repository of RPMs that tests install from: made of the specs in `tests/fixtures/specs`, in a private root.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use tempfile::TempDir;

use super::Base;
use crate::error::{Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::run_logged;
use crate::roots::{Recipe, Root, SOURCE_DATE_EPOCH, Shape, Suite, remove, twelve_digits};

const SCRIPT: &str = include_str!("build-rpms.sh");
const TWINS: &str = include_str!("twins.sh");
const LARGE_DATABASE: &str = include_str!("large-rpmdb.sh");

/// The folder of the repository, made now (a minute, and some for its root) unless the same specs were built before.
///
/// # Errors
/// When this machine cannot make it; see [`Recipe::build`].
pub fn repository(places: &Places) -> Result<PathBuf> {
    let root = with_package_managers(places)?;
    let kernel = Base::Ostree.build(places)?;
    let specs = places.workspace().join("tests/fixtures/specs");
    let mut hash = Sha256::new_with_prefix(format!("{} {} {SCRIPT}", root.hash, kernel.hash));
    let names = fs::read_dir(&specs).map_err(io_error("read", &specs))?;
    let mut files: Vec<PathBuf> = names.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in &files {
        hash.update(file.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update(fs::read(file).map_err(io_error("read", file))?);
    }
    let folder = places.directory("images")?;
    let stem = format!("rpms-{}", twelve_digits(&hash.finalize()));
    let path = folder.join(&stem);
    let _lock = FileLock::wait(&folder.join(format!("{stem}.lock")))?;
    if path.exists() {
        return Ok(path);
    }
    let partial = folder.join(format!("{stem}.partial"));
    remove(&partial)?;
    fs::create_dir(&partial).map_err(io_error("make", &partial))?;
    let mut command = root.command("/bin/sh", places.state(), &[places.state(), &specs]);
    command
        .args(["-c", SCRIPT, "build-rpms"])
        .args([&specs, &kernel.archive, &partial])
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH);
    let log = folder.join(format!("{stem}.log"));
    run_logged("build RPMs", &mut command, &log)?;
    fs::rename(&partial, &path).map_err(io_error("put in place", &path))?;
    Ok(path)
}

/// A folder with two trees, `rpm` and `dpkg`: in each the same payload, installed by the package manager of that name.
///
/// # Errors
/// As of [`repository`].
pub fn twins(places: &Places, packages: &[&str]) -> Result<TempDir> {
    let repository = repository(places)?;
    let state = places.state();
    let trees = tempfile::tempdir_in(state).map_err(io_error("make a folder in", state))?;
    let mut command = with_package_managers(places)?.command("/bin/sh", state, &[state]);
    command
        .args(["-c", TWINS, "twins"])
        .arg(&repository)
        .arg(trees.path())
        .args(packages);
    run_logged("install twins", &mut command, &trees.path().join("log"))?;
    Ok(trees)
}

/// The folder of a database as a desktop image has it: `packages` packages of `files` files each, by rpm itself. 400 of
/// 900 are 105 MB.
///
/// # Errors
/// As of [`repository`].
pub fn large_database(places: &Places, packages: usize, files: usize) -> Result<TempDir> {
    let state = places.state();
    let folder = tempfile::tempdir_in(state).map_err(io_error("make a folder in", state))?;
    let mut command = with_package_managers(places)?.command("/bin/sh", state, &[state]);
    command
        .args(["-c", LARGE_DATABASE, "large-rpmdb"])
        .arg(folder.path())
        .args([packages.to_string(), files.to_string()]);
    let log = folder.path().join("log");
    run_logged("make a large database of rpm", &mut command, &log)?;
    Ok(folder)
}

/// A system that has rpm and dpkg, and what makes packages of theirs.
///
/// # Errors
/// When this machine cannot make it; see [`Recipe::build`].
pub fn with_package_managers(places: &Places) -> Result<Root> {
    let packages = ["createrepo-c", "file", "rpm", "xz-utils"];
    Recipe {
        name: "rpms",
        suite: Suite::Sid,
        packages: packages.map(str::to_owned).to_vec(),
        prepare: "",
        finish: "",
        shape: Shape::Directory,
    }
    .build(places)
}
