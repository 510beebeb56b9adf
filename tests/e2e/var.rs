//! /var is what boot makes of it: there for a step's command, and not in the layer unless the
//! command put something there.

use osderive_tests::saved_image::Layer;
use osderive_tests::scenario::{Door, Scenario};
use tar::EntryType;

use crate::Setup;

crate::tests![
    a_run_goes_on_from_what_earlier_ones_left_wherever_it_is,
    the_working_directory_that_an_image_ends_in_stays_its_users,
    apt_works_on_a_base_whose_var_is_empty,
    a_step_that_changes_nothing_leaves_an_empty_var_empty,
    a_package_with_a_directory_where_var_has_a_link_into_run_installs,
    an_upgrade_of_what_an_earlier_step_installed_works,
    a_step_finds_what_the_images_own_systemd_would_make,
    services_have_their_var_through_install_upgrade_and_purge,
    what_a_first_start_makes_is_left_to_it,
    what_a_package_of_dpkg_loses_to_a_mount_or_rm_is_declared_or_told,
];

/// Lines with every kind of quoting and owner, beside those that the base's packages bring.
const ODD_LINES: &str = r#"
d "/var/lib/with space" 2750 daemon adm 10d
d /var/lib/back\\slash - - - -
d "/var/lib/quo\"te" 0700 1234 4321
d /var/lib/percent%%/deep/er
L "/var/lib/a link" - - - - to\x20here and\\there
f /var/lib/file 0640 root adm - with "content"\n
C /var/lib/copied - daemon adm - /usr/share/odd
d /var/lib/nobodys - no-such-user
"#;

/// Makes /var anew with systemd-tmpfiles and lists both. systemd alone makes what only a running
/// machine knows (its machine-id), and the special modes and attributes of the journal.
const COMPARE: &str = r"
set -e
mkdir -p /tmp/r/usr/lib /tmp/r/usr/share /tmp/r/var
cp -a /etc /tmp/r/
cp -a /usr/lib/tmpfiles.d /tmp/r/usr/lib/
cp -a /usr/share/odd /tmp/r/usr/share/
list() { (cd $1/var && find . -mindepth 1 -printf '%p|%y|%m|%U|%G|%l\n' | grep -v ./log/journal | LC_ALL=C sort); }
list '' > /usr/share/ours
systemd-tmpfiles --root=/tmp/r --create --boot --prefix=/var 2> /usr/share/complaints || true
list /tmp/r > /usr/share/theirs
";

/// The base with nothing at all below /var, as an image of its own; and a scenario from it.
fn derive_from_empty<'a>(setup: &'a Setup, name: &str, instructions: &str) -> Scenario<'a> {
    let base = format!("{name}-base");
    let empty = setup.scenario(&base, "FROM debian-ostree-base\nRUN rm -rf /var/*\n");
    empty.build(&[]).unwrap().expect_success();
    assert_eq!(empty.output_of("ls -A /var").unwrap(), "");
    let from = empty.tag();
    setup.scenario(
        name,
        &format!("{}\nFROM {from}\n{instructions}\n", crate::SYNTAX),
    )
}

fn apt_works_on_a_base_whose_var_is_empty(setup: &Setup) {
    let scenario = derive_from_empty(
        setup,
        "var-apt",
        "RUN apt-get update && apt-get install -y --no-install-recommends hello",
    );
    scenario.build(&[]).unwrap().expect_success();
    assert!(scenario.output_of("hello").unwrap().contains("Hello"));
    let image = scenario.saved(1).unwrap();
    // The prelude's own things are not in the layer, what the command wrote is.
    for made in ["var/lib/dpkg", "var/lib/apt/lists/partial", "var/tmp"] {
        assert!(!image.top().contains_key(made), "{made}");
    }
    assert!(image.top().contains_key("usr/bin/hello"));
    // What is in /var at the end are directories that whiteouts stand in.
    let shipped = image.shipped();
    let is_directory = |path: &&str| shipped[*path].kind == EntryType::Directory;
    let kept: Vec<_> = below_var(&shipped)
        .into_iter()
        .filter(|path| !is_directory(path))
        .collect();
    assert_eq!(kept, NOTHING);
}

const NOTHING: [&str; 0] = [];

/// What a layer has below /var.
fn below_var(layer: &Layer) -> Vec<&str> {
    let paths = layer.keys().map(String::as_str);
    paths.filter(|path| path.starts_with("var/")).collect()
}

