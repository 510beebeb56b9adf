//! Base images as ostree native containers: what the published importer takes, and what the base images of
//! Fedora and its kin are. Made of the same root file systems as the plain ones.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::workshop::Workshop;
use crate::base::Base;
use crate::engine::Engine;
use crate::error::{Result, io_error};
use crate::places::{FileLock, Places};
use crate::process::{capture, run_logged};
use crate::roots::{remove, twelve_digits};

const SCRIPT: &str = include_str!("encapsulate.sh");

/// The encapsulated Debian base's name in an engine.
pub const BASE: &str = "debian-ostree-base:encapsulated";

/// The name of a base in an engine when it is encapsulated.
pub fn encapsulated(base: Base) -> String {
    format!("{}:encapsulated", base.name())
}

/// Sees to it that the engine has the encapsulated base, made now (a minute) unless it was before.
pub(super) fn load(
    base: Base,
    engine: &Engine,
    workshop: &Workshop,
    places: &Places,
) -> Result<()> {
    let archive = build(base, workshop, places)?;
    let mut docker = engine.docker();
    docker.args(["load", "--quiet", "--input"]).arg(&archive);
    capture(&format!("load {}", encapsulated(base)), &mut docker).map(drop)
}

fn build(base: Base, workshop: &Workshop, places: &Places) -> Result<PathBuf> {
    let tree = base.build(places)?;
    let inputs = format!("{} {} {SCRIPT}", tree.hash, workshop.hash());
    let digits = twelve_digits(&Sha256::digest(inputs));
    let stem = format!("{}-encapsulated-{digits}", base.name());
    let folder = places.directory("images")?;
    let path = folder.join(format!("{stem}.tar"));
    let _lock = FileLock::wait(&folder.join(format!("{stem}.lock")))?;
    if path.exists() {
        return Ok(path);
    }
    let work = folder.join(format!("{stem}.partial"));
    remove(&work)?;
    fs::create_dir(&work).map_err(io_error("make", &work))?;
    let partial = work.join("image.tar");
    let mut command = workshop.command("/bin/sh");
    command
        .args(["-c", SCRIPT, "encapsulate"])
        .arg(&work)
        .arg(workshop.importer())
        .args([&tree.archive, &partial])
        .arg(encapsulated(base));
    let log = folder.join(format!("{stem}.log"));
    run_logged("encapsulate the base image", &mut command, &log)?;
    fs::rename(&partial, &path).map_err(io_error("put in place", &path))?;
    remove(&work)?;
    Ok(path)
}
