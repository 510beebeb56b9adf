//! Real packages, installed as users do: nothing of them is left for the user to mend, and a machine
//! that knows only what the image declares gets what the packages made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use osderive_tests::base::Base;
use osderive_tests::machine::{Machine, Systemd, accounts, differences};
use osderive_tests::scenario::{self, Scenario, findings};
use tempfile::TempDir;

use crate::{SYNTAX, Setup};

crate::tests![
    a_vendors_deb_keeps_its_accounts_owners_and_capabilities,
    a_vendors_rpm_keeps_its_accounts_owners_and_capabilities,
];

// Tests of many packages: the engine's kind makes no difference to these, their minutes do.
crate::tests![
    LARGE = servers_leave_no_findings_and_their_accounts_and_var_come_back,
    a_vendors_seed_and_directories_are_on_a_machine,
];

/// Debian's servers with all that they recommend, each in a RUN of its own.
const SERVERS: [&str; 12] = [
    "nginx",
    "redis-server",
    "postgresql",
    "tor",
    "chrony",
    "openssh-server",
    "bind9",
    "mosquitto",
    "rabbitmq-server",
    "prometheus",
    "docker.io",
    "cockpit",
];

/// What a machine of any former image may have of its own.
const ACCOUNT_FILES: [&str; 5] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/login.defs",
];

/// What comes with the image, whatever the machine has, and decides about accounts and /var.
const DECLARATIONS: [&str; 15] = [
    "etc/sysusers.d",
    "etc/tmpfiles.d",
    "home",
    "mnt",
    "opt",
    "root",
    "srv",
    "usr/lib/opt",
    "usr/lib/systemd/system",
    "usr/lib/sysimage",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    "usr/lib/usrlocal",
    "usr/local",
    "usr/share/factory",
];

/// Where files are not the image's to bring; the directories are.
const FILES_OF_THE_MACHINE: [&str; 8] = [
    // Caches and scratch space fill again.
    "var/cache/",
    "var/tmp/",
    // What apt and dpkg said about the build.
    "var/log/",
    // apt-get update fetches them.
    "var/lib/apt/lists/",
    // Each machine has its own.
    "var/lib/dbus/machine-id",
    "var/lib/rabbitmq/.erlang.cookie",
    "var/lib/systemd/random-seed",
    // No two clusters of two builds are the same.
    "var/lib/postgresql/17/main/",
];

/// What no machine needs to have, whatever it is.
const NEGLIGIBLE: [&str; 3] = [
    // apt makes it whenever it runs.
    "var/cache/apt/archives/partial",
    // The base image has debconf's database elsewhere; what is here is its scratch space.
    "var/cache/debconf",
    // systemd 257 makes this link by a line of its own, with a modifier that 252 does not know.
    "var/log/README",
];

/// Directives by which a unit makes directories before it starts, and where (systemd.exec(5)).
const UNIT_DIRECTORIES: [(&str, &str); 3] = [
    ("StateDirectory=", "var/lib"),
    ("CacheDirectory=", "var/cache"),
    ("LogsDirectory=", "var/log"),
];

/// The vendor's packages are made in a builder stage, from tests/fixtures/vendor.
pub(crate) const VENDOR: &str = "FROM debian-plain AS build
RUN apt-get update && apt-get install -y --no-install-recommends rpm
RUN --mount=type=bind,from=vendor,target=/vendor sh /vendor/build.sh /packages
FROM debian-ostree-base
";

const DEB: &str = "RUN --mount=type=bind,from=build,source=/packages,target=/packages \
    apt-get update && apt-get install -y /packages/acme-agent.deb && rm -r /var/lib/apt/lists/*
";

