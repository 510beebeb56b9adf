//! `cargo xtask demo`: the example, built with osderive and without, and what each has in the
//! places that a booted machine finds empty.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::engine::Engine;
use osderive_tests::product::Profile;

const EXAMPLE: &str = "examples/debian-web";

/// The base with a /var as boot makes it.
const FILLED_BASE: &str = "debian-ostree-base-with-var";

/// What boot empties or hides; whatever an image has there is dead weight, or gone.
const GONE_AT_BOOT: &str = "/run /tmp /var/tmp /var/cache";

/// How many entries the comparison lists.
const SHOWN: usize = 12;

pub(crate) fn run(engine: &Engine, profile: Profile, places: &Places) -> Result<()> {
    eprintln!("» {} engine: {}", engine.kind(), engine.version());
    engine.load_base(Base::Ostree, places)?;
    engine.load_frontend(profile, places)?;
    eprintln!("» build {EXAMPLE} with osderive, which names what it removes");
    build(
        engine,
        places,
        "debian-web",
        &["--build-arg", "OSDERIVE_VERBOSE=1"],
    )?;
    eprintln!(
        "» build {EXAMPLE} without it, for comparison, on a base that was given a /var for apt"
    );
    make_filled_base(engine, places)?;
    let base = format!("{}=docker-image://{FILLED_BASE}", Base::Ostree.name());
    let plain = [
        "--build-context",
        &base,
        "--build-arg",
        "OSDERIVE_BOOTABLE=off",
    ];
    build(engine, places, "debian-web-plain", &plain)?;
    report(engine, places)
}

/// apt needs directories that the base has boot make, and nothing but osderive makes them in a build.
fn make_filled_base(engine: &Engine, places: &Places) -> Result<()> {
    let base = Base::Ostree.name();
    let fill = format!("FROM {base}\nRUN systemd-tmpfiles --create --prefix=/var || true\n");
    let mut client = docker(engine, places)
        .args(["build", "--quiet", "--tag", FILLED_BASE, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("running docker")?;
    let mut containerfile = client.stdin.take().context("docker's standard input")?;
    containerfile.write_all(fill.as_bytes())?;
    drop(containerfile);
    if !client.wait()?.success() {
        bail!("the build of {FILLED_BASE} failed; see its messages above");
    }
    Ok(())
}

fn build(engine: &Engine, places: &Places, tag: &str, options: &[&str]) -> Result<()> {
    let status = docker(engine, places)
        .args(["build", "--progress=plain", "--tag", tag])
        .args(options)
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
    println!("  without osderive  {}", total(&plain));
    for (path, bytes) in plain.iter().take(SHOWN) {
        println!("    {bytes:>10}  {path}");
    }
    if plain.len() > SHOWN {
        println!("    …");
    }
    println!("  with osderive     {}", total(&ours));
    println!("\nThe steps' own lines above, `osderive: …`, say what each removed and why.");
    println!("The image is `debian-web`; its Containerfile is {EXAMPLE}/Containerfile.");
    Ok(())
}

fn total(files: &BTreeMap<String, u64>) -> String {
    format!(
        "{} entries, {} bytes",
        files.len(),
        files.values().sum::<u64>()
    )
}

/// What an image has in places that boot empties, with sizes in bytes; directories count as none.
fn leftovers(engine: &Engine, places: &Places, tag: &str) -> Result<BTreeMap<String, u64>> {
    let list = format!(
        r#"for top in {GONE_AT_BOOT}; do
            [ ! -d "$top" ] || find "$top" -xdev -mindepth 1 \( -type d -printf '0 %p\n' -o -printf '%s %p\n' \)
        done"#
    );
    let output = docker(engine, places)
        .args(["run", "--rm", "--network=none", tag, "/bin/sh", "-c", &list])
        .stderr(Stdio::inherit())
        .output()
        .context("running docker")?;
    if !output.status.success() {
        bail!("could not look into the image {tag}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let entry = |line: &str| {
        let (bytes, path) = line.split_once(' ')?;
        Some((path.to_owned(), bytes.parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).collect())
}

fn docker(engine: &Engine, places: &Places) -> Command {
    let mut docker = engine.docker();
    docker.current_dir(places.workspace());
    docker
}
