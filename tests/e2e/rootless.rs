//! Builds by a user without root, as on most laptops: the ids of the image are those of a user namespace, and the store
//! is the user's own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use osderive_tests::base::Base;
use osderive_tests::listing::{Listing, differences, list};
use osderive_tests::scenario::{Scenario, unpack};

use crate::Setup;
use crate::doors::OF_ENGINE;
use crate::host::{NETWORK, build_by_host_command, command, load_bases, osderive, run};

crate::tests![
    a_user_without_root_builds_the_same_tree: OwnCache,
];

const USER: u32 = 1000;

/// Adds the user and its subordinate ids to the engine's root, once.
const ADD_USER: &str = "\
grep -q ^author: /etc/passwd && exit
echo author:x:1000:1000::/tmp:/bin/sh >>/etc/passwd
echo author:x:1000: >>/etc/group
echo author:100000:65536 | tee -a /etc/subuid >>/etc/subgid
";

const CONTAINERFILE: &str = "\
FROM debian-ostree-base
COPY --chown=7:8 file /var/lib/copied/file
RUN useradd --system acme && mkdir -p /var/lib/acme /opt/acme && chown acme:adm /var/lib/acme && \
    echo x >/opt/acme/file && chmod 4755 /opt/acme/file && echo x >/tmp/left
USER acme
RUN test \"$(id -un)\" = acme && test -e /tmp/left && test -u /opt/acme/file && echo mine >/var/lib/acme/mine
USER root
";

const COMPARED: [&str; 6] = ["usr", "etc", "var", "opt", "run", "tmp"];

/// A user of the engine's root with a home and a store of its own.
struct User<'a> {
    setup: &'a Setup,
    home: PathBuf,
}

impl<'a> User<'a> {
    fn new(setup: &'a Setup, scenario: &Scenario<'_>) -> Self {
        let mut add = command(setup, scenario, "sh");
        add.args(["-c", ADD_USER]);
        run(add).expect(0);
        let home = scenario.folder().with_extension("home");
        let configuration = home.join(".config/containers");
        let runtime = home.join("run");
        fs::create_dir_all(&configuration).unwrap();
        fs::create_dir_all(&runtime).unwrap();
        // Not every kernel lets a user mount what other drivers need.
        fs::write(
            configuration.join("storage.conf"),
            "[storage]\ndriver = \"vfs\"\n",
        )
        .unwrap();
        let own = |path: &Path| chown(path, Some(USER), Some(USER)).unwrap();
        configuration.ancestors().take(3).for_each(own);
        own(&runtime);
        own(scenario.folder());
        Self { setup, home }
    }

    /// A command of the user's in a scenario's folder.
    fn command(&self, scenario: &Scenario<'_>, program: &str) -> Command {
        let id = USER.to_string();
        let mut command = command(self.setup, scenario, "setpriv");
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", program])
            .env("HOME", &self.home)
            .env("XDG_CACHE_HOME", self.home.join("cache"))
            .env("XDG_RUNTIME_DIR", self.home.join("run"));
        command
    }
}

fn a_user_without_root_builds_the_same_tree(setup: &Setup) {
    load_bases(setup);
    let scenario = setup
        .scenario("rootless", CONTAINERFILE)
        .file("file", "copied\n")
        .unwrap();
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    let tree = |name: &str| -> Listing {
        let root = folder.path().join(name);
        fs::create_dir(&root).unwrap();
        unpack(&setup.engine, "podman", scenario.tag(), &COMPARED, &root).unwrap();
        let mut listing = list(&root, &COMPARED).unwrap();
        for path in OF_ENGINE {
            listing.remove(Path::new(path));
        }
        listing
    };
    build_by_host_command(setup, &scenario, "podman", &[]);
    let of_root = tree("root");

    let user = User::new(setup, &scenario);
    let base = Base::Ostree.build(&setup.places).unwrap();
    let mut import = user.command(&scenario, "podman");
    import
        .args(["import", "--quiet", "--change=LABEL containers.bootc=1"])
        .arg(&base.archive)
        .arg(Base::Ostree.name());
    run(import).expect(0);
    for (engine, isolation) in [("podman", "oci"), ("buildah", "chroot")] {
        let mut build = user.command(&scenario, &osderive(&setup.places).display().to_string());
        build
            .args([engine, "build", NETWORK, "--layers=false", "--tag"])
            .args([scenario.tag(), "--isolation", isolation, "."]);
        let log = run(build).expect(0);
        assert!(log.contains("osderive: committed"), "{log}");
        let archive = user.home.join("image.tar");
        let mut save = user.command(&scenario, "podman");
        save.args(["save", "--quiet", "--output"])
            .args([&archive])
            .arg(scenario.tag());
        run(save).expect(0);
        let mut load = command(setup, &scenario, "podman");
        load.args(["load", "--quiet", "--input"]).arg(&archive);
        run(load).expect(0);
        fs::remove_file(archive).unwrap();
        let different = differences(&of_root, &tree(engine));
        assert!(different.is_empty(), "{engine}: {different:#?}");
    }
    fs::remove_dir_all(user.home).unwrap();
}