const RPM: &str = "COPY --from=vendor rpm/macros /usr/lib/rpm/macros.d/macros.zz-image
RUN apt-get update && apt-get install -y --no-install-recommends rpm libcap2-bin && rm -r /var/lib/apt/lists/*
RUN --mount=type=bind,from=build,source=/packages,target=/packages \
    rpm -i /packages/debian.rpm /packages/acme-agent.rpm && rpm -q acme-agent
";

/// The base's /var is empty, and nothing makes it in a plain build. What only a machine knows is skipped.
const MAKE_VAR: &str = "RUN systemd-tmpfiles --create --prefix=/var || true";

/// What only the package's own scripts know: the payload as its accounts find it.
const USE_AGENT: &str = "
set -e
systemd-tmpfiles --create --prefix=/var
cd /opt/acme/agent
stat -L -c '%n %a %U:%G %h' bin/* lib/* data log /var/lib/acme /var/lib/acme/seed
getcap bin/*
readlink -f /usr/bin/acme
su -s /bin/sh nobody -c 'bin/acme-helper -gn'
";

const AGENT: &str = "\
bin/acme 755 root:root 1
bin/acme-helper 2755 root:acme 1
bin/acme-listen 755 root:root 1
lib/rules 644 root:root 2
lib/rules.default 644 root:root 2
data 750 acme:acme 2
log 2750 acme:adm 2
/var/lib/acme 750 acme:acme 2
/var/lib/acme/seed 644 acme:acme 1
bin/acme-listen cap_net_bind_service=ep
";

/// Machines with each systemd that have the accounts of the base image only, and their releases.
fn on_machines(setup: &Setup, image: &Scenario<'_>, check: impl Fn(&str, &Systemd, &Machine<'_>)) {
    let base = Base::Ostree.name();
    for suite in Systemd::RELEASES {
        let systemd = Systemd::of(suite, &setup.places).unwrap();
        let machine = systemd.machine().unwrap();
        scenario::unpack(
            &setup.engine,
            "docker",
            base,
            &ACCOUNT_FILES,
            &machine.root(),
        )
        .unwrap();
        image.unpack(&DECLARATIONS, &machine.root()).unwrap();
        machine.make_accounts().unwrap();
        check(suite.name(), &systemd, &machine);
    }
}

/// Has each systemd make the accounts on a machine that has those of the base image only.
pub(crate) fn expect_accounts_to_come_back(setup: &Setup, image: &Scenario<'_>) {
    on_machines(setup, image, |release, systemd, machine| {
        let built = systemd.machine().unwrap();
        image.unpack(&ACCOUNT_FILES, &built.root()).unwrap();
        let [machine, built] = [machine, &built].map(|machine| accounts(&machine.root()).unwrap());
        let missing: Vec<_> = built.difference(&machine).collect();
        let invented: Vec<_> = machine.difference(&built).collect();
        assert!(
            missing.is_empty() && invented.is_empty(),
            "on {release}: missing {missing:#?}, there instead {invented:#?}"
        );
    });
}

/// /var as the instructions leave it without osderive. What was built goes: with the image itself it would
/// be gigabytes.
fn var_of_plain(setup: &Setup, plain: &Scenario<'_>) -> TempDir {
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    plain.unpack(&["var"], folder.path()).unwrap();
    setup.tidy().unwrap();
    folder
}

/// Has each systemd make /var on such a machine, and compares it with that of the same instructions
/// built without osderive.
fn expect_var_to_come_back(setup: &Setup, image: &Scenario<'_>, plain: &TempDir) {
    on_machines(setup, image, |release, _, machine| {
        let complaints = machine.make_files().unwrap();
        let by_units = made_by_units(&machine.root());
        let different = differences(plain.path(), &machine.root(), "var").unwrap();
        let lost: Vec<String> = (different.iter())
            .filter(|(path, _)| !by_units.contains(path.as_path()))
            .filter(|(path, _)| !NEGLIGIBLE.iter().any(|place| path.starts_with(place)))
            .filter(|(path, [expected, _])| {
                let path = path.to_string_lossy();
                let mut places = FILES_OF_THE_MACHINE.iter();
                !expected.starts_with("file") || !places.any(|place| path.starts_with(place))
            })
            .map(|(path, [expected, found])| format!("/{}: {expected}; {found}", path.display()))
            .collect();
        assert!(
            lost.is_empty(),
            "on {release}, {} differences:\n{}\n{complaints}",
            lost.len(),
            lost.join("\n")
        );
    });
}

/// The directories that the services of a root make for themselves, with their parents.
fn made_by_units(root: &Path) -> BTreeSet<PathBuf> {
    let mut made = BTreeSet::new();
    let units = fs::read_dir(root.join("usr/lib/systemd/system")).unwrap();
    for unit in units.map(|unit| unit.unwrap().path()) {
        // Links lead to other units of the directory or out of this root.
        if !fs::symlink_metadata(&unit).unwrap().is_file() {
            continue;
        }
        let text = fs::read_to_string(&unit).unwrap();
        for (directive, parent) in UNIT_DIRECTORIES {
            let values = text.lines().filter_map(|line| line.strip_prefix(directive));
            for name in values.flat_map(str::split_whitespace) {
                let name = name.split(':').next().unwrap_or(name);
                let path = Path::new(parent).join(name);
                let below = path
                    .ancestors()
                    .take_while(|path| *path != Path::new(parent));
                made.extend(below.map(Path::to_owned));
            }
        }
    }
    made
}

fn servers<'a>(setup: &'a Setup, name: &str) -> Scenario<'a> {
    setup.derive(name, &servers_steps())
}

fn servers_steps() -> String {
    let install = |package| {
        format!("RUN apt-get update && apt-get install -y {package} && rm -r /var/lib/apt/lists/*")
    };
    SERVERS.map(install).join("\n")
}

fn servers_leave_no_findings_and_their_accounts_and_var_come_back(setup: &Setup) {
    let plain = setup.derive("servers-plain", &format!("{MAKE_VAR}\n{}", servers_steps()));
    let built = plain.build(&["--build-arg", "OSDERIVE_BOOTABLE=off"]);
    built.unwrap().expect_success();
    let plain = var_of_plain(setup, &plain);
    let scenario = servers(setup, "servers");
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(findings(&log), [], "{log}");
    let printed = scenario.output_of("cut -d: -f1 /etc/passwd").unwrap();
    for user in [
        "redis",
        "postgres",
        "_chrony",
        "sshd",
        "bind",
        "rabbitmq",
        "prometheus",
    ] {
        assert!(
            printed.lines().any(|name| name == user),
            "{user}: {printed}"
        );
    }
    expect_accounts_to_come_back(setup, &scenario);
    expect_var_to_come_back(setup, &scenario, &plain);
}

fn a_vendors_seed_and_directories_are_on_a_machine(setup: &Setup) {
    for (kind, instructions) in [("deb", DEB), ("rpm", RPM)] {
        let off = ["--build-arg", "OSDERIVE_BOOTABLE=off"];
        let by_hand = format!("{MAKE_VAR}\n{instructions}");
        let plain = install_agent(setup, &format!("seed-{kind}-plain"), &by_hand, &off);
        let plain = var_of_plain(setup, &plain);
        let image = install_agent(setup, &format!("seed-{kind}"), instructions, &[]);
        expect_var_to_come_back(setup, &image, &plain);
    }
}

/// Builds the vendor's packages and installs one.
fn install_agent<'a>(
    setup: &'a Setup,
    name: &str,
    instructions: &str,
    options: &[&str],
) -> Scenario<'a> {
    let scenario = setup.scenario(name, &format!("{SYNTAX}\n{VENDOR}{instructions}"));
    let log = build_with_vendor(setup, &scenario, options);
    assert_eq!(findings(&log), [], "{log}");
    scenario
}

/// Builds a scenario that makes the vendor's packages; answers with the log.
pub(crate) fn build_with_vendor(
    setup: &Setup,
    scenario: &Scenario<'_>,
    options: &[&str],
) -> String {
    let sources = setup.places.workspace().join("tests/fixtures/vendor");
    let context = format!("vendor={}", sources.display());
    let options = [&["--build-context", &context], options].concat();
    scenario.build(&options).unwrap().expect_success()
}

fn expect_the_agent(setup: &Setup, image: &Scenario<'_>) {
    let seen = image.output_of(USE_AGENT).unwrap();
    let rest = seen.strip_prefix(AGENT);
    let (program, group) = rest.and_then(|rest| rest.split_once('\n')).expect(&seen);
    assert!(program.ends_with("/acme/agent/bin/acme"), "{program}");
    assert_eq!(group, "acme", "the setgid helper");
    let accounts = image.output_of("getent passwd acme acme-web; id -Gn acme-web");
    let accounts = accounts.unwrap();
    assert!(
        accounts.starts_with("acme:x:461:461:Acme agent:/opt/acme/agent:"),
        "{accounts}"
    );
    assert!(accounts.ends_with("acme-web adm acme"), "{accounts}");
    expect_accounts_to_come_back(setup, image);
}

fn a_vendors_deb_keeps_its_accounts_owners_and_capabilities(setup: &Setup) {
    expect_the_agent(setup, &install_agent(setup, "vendor-deb", DEB, &[]));
}

fn a_vendors_rpm_keeps_its_accounts_owners_and_capabilities(setup: &Setup) {
    expect_the_agent(setup, &install_agent(setup, "vendor-rpm", RPM, &[]));
}
