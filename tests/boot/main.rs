//! The proof: an image built with osderive boots, with everything that it was built for, on a machine that is
//! installed from it and on one that is updated to it; and nothing is left of a boot. Needs root on
//! Debian or Ubuntu, and fails elsewhere.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use Runner::{Nspawn, Qemu};

use osderive_tests::Places;
use osderive_tests::base::Base;
use osderive_tests::boot::{BASE, Harness, Report, Runner, Saved, Way, check_importer, kept};
use osderive_tests::engine::{Engine, Kind, group_name};
use osderive_tests::product::Profile;
use osderive_tests::scenario::{Scenario, findings};

/// Each is a RUN of its own, as in many a user's Containerfile. Without postfix, cron would bring another mail
/// server, whose units' links would dangle when postfix takes its place.
const PACKAGES: [&str; 9] = [
    "postfix",
    "chrony",
    "cron",
    "mosquitto",
    "nginx-light",
    "openssh-server",
    "postgresql",
    "redis-server",
    "tor",
];

/// What these packages and the vendors' start.
const SERVICES: [&str; 11] = [
    "acme-agent.service",
    "bravo-agent.service",
    "chrony.service",
    "cron.service",
    "mosquitto.service",
    "nginx.service",
    "postfix.service",
    "postgresql@17-main.service",
    "redis-server.service",
    "ssh.service",
    "tor@default.service",
];

/// What a container may not do, and so leaves out: setting the clock.
const LEFT_OUT: &str = "chrony.service";

/// Two vendors: one has a deb, the other an RPM.
const VENDORS: &str = "FROM debian-plain AS build
RUN apt-get update && apt-get install -y --no-install-recommends rpm
RUN --mount=type=bind,from=vendor,target=/acme \\
    cp -r /acme /bravo && cd /bravo && mv acme bravo && mv rpm/acme-agent.spec rpm/bravo-agent.spec \\
    && mv acme-agent.service bravo-agent.service \\
    && find . -type f -exec sed -i 's/acme/bravo/g; s/Acme/Bravo/g; s/461/462/g' {} + \\
    && sh /acme/build.sh /packages && sh /bravo/build.sh /packages
RUN --mount=type=bind,from=vendor,target=/vendor \\
    --mount=type=bind,from=debian-ostree-base:encapsulated,source=/usr/lib/modules,target=/modules \\
    sh /vendor/module.sh /modules /packages
";

const AGENTS: &str = "COPY --from=vendor rpm/macros /usr/lib/rpm/macros.d/macros.zz-image
RUN apt-get update && apt-get install -y --no-install-recommends rpm libcap2-bin && rm -r /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/packages,target=/packages \\
    apt-get update && apt-get install -y /packages/acme-agent.deb /packages/acme-module.deb \\
    && systemctl enable acme-agent && rm -r /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/packages,target=/packages \\
    rpm -i /packages/debian.rpm /packages/bravo-agent.rpm && systemctl enable bravo-agent
";

/// What an agent has where it found its kernel module loaded.
const MODULE: &str = "-rw-r--r-- acme:acme /var/lib/opt/acme/agent/data/module";

/// What each agent has below /var when it ran: its seed, and what it wrote in its own directory of /opt.
const STATE: [&str; 4] = [
    "-rw-r--r-- acme:acme /var/lib/acme/seed",
    "-rw-r--r-- acme:acme /var/lib/opt/acme/agent/data/state",
    "-rw-r--r-- bravo:bravo /var/lib/bravo/seed",
    "-rw-r--r-- bravo:bravo /var/lib/opt/bravo/agent/data/state",
];

fn containerfile() -> String {
    let install = |package| {
        format!(
            "RUN apt-get update && apt-get install -y {package} && rm -r /var/lib/apt/lists/*\n"
        )
    };
    let packages = PACKAGES.map(install).concat();
    format!("# syntax=osderive\n{VENDORS}FROM debian-ostree-base:encapsulated\n{packages}{AGENTS}")
}

#[test]
#[ignore = "boots for minutes: cargo xtask test runs it beside the others"]
fn an_image_of_ten_services_boots_installed_and_updated() -> Result<(), Box<dyn Error + Send + Sync>>
{
    let places = Places::of_workspace()?;
    let engine = Engine::select(None, &places)?;
    let harness = Harness::new(&engine, &places, "services")?;
    harness.load_base(Base::Ostree, &places)?;
    engine.load_base(Base::Plain, &places)?;
    engine.load_frontend(Profile::Test, &places)?;

    let image = Scenario::new(&engine, &places, "boot-services")?
        .file("Containerfile", &containerfile())?;
    let sources = places.workspace().join("tests/fixtures/vendor");
    let context = format!("vendor={}", sources.display());
    let log = image
        .build(&["--build-context", &context])?
        .expect_success();
    assert_eq!(findings(&log), [], "{log}");

    // The kernel, the initramfs and devices are QEMU's to prove, once. What is declared and what becomes of it is the
    // same in a container.
    let harness = harness.in_runner(Nspawn);
    let saved = harness.save(image.tag(), BASE, "image")?;
    let (fresh, upgraded) = thread::scope(|scope| {
        let fresh = scope.spawn(|| boot(&harness, &saved, Way::Fresh, [Nspawn, Nspawn]));
        let upgraded = boot(&harness, &saved, Way::Upgraded, [Qemu, Nspawn]);
        (fresh.join().expect("a thread that ends"), upgraded)
    });
    fresh.and(upgraded)
}