fn a_step_that_changes_nothing_leaves_an_empty_var_empty(setup: &Setup) {
    let scenario = derive_from_empty(setup, "var-nothing", "RUN ls /var/lib/apt/lists/partial");
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    // An engine with a graph driver names /run and /var themselves, since they were written to, and /etc always.
    let is_parent = |path: &str| ["etc", "run", "var"].contains(&path);
    let others: Vec<_> = image.top().keys().filter(|path| !is_parent(path)).collect();
    assert!(others.is_empty(), "{others:?}");
}

fn a_package_with_a_directory_where_var_has_a_link_into_run_installs(setup: &Setup) {
    let install = "RUN apt-get update && apt-get install -y --no-install-recommends drbd-utils\n\
                   RUN dpkg-query --listfiles drbd-utils | grep -x /var/lock";
    let scenario = setup.derive("var-lock", install);
    scenario.build(&[]).unwrap().expect_success();
    let left = scenario.output_of("ls -A /run").unwrap();
    assert!(!left.lines().any(|line| line == "lock"), "{left}");
}

fn an_upgrade_of_what_an_earlier_step_installed_works(setup: &Setup) {
    let scenario = derive_from_empty(
        setup,
        "var-upgrade",
        "RUN apt-get update && apt-get install -y --no-install-recommends hello\n\
         RUN apt-get update && apt-get install -y --reinstall hello\n\
         RUN apt-get purge -y hello && dpkg -l > /usr/share/packages",
    );
    scenario.build(&[]).unwrap().expect_success();
    assert!(
        scenario
            .output_of("command -v hello || echo none")
            .unwrap()
            .contains("none")
    );
}

fn a_step_finds_what_the_images_own_systemd_would_make(setup: &Setup) {
    let scenario = derive_from_empty(
        setup,
        "var-systemd",
        "COPY odd.conf /usr/lib/tmpfiles.d/odd.conf\nCOPY odd /usr/share/odd\n\
         COPY compare.sh /usr/share/compare.sh\nRUN sh /usr/share/compare.sh",
    )
    .file("odd.conf", ODD_LINES)
    .unwrap()
    .file("odd/deep/file", "x")
    .unwrap()
    .file("compare.sh", COMPARE)
    .unwrap();
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let text = |path: &str| String::from_utf8_lossy(&image.top()[path].content).into_owned();
    let (ours, theirs) = (text("usr/share/ours"), text("usr/share/theirs"));
    assert!(ours.contains("./lib/copied/deep/file|f|644|1|4|"), "{ours}");
    assert_eq!(ours, theirs, "{}", text("usr/share/complaints"));
}

/// Lists /var in one way: what a package left there, and what a machine makes of the image. Not
/// listed are logs, caches and what apt and systemd make again.
const LIST: &str = r"
list() {
    (cd $1/var && find . -mindepth 1 -printf '%p|%y|%m|%u|%G|%l\n') | LC_ALL=C sort | grep -Ev \
        -e '^./(log|cache|lib/apt/lists)/[^|]*[|]f' -e '^./tmp' -e '^./lib/systemd/(catalog|random-seed)' \
        -e '^./log/(journal|README|private)' -e '^./lib/private' -e '^./cache/(apt/archives/partial|debconf)'
}
";

/// What systemd makes of the image's tmpfiles.d on an empty /var.
const ANEW: &str = r"
. /usr/share/list.sh
mkdir -p /tmp/m/usr/lib /tmp/m/usr/share /tmp/m/var
cp -a /etc /tmp/m/
cp -a /usr/lib/tmpfiles.d /tmp/m/usr/lib/
[ ! -d /usr/share/factory ] || cp -a /usr/share/factory /tmp/m/usr/share/
systemd-tmpfiles --root=/tmp/m --create --boot --prefix=/var 2>&1 | grep -v ^$ >&2
list /tmp/m
";

const SERVICES: &str = "\
COPY list.sh /usr/share/list.sh
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light redis-server postgresql \
    mosquitto && echo one >/var/lib/redis/dump.rdb && . /usr/share/list.sh && list '' >/usr/share/installed
RUN apt-get update && apt-get install -y --reinstall redis-server mosquitto && \
    test \"$(cat /var/lib/redis/dump.rdb)\" = one && echo two >/var/lib/redis/dump.rdb && \
    test -e /var/lib/postgresql/*/main/PG_VERSION && \
    . /usr/share/list.sh && list '' >/usr/share/upgraded
