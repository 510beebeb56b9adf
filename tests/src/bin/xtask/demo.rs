//! `cargo xtask demo`: the example, built with osderive and without, what each has in the places that a booted machine finds
//! empty, and which of their services run there.

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

/// What a machine that was just installed has empty. The image is its root file system, and systemd its first process.
const INSTALLED: [&str; 9] = [
    "--privileged",
    "--cgroupns=private",
    "--network=none",
    "--tmpfs=/run",
    "--tmpfs=/tmp",
    "--tmpfs=/var:exec,mode=0755",
    "--env=container=docker",
    "--entrypoint=/sbin/init",
    "--detach",
];

/// Ends when boot has, and lists all services with their state.
const SERVICES: &str = "
    for try in $(seq 240); do
        state=$(systemctl is-system-running 2>/dev/null) || true
        case $state in
            running | degraded) exec systemctl list-units --type=service --all --plain --no-legend --no-pager ;;
        esac
        sleep 0.25
    done
    echo \"boot did not end: $state\" >&2
    exit 1
";

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
    let booted = |tag| services(engine, places, tag);
    match booted("debian-web-plain").and_then(|plain| Ok((plain, booted("debian-web")?))) {
        Ok((plain, ours)) => compare(&plain, &ours),
        // A rootless engine, or one on an older kernel's control groups.
        Err(error) => println!("\nThis engine's containers cannot boot the images: {error:#}"),
    }
    println!("\nThe steps' own lines above, `osderive: …`, say what each removed and why.");
    println!("The image is `debian-web`; its Containerfile is {EXAMPLE}/Containerfile.");
    Ok(())
}

/// Shows the services that are in another state without osderive.
fn compare(plain: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) {
    println!("\nBooted in a container, with the empty /var of a machine that was just installed:");
    println!("  {:<24}  {:<16}  with osderive", "", "without osderive");
    for (unit, state) in ours {
        let before = plain.get(unit).map_or("missing", String::as_str);
        if before != state {
            println!("  {unit:<24}  {before:<16}  {state}");
        }
    }
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
    let run = ["run", "--rm", "--network=none", tag, "/bin/sh", "-c", &list];
    let text = said(docker(engine, places).args(run))?;
    let entry = |line: &str| {
        let (bytes, path) = line.split_once(' ')?;
        Some((path.to_owned(), bytes.parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).collect())
}

/// The state of each service once an image has booted, by its unit's name.
fn services(engine: &Engine, places: &Places, tag: &str) -> Result<BTreeMap<String, String>> {
    let container = said(docker(engine, places).arg("run").args(INSTALLED).arg(tag))?;
    let container = container.trim();
    let listed = said(docker(engine, places).args(["exec", container, "/bin/sh", "-c", SERVICES]));
    said(docker(engine, places).args(["rm", "--force", container]))?;
    let listed = listed.with_context(|| format!("the image {tag} was booted"))?;
    let state = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?.to_owned(), words.nth(1)?.to_owned()))
    };
    Ok(listed.lines().filter_map(state).collect())
}

fn said(docker: &mut Command) -> Result<String> {
    let output = docker.stderr(Stdio::inherit()).output();
    let output = output.context("running docker")?;
    if !output.status.success() {
        bail!("docker failed; see its messages above");
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn docker(engine: &Engine, places: &Places) -> Command {
    let mut docker = engine.docker();
    docker.current_dir(places.workspace());
    docker
}