/// All services run after both boots, as do the agents as their users; what the machine had is still its own.
fn boot(
    harness: &Harness<'_>,
    image: &Saved,
    way: Way,
    runners: [Runner; 2],
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut machine = harness.machine(image, way)?;
    for (boot, runner) in ["first", "second"].into_iter().zip(runners) {
        let report = machine.boot_in(runner)?;
        let wrong = wrong(&report, machine.before.as_ref(), runner);
        assert!(
            wrong.is_empty(),
            "{way}, {boot} boot in {runner:?}: {wrong:#?}\n{}\nthe consoles are in {}",
            report.failures.join("\n"),
            harness.folder().display()
        );
    }
    Ok(())
}

fn wrong(report: &Report, before: Option<&Report>, runner: Runner) -> Vec<String> {
    let active = |unit: &str| {
        let state = report.units.get(unit);
        state.is_some_and(|state| state.active == "active")
    };
    let expected = |unit: &&str| runner == Qemu || *unit != LEFT_OUT;
    let expected = SERVICES.into_iter().filter(expected);
    let stopped = expected.filter(|unit| !active(unit));
    let mut wrong: Vec<String> = stopped
        .map(|unit| format!("{unit} is not active"))
        .collect();
    wrong.extend(report.failed().map(|unit| format!("{unit} failed")));
    let there = |line: &str| report.files.iter().any(|file| file == line);
    let module = (runner == Qemu).then_some(MODULE);
    let missing = STATE.into_iter().chain(module).filter(|line| !there(line));
    wrong.extend(missing.map(|line| format!("there is no {line}")));
    wrong.extend(before.into_iter().flat_map(|before| kept(before, report)));
    wrong
}

#[test]
#[ignore = "compiles for a minute: cargo xtask test runs it beside the others"]
fn the_importer_passes_clippy() -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(check_importer(&Places::of_workspace()?)?)
}

#[test]
#[ignore = "boots a machine: cargo xtask test runs it beside the others"]
fn nothing_is_left_of_a_container_whose_harness_is_killed()
-> Result<(), Box<dyn Error + Send + Sync>> {
    // A folder of its own: what another run left would be taken for this one's.
    let name = format!("killed-{}", std::process::id());
    let folder = Places::of_workspace()?.state().join("boot").join(&name);
    let mut harness = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["boot", "--fast", "--way=fresh", BASE])
        .args(["--engine", Kind::DEFAULT.name(), "--name", &name])
        .stdout(Stdio::null())
        .spawn()?;
    let console = folder.join("fresh-1.console");
    let boots = || fs::read_to_string(&console).is_ok_and(|text| text.contains("Welcome to"));
    // Before it boots it makes roots, the importer and an image, which takes minutes on a busy machine.
    let mut has_ended = || harness.try_wait().is_ok_and(|status| status.is_some());
    wait_for(Duration::from_secs(1800), || boots() || has_ended());
    let has_booted = boots();
    let disk = folder.join("fresh-disk");
    let during = traces(&disk);
    harness.kill()?;
    harness.wait()?;
    assert!(has_booted, "no machine booted");
    assert!(!during.is_empty());
    wait_for(Duration::from_secs(30), || traces(&disk).is_empty());
    assert_eq!(traces(&disk), [""; 0]);
    fs::remove_file(folder.with_extension("lock"))?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn wait_for(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < patience {
        if is_so() {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}

/// What of the machine on a disk can be seen from outside: its processes, its loop device, its control group.
fn traces(disk: &Path) -> Vec<String> {
    let path = disk.to_string_lossy();
    let read = |pattern: &str, name: &str| {
        let entries = fs::read_dir(pattern).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path().join(name));
        files
            .filter(|file| {
                fs::read(file).is_ok_and(|text| String::from_utf8_lossy(&text).contains(&*path))
            })
            .map(|file| file.display().to_string())
            .collect::<Vec<_>>()
    };
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchy = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let hierarchy = hierarchy.and_then(|line| line.split(' ').nth(4));
    let groups = hierarchy.map(|hierarchy| Path::new(hierarchy).join(group_name(disk)));
    let group = groups.filter(|group| group.exists());
    [
        read("/proc", "cmdline"),
        read("/sys/block", "loop/backing_file"),
        group
            .iter()
            .map(|group| group.display().to_string())
            .collect(),
    ]
    .concat()
}