RUN apt-get purge -y redis-server redis-tools mosquitto && rm -rf /var/lib/redis && \
    . /usr/share/list.sh && list '' >/usr/share/purged
";

fn services_have_their_var_through_install_upgrade_and_purge(setup: &Setup) {
    let scenario = derive_from_empty(setup, "var-services", SERVICES)
        .file("list.sh", LIST)
        .unwrap();
    let built = scenario.build(&[]).unwrap().expect_success();
    assert!(built.contains("in /usr/share/factory"), "{built}");
    let image = scenario.saved(4).unwrap();
    let shipped = image.shipped();
    let kept = below_var(&shipped).into_iter();
    let kept: Vec<_> = kept
        .filter(|path| shipped[*path].kind != EntryType::Directory)
        .collect();
    assert_eq!(kept, NOTHING);
    let text = |path: &str| scenario.output_of(&format!("cat {path}")).unwrap();
    let machine = scenario.output_of(ANEW).unwrap();
    assert_eq!(machine, text("/usr/share/purged"));
    let installed = text("/usr/share/installed");
    for service in ["nginx", "redis", "postgresql", "mosquitto"] {
        assert!(
            installed.contains(&format!("./lib/{service}|d|")),
            "{installed}"
        );
    }
    let lines = text("/usr/lib/tmpfiles.d/00-osderive-*");
    for gone in ["redis", "mosquitto"] {
        assert!(!lines.contains(gone), "{lines}");
        let copies = format!("ls /usr/share/factory/var/lib/{gone} 2>&1 || true");
        assert!(scenario.output_of(&copies).unwrap().contains("No such"));
    }
}

fn what_a_first_start_makes_is_left_to_it(setup: &Setup) {
    let syntax = crate::SYNTAX;
    let steps = "\
RUN install -d -o daemon -m 700 /var/lib/sql/main /var/lib/sql/main/tables && \
    echo build >/var/lib/sql/main/tables/1 && echo build >/var/lib/sql/main/id && echo 1 >/var/lib/sql/conf
RUN echo build >/var/lib/sql/main/id && echo 2 >/var/lib/sql/conf";
    let scenario = setup.scenario(
        "first-start",
        &format!("{syntax} --first-start=/var/lib/sql/main\nFROM debian-ostree-base\n{steps}\n"),
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(2).unwrap();
    assert_eq!(crate::below(&image.shipped(), "var/lib/sql"), [""; 0]);
    let at_boot = "systemd-tmpfiles --create --prefix=/var; cat /var/lib/sql/conf; \
                   find /var/lib/sql/main -printf '%y %m %u %p'";
    let made = scenario.output_of(at_boot).unwrap();
    assert_eq!(made, "2\nd 700 daemon /var/lib/sql/main");
}

fn what_a_package_of_dpkg_loses_to_a_mount_or_rm_is_declared_or_told(setup: &Setup) {
    let syntax = crate::SYNTAX;
    let install = |mounts: &str, then: &str| {
        format!(
            "{syntax}\n{ACME}RUN --mount=type=bind,from=build,source=/packages,target=/packages {mounts} \
             dpkg -i /packages/acme.deb{then}\n"
        )
    };
    let caches =
        "--mount=type=cache,target=/var/log,id=e2e-dpkg-log --mount=type=tmpfs,target=/var/spool";
    let scenario = setup.scenario("dpkg-mounts", &install(caches, ""));
    let log = scenario.build(&[]).unwrap().expect_success();
    let at_boot = "systemd-tmpfiles --create --prefix=/var; \
                   find /var/log/acme /var/spool/acme -printf '%y %m %u %g %p\n' | sort -k 5";
    let made = scenario.output_of(at_boot).unwrap();
    let expected = "d 2750 daemon adm /var/log/acme\nd 755 root root /var/spool/acme\nd 700 daemon root /var/spool/acme/queue";
    assert_eq!(made, expected);
    let told =
        "/var/spool/acme/seed of the package acme: installed in this RUN, and not in the image";
    assert!(log.contains(told), "{}", log);

    let scenario = setup.scenario("dpkg-rm", &install("", " && rm -rf /opt/* /var/*"));
    let log = scenario.build(&[]).unwrap().expect_success();
    // dpkg does not know whether its last directories are any.
    let told = "/opt/acme/tool and 2 other files of the package acme: installed in this RUN, and not in the image";
    assert!(log.contains(told), "{}", log);
}

/// A package with entries of each kind, whose script gives some away.
const ACME: &str = r"FROM debian-ostree-base AS build
RUN mkdir -p /p/DEBIAN /p/var/log/acme /p/var/spool/acme/queue /p/opt/acme /packages && cd /p && \
    touch var/spool/acme/seed opt/acme/tool && \
    printf 'Package: acme\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: one\n' >DEBIAN/control && \
    printf '#!/bin/sh\nchown daemon:adm /var/log/acme; chmod 2750 /var/log/acme\nchown daemon /var/spool/acme/queue; chmod 700 /var/spool/acme/queue\n' >DEBIAN/postinst && \
    chmod 755 DEBIAN/postinst && dpkg-deb --build /p /packages/acme.deb
FROM debian-ostree-base
";

/// Each RUN looks for what earlier ones left, in the places where people put things.
const GOING_ON: &str = "\
RUN useradd -m -s /bin/sh app && echo x > /home/app/first && chown app: /home/app/first
USER app
WORKDIR /home/app/src
RUN test -s ~/first && mkdir -p ~/.config/x && echo y > ~/.config/x/y && echo z > here
RUN test -s ~/first && test -s ~/.config/x/y && test -s here && test -w ~ && echo >> ~/first
COPY --chown=app file /home/app/
RUN test $(wc -l < ~/first) = 2 && test -s ~/file && test $(stat -c %a:%U ~) = 700:app
USER root
WORKDIR /
RUN test $(stat -c %U /var/home) = root && mkdir -p /root/.cargo/bin && printf '#!/bin/sh\\necho tool' > /root/.cargo/bin/tool && chmod +x /root/.cargo/bin/tool
ENV PATH=/root/.cargo/bin:$PATH
RUN test $(tool) = tool && mkdir -p /opt/app/data /usr/local/bin /srv/www /mnt/data && touch /opt/app/run /srv/www/index /mnt/data/x
COPY file /opt/app/data/
RUN test -e /opt/app/run && test -s /opt/app/data/file && test -e /srv/www/index && test -e /mnt/data/x && cp /bin/true /usr/local/bin/prog
RUN prog && mkdir -p /var/lib/app/db && echo d > /var/lib/app/db/d && chown -R app: /var/lib/app && chmod 750 /var/lib/app
COPY file /var/lib/app/db/
USER app
RUN echo e >> /var/lib/app/db/d && test -s /var/lib/app/db/file
USER root
RUN test $(wc -l < /var/lib/app/db/d) = 2 && test $(stat -c %a:%U /var/lib/app) = 750:app
";

/// Whose a working directory is that the engine has made after `USER app`.
fn owner_of_working_directory(setup: &Setup) -> &'static str {
    match setup.door {
        Door::Docker => "root",
        Door::Host { .. } => "app",
    }
}

