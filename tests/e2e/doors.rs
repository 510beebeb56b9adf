//! One commit, several doors: the frontend, podman and buildah with the host command before them (buildah without an OCI
//! runtime), a RUN that ends in `ostree container commit`, a RUN under
//! `ostree-container step`, and `ostree-container commit --rootfs` from outside leave the same tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use osderive_tests::listing::{Listing, differences, list};
use osderive_tests::product::{self, Profile};
use osderive_tests::scenario::unpack;

use crate::Setup;
use crate::host::build_by_host_command;
use crate::packages::{VENDOR, build_with_vendor};

// Six times the same packages, and the trees of all on disk.
crate::tests![LARGE = the_same_commit_by_any_door_leaves_the_same_tree];

/// Accounts, /opt with a capability and a setgid file, /var with files of packages and of nobody.
const INSTALL: &str = r"
set -e
apt-get update
apt-get install -y --no-install-recommends nginx-light redis-server /packages/acme-agent.deb
echo one >/var/lib/redis/dump.rdb
mkdir -p '/var/lib/my app/empty' /var/spool/mine
chown redis:adm /var/spool/mine
echo x >'/var/lib/my app/file'
ln -s nowhere '/var/lib/my app/link'
touch /tmp/left /var/tmp/left
";

const RUN: &str = "RUN --mount=type=bind,from=build,source=/packages,target=/packages";
const TOOL: &str = "--mount=type=bind,from=osderive,source=/tool/linux-amd64,target=/run/.osderive";
const BASE: &str = "--mount=type=bind,from=debian-ostree-base,target=/run/.base";
/// What a RUN by hand has to begin with on a base whose /var is empty; it skips what only a machine knows.
const MAKE_VAR: &str = "(systemd-tmpfiles --create --prefix=/var || true)";

const COMPARED: [&str; 5] = ["usr", "etc", "var", "opt", "home"];
/// What a root file system needs besides to be known as bootable.
const ROOT: [&str; 10] = [
    "usr", "etc", "var", "opt", "home", "ostree", "sysroot", "run", "tmp", "boot",
];

/// What the engine mounts into the container that the tree is read from.
pub(crate) const OF_ENGINE: [&str; 4] =
    ["etc/hosts", "etc/hostname", "etc/mtab", "etc/resolv.conf"];

/// What a commit by hand leaves for a later RUN, which nothing makes /var for: directories that are emptied
/// and those that /opt and /usr/local lead to.
const FOR_LATER_RUNS: [&str; 4] = ["var/cache", "var/opt", "var/tmp", "var/usrlocal"];

const SYSUSERS: &str = "usr/lib/sysusers.d/00-osderive-";
const TMPFILES: &str = "usr/lib/tmpfiles.d/00-osderive-";

struct Tree {
    listing: Listing,
    /// The accounts that are declared, one line each.
    declared: BTreeSet<String>,
    /// The lines that make /var and links, whichever files they are in: a commit by hand writes one, and a build one for
    /// each RUN and one at its end.
    made: BTreeSet<String>,
}

impl Tree {
    fn read(root: &Path) -> Self {
        let mut listing = list(root, &COMPARED).unwrap();
        let mut lines_of = |own: &str| {
            let mut lines = BTreeSet::new();
            listing.retain(|path, _| {
                let is_own = path.to_string_lossy().starts_with(own);
                if is_own {
                    let text = fs::read_to_string(root.join(path)).unwrap();
                    let said = text.lines().filter(|line| !line.starts_with('#'));
                    lines.extend(said.map(str::to_owned));
                }
                !is_own
            });
            lines
        };
        let (declared, made) = (lines_of(SYSUSERS), lines_of(TMPFILES));
        for path in OF_ENGINE {
            listing.remove(Path::new(path));
        }
        Self {
            listing,
            declared,
            made,
        }
    }
}

