//! Builds by podman and buildah, with the host command before them and without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::OnceLock;

use anyhow::Result;
use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::product::{self, Profile};
use osderive_tests::saved_image::SavedImage;
use osderive_tests::scenario::Scenario;

use crate::{Setup, printed_by};

pub(crate) const ENGINES: [&str; 2] = ["podman", "buildah"];

/// What the network of a container would need, a build here does not have.
pub(crate) const NETWORK: &str = "--network=host";

pub(crate) struct Built {
    pub(crate) code: Option<i32>,
    /// What was printed, the engine's words first.
    pub(crate) log: String,
}

impl Built {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.log);
        self.log
    }
}

/// A command among the engine's processes, in a scenario's folder. Reports of earlier builds are the scenario's own.
pub(crate) fn command(setup: &Setup, scenario: &Scenario<'_>, program: &str) -> Command {
    let mut command = setup.engine.command(program);
    command
        .current_dir(scenario.folder())
        .env(
            "XDG_CACHE_HOME",
            format!("{}.cache", scenario.folder().display()),
        )
        .env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
        // That of Docker's client names a file that is not there, which is an error to buildah.
        .env_remove("DOCKER_CONFIG")
        .stdin(Stdio::null());
    command
}

/// What buildah says where it could not start a command at all under chroot isolation: it runs a copy of itself in memory,
/// and the kernel refuses to seal that while something else of it looks at one of the pages (containers/storage
/// `pkg/unshare/unshare.c`; fcntl(2), `F_ADD_SEALS`, `EBUSY`). Seen once in some hundred steps.
const NOT_STARTED: &str = "sealing memfd copy: Device or resource busy";

pub(crate) fn run(mut command: Command) -> Built {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut attempts = 0;
    loop {
        let output = command.output().unwrap();
        let log = said(&output.stdout) + &said(&output.stderr);
        attempts += 1;
        if attempts == 5 || output.status.success() || !log.contains(NOT_STARTED) {
            let code = output.status.code();
            return Built { code, log };
        }
    }
}

/// Sees to it that podman and buildah have the base images; tests that begin at the same time wait for the first.
pub(crate) fn load_bases(setup: &Setup) {
    setup.has_bases_for_podman.get_or_init(|| {
        for base in [Base::Ostree, Base::Plain] {
            let places = &setup.places;
            setup.engine.load_base_for_podman(base, places).unwrap();
            // Two tests that made the image of the first step at once would have two of them, and a rebuild goes on from
            // the newest.
            let text = format!("FROM {}\n", base.name());
            let scenario = setup.scenario(&format!("podman-warm-{}", base.name()), &text);
            build(setup, &scenario, "podman", &[]).expect(0);
        }
    });
}

/// Removes podman's images. buildah compares each step with all of them.
pub(crate) fn remove_images(setup: &Setup) -> Result<()> {
    let mut podman = setup.engine.command("podman");
    podman.args(["rmi", "--all", "--force"]);
    printed_by(&mut podman, "remove podman's images").map(drop)
}

/// Has an engine build a scenario as osderive's host command does, with more options.
pub(crate) fn build_by_host_command(
    setup: &Setup,
    scenario: &Scenario<'_>,
    engine: &str,
    options: &[&str],
) {
    load_bases(setup);
    build(setup, scenario, engine, options).expect(0);
}

pub(crate) fn scenario<'a>(setup: &'a Setup, name: &str, containerfile: &str) -> Scenario<'a> {
    load_bases(setup);
    setup.scenario(&format!("podman-{name}"), containerfile)
}

/// The host command, built once.
pub(crate) fn osderive(places: &Places) -> &'static Path {
    static HOST: OnceLock<PathBuf> = OnceLock::new();
    HOST.get_or_init(|| product::host(Profile::Test, places).unwrap())
}

/// A build with osderive, under the scenario's name.
pub(crate) fn build(
    setup: &Setup,
    scenario: &Scenario<'_>,
    engine: &str,
    options: &[&str],
) -> Built {
    let mut command = command(
        setup,
        scenario,
        &osderive(&setup.places).display().to_string(),
    );
    command
        .args([
            engine,
            "build",
            NETWORK,
            "--layers",
            "--tag",
            scenario.tag(),
        ])
        .args(options)
        .arg(".");
    run(command)
}

/// The same without osderive.
pub(crate) fn build_plain(
    setup: &Setup,
    scenario: &Scenario<'_>,
    engine: &str,
    options: &[&str],
) -> Built {
    let mut command = command(setup, scenario, engine);
    command
        .args(["build", NETWORK, "--layers", "--tag", scenario.tag()])
        .args(options)
        .arg(".");
    run(command)
}

pub(crate) fn saved(setup: &Setup, scenario: &Scenario<'_>, keep: usize) -> SavedImage {
    let archive = scenario.folder().with_extension("tar");
    let mut save = command(setup, scenario, "podman");
    save.args(["save", "--quiet", "--format=oci-archive", "--output"])
        .arg(&archive)
        .arg(scenario.tag());
    run(save).expect(0);
    let image = SavedImage::read(fs::File::open(&archive).unwrap(), keep).unwrap();
    fs::remove_file(archive).unwrap();
    image
}

/// The scenario with its text, in which a label makes all steps new to the cache: after builds without a cache, an engine
/// has several images of the same beginning to go on from, and takes any.
pub(crate) fn renewed<'a>(scenario: Scenario<'a>, text: &str, of: &str) -> Scenario<'a> {
    let label = format!("\nLABEL of={of}-{}-{}\n", process::id(), scenario.tag());
    let text = text.replacen('\n', &label, 1);
    scenario.file("Containerfile", &text).unwrap()
}

/// Whether an image has something at a path. To save it would take seconds.
pub(crate) fn has(setup: &Setup, scenario: &Scenario<'_>, path: &str) -> bool {
    let mut test = command(setup, scenario, "podman");
    test.args([
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=/usr/bin/test",
    ])
    .args([scenario.tag(), "-e", path]);
    let tested = run(test);
    assert!(matches!(tested.code, Some(0 | 1)), "{}", tested.log);
    tested.code == Some(0)
}

pub(crate) fn has_image(setup: &Setup, scenario: &Scenario<'_>) -> bool {
    let mut exists = command(setup, scenario, "podman");
    exists.args(["image", "exists", scenario.tag()]);
    run(exists).code == Some(0)
}

pub(crate) fn remove_image(setup: &Setup, scenario: &Scenario<'_>) {
    let mut remove = command(setup, scenario, "podman");
    remove.args(["rmi", "--force", "--ignore", scenario.tag()]);
    run(remove).expect(0);
}