/// podman and buildah make it before each RUN, that of the commit at the end as well.
fn the_working_directory_that_an_image_ends_in_stays_its_users(setup: &Setup) {
    let steps = "RUN useradd -m -s /bin/sh app\nUSER app\nWORKDIR /home/app/src\nRUN pwd >~/where";
    let scenario = setup.derive("ends-in", steps);
    scenario.build(&[]).unwrap().expect_success();
    let kept = "stat -c %U /usr/share/factory/var/home/app/src; \
        grep -h '[dz] /var/home/app/src ' /usr/lib/tmpfiles.d/00-osderive-* | cut -d' ' -f1,4";
    let kept = scenario.output_of(kept).unwrap();
    assert!(kept.lines().all(|line| line.ends_with("app")), "{kept}");
}

fn a_run_goes_on_from_what_earlier_ones_left_wherever_it_is(setup: &Setup) {
    let scenario = setup.derive("going-on", GOING_ON).file("file", "x\n");
    let scenario = scenario.unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("var-not-declared"), "{log}");
    // On the machine, too.
    let seen = "systemd-tmpfiles --create --boot --prefix=/var; cd /home/app && stat -c '%n %U %a' . first file src src/here .config/x/y /var/lib/app/db/* /opt/app/data/file";
    let owner = owner_of_working_directory(setup);
    assert_eq!(
        scenario.output_of(seen).unwrap(),
        format!(
            ". app 700\nfirst app 644\nfile app 644\nsrc {owner} 755\nsrc/here app 644\n.config/x/y app 644\n\
         /var/lib/app/db/d app 644\n/var/lib/app/db/file root 644\n/opt/app/data/file root 644"
        )
    );
}