fn the_same_commit_by_any_door_leaves_the_same_tree(setup: &Setup) {
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    let scenario = |name: &str, first_line: &str, run: &str| {
        let containerfile =
            format!("{first_line}\n{VENDOR}COPY install.sh /usr/share/install.sh\n{run}\n");
        let scenario = setup.scenario(&format!("door-{name}"), &containerfile);
        let root = folder.path().join(name);
        fs::create_dir(&root).unwrap();
        (scenario.file("install.sh", INSTALL).unwrap(), root)
    };
    let build = |name: &str, first_line: &str, run: &str| {
        let (scenario, root) = scenario(name, first_line, run);
        build_with_vendor(setup, &scenario, &[]);
        scenario.unpack(&ROOT, &root).unwrap();
        root
    };
    let build_by = |engine: &str, isolation: &str, run: &str| {
        let (scenario, root) = scenario(engine, "", run);
        let vendor = setup.places.workspace().join("tests/fixtures/vendor");
        let vendor = format!("--build-context=vendor={}", vendor.display());
        build_by_host_command(setup, &scenario, engine, &[&vendor, isolation]);
        unpack(&setup.engine, "podman", scenario.tag(), &ROOT, &root).unwrap();
        root
    };
    let install = "sh /usr/share/install.sh";
    let run = format!("{RUN} {install}");
    let step = "/run/.osderive/ostree-container step --";
    let end = format!("RUN {TOOL} {BASE} /run/.osderive/ostree-container commit --base /run/.base");
    let commit = "PATH=$PATH:/run/.osderive ostree container commit";
    let in_run = format!("{RUN} {TOOL} {MAKE_VAR}; {install} && {commit}");
    let ((by_podman, rewritten), (by_frontend, by_step, by_hand, outside)) =
        thread::scope(|scope| {
            let by_host_command = scope.spawn(|| {
                (
                    build_by("podman", "--isolation=oci", &run),
                    build_by("buildah", "--isolation=chroot", &run),
                )
            });
            let by_docker = (
                build("frontend", crate::SYNTAX, &run),
                build("step", "", &format!("{RUN} {TOOL} {step} {install}\n{end}")),
                build("hand", "", &in_run),
                build("outside", "", &format!("{RUN} {MAKE_VAR}; {install}")),
            );
            (by_host_command.join().unwrap(), by_docker)
        });
    commit_from_outside(setup, &outside);

    let by_frontend = Tree::read(&by_frontend);
    for (door, root) in [
        ("by podman", by_podman),
        ("by buildah without a runtime", rewritten),
        ("by a step", by_step),
    ] {
        let other = Tree::read(&root);
        let different = differences(&by_frontend.listing, &other.listing);
        assert!(different.is_empty(), "{door}: {different:#?}");
        assert_eq!(by_frontend.declared, other.declared, "{door}");
        assert_eq!(by_frontend.made, other.made, "{door}");
    }
    for (door, root) in [("in a RUN", by_hand), ("from outside", outside)] {
        expect_the_same(door, &by_frontend, &Tree::read(&root));
    }
}

fn commit_from_outside(setup: &Setup, root: &Path) {
    let tool = product::tool(Profile::Test, &setup.places).unwrap();
    let output = Command::new(tool)
        .args(["commit", "--rootfs"])
        .arg(root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Compares what a step that knows what was there before left with what a commit by hand left.
fn expect_the_same(door: &str, step: &Tree, by_hand: &Tree) {
    let mut different = differences(&step.listing, &by_hand.listing);
    different.retain(|path, [step, by_hand]| {
        let is_for_later = FOR_LATER_RUNS.iter().any(|top| path.starts_with(top));
        !(is_for_later && step == "missing" && by_hand.starts_with("directory"))
    });
    let lines: Vec<String> = (different.iter())
        .map(|(path, [step, by_hand])| format!("/{}: {step}; {by_hand}", path.display()))
        .collect();
    assert!(
        lines.is_empty(),
        "by a commit {door}:\n{}",
        lines.join("\n")
    );
    assert_eq!(step.made, by_hand.made, "by a commit {door}");
    assert!(step.declared.is_subset(&by_hand.declared), "{door}");
    // Which accounts the base had is not known by hand: they are declared, too.
    let name = |line: &String| {
        line.split_whitespace()
            .nth(1)
            .unwrap_or_default()
            .to_owned()
    };
    let of_step: BTreeSet<String> = step.declared.iter().map(name).collect();
    for line in by_hand.declared.difference(&step.declared) {
        assert!(!of_step.contains(&name(line)), "{door}: {line}");
    }
}
