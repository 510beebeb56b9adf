//! `cargo xtask demo`: the example, built with osderive and without, and what each has in the
//! places that a booted machine finds empty.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::Engine;

const EXAMPLE: &str = "examples/debian-web";

/// What boot empties or hides; whatever an image has there is dead weight, or gone.
const GONE_AT_BOOT: &str = "/run /tmp /var/tmp /var/cache";

pub(crate) fn run(engine: &Engine, places: &Places) -> Result<()> {
    eprintln!("» {} engine: {}", engine.kind(), engine.version());
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(places)?;
    eprintln!("» build {EXAMPLE} with osderive, which names what it removes");
    build(engine, places, "debian-web", "OSDERIVE_VERBOSE=1")?;
    eprintln!("» build {EXAMPLE} without it, for comparison");
    build(engine, places, "debian-web-plain", "OSDERIVE_BOOTABLE=off")?;
    report(engine, places)
}

fn build(engine: &Engine, places: &Places, tag: &str, argument: &str) -> Result<()> {
    let status = docker(engine, places)
        .args([
            "build",
            "--progress=plain",
            "--tag",
            tag,
            "--build-arg",
            argument,
        ])
        .args(["--file", &format!("{EXAMPLE}/Containerfile"), EXAMPLE])
        .status()
        .context("running docker")?;
    if !status.success() {
        bail!("the build of {EXAMPLE} failed; see its messages above");
    }
    Ok(())
}

fn report(engine: &Engine, places: &Places) -> Result<()> {
    let ours = leftovers(engine, places, "debian-web")?;
    let plain = leftovers(engine, places, "debian-web-plain")?;
    println!("\nIn {GONE_AT_BOOT}, which a machine empties or hides at boot:");
    println!("  without osderive  {} entries", plain.len());
    for path in plain.difference(&ours).take(10) {
        println!("    {path}");
    }
    if plain.len() > 10 {
        println!("    …");
    }
    println!("  with osderive     {} entries", ours.len());
    println!("\nThe steps' own lines above, `osderive: …`, say what each removed and why.");
    println!("The image is `debian-web`; its Containerfile is {EXAMPLE}/Containerfile.");
    Ok(())
}

fn leftovers(engine: &Engine, places: &Places, tag: &str) -> Result<BTreeSet<String>> {
    let list = format!("find {GONE_AT_BOOT} -xdev -mindepth 1 ! -path /run/.containerenv");
    let output = docker(engine, places)
        .args(["run", "--rm", "--network=none", tag, "/bin/sh", "-c", &list])
        .stderr(Stdio::inherit())
        .output()
        .context("running docker")?;
    if !output.status.success() {
        bail!("could not look into the image {tag}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

fn docker(engine: &Engine, places: &Places) -> Command {
    let mut docker = engine.docker();
    docker.current_dir(places.workspace());
    docker
}
