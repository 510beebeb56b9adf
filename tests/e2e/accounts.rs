//! Accounts that packages and commands make in a build: an upgraded machine, which keeps its own
//! /etc/passwd, gets the same ones from sysusers.d, and rebuilds give the same bytes.

use std::collections::BTreeSet;

use crate::Setup;

crate::tests![
    accounts_of_packages_come_back_on_a_machine_without_them,
    accounts_made_by_hand_come_back_and_follow_changes,
    a_rebuild_makes_the_same_account_files,
    a_commit_by_hand_declares_accounts_too,
    accounts_that_the_machine_should_make_are_told,
];

/// Makes the accounts anew from the image's sysusers.d alone, on a machine that has none at all,
/// and prints them, the image's own after a line of dashes.
const MAKE_ANEW: &str = "
set -e
mkdir -p /tmp/m/etc /tmp/m/usr/lib
cp -a /usr/lib/sysusers.d /tmp/m/usr/lib/
for file in passwd group shadow gshadow; do : >/tmp/m/etc/$file; done
systemd-sysusers --root=/tmp/m 2>/tmp/log || { cat /tmp/log; exit 1; }
show() {
    cut -d: -f1,3,4,6,7 $1/etc/passwd | sed 's/^/user /'
    cut -d: -f1,3,4 $1/etc/group | awk -F: '{
        n = split($3, names, \",\"); if (!n) print \"group \" $0
        for (i = 1; i <= n; i++) print \"group \" $1 \":\" $2 \":\" names[i] }'
}
show /tmp/m; echo ---; show ''
";

/// What the machine would have, and what the image has.
fn made_anew_and_built(printed: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (machine, image) = printed.split_once("---\n").expect("two lists");
    // Debian's own declaration of root has another spelling of the same home and shell.
    let lines = |text| {
        str::lines(text)
            .filter(|line| !line.starts_with("user root:"))
            .collect()
    };
    (lines(machine), lines(image))
}

fn accounts_of_packages_come_back_on_a_machine_without_them(setup: &Setup) {
    let scenario = setup.derive(
        "account-packages",
        "RUN apt-get update && apt-get install -y --no-install-recommends \
         redis-server openssh-server chrony tor\n\
         RUN apt-get update && apt-get install -y --no-install-recommends postgresql",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let printed = scenario.output_of(MAKE_ANEW).unwrap();
    let (machine, image) = made_anew_and_built(&printed);
    for name in [
        "redis",
        "sshd",
        "_chrony",
        "debian-tor",
        "postgres",
        "messagebus",
    ] {
        let of = |lines: &BTreeSet<&str>| {
            let start = format!("user {name}:");
            lines
                .iter()
                .find(|line| line.starts_with(&start))
                .map(|line| (*line).to_owned())
        };
        assert!(of(&image).is_some(), "{name}: {image:?}");
        if name != "messagebus" {
            assert_eq!(of(&machine), of(&image), "{printed}\n{log}");
        }
    }
    let groups = |lines: BTreeSet<&str>| {
        let ours = [
            "redis:",
            "_chrony:",
            "debian-tor:",
            "postgres:",
            "ssl-cert:",
        ];
        let is_ours = |line: &&str| {
            line.strip_prefix("group ")
                .is_some_and(|group| ours.iter().any(|name| group.starts_with(name)))
        };
        lines
            .into_iter()
            .filter(is_ours)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(groups(machine), groups(image), "{printed}");

    let saved = scenario.saved(2).unwrap();
    for layer in &saved.layers {
        let left = ["passwd-", "group-", "shadow-", "gshadow-", ".pwd.lock"];
        let left = left
            .into_iter()
            .filter(|name| layer.contains_key(&format!("etc/{name}")));
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
        let shadow = String::from_utf8_lossy(&layer["etc/shadow"].content).into_owned();
        let dated = shadow
            .lines()
            .filter(|line| line.split(':').nth(2).is_some_and(|day| !day.is_empty()));
        assert_eq!(dated.collect::<Vec<_>>(), [""; 0]);
    }
}

fn accounts_made_by_hand_come_back_and_follow_changes(setup: &Setup) {
    let scenario = setup.derive(
        "account-hand",
        "RUN groupadd --system shared && \
         useradd --system --home-dir '/var/lib/web app' --comment '100% \"web\"' --groups shared,video web\n\
         RUN useradd --system --shell /bin/sh later && groupadd --system gone && usermod -aG shared www-data\n\
         RUN usermod --home /srv/web --shell /usr/bin/false web && groupdel gone",
    );
    scenario.build(&[]).unwrap().expect_success();
    let printed = scenario.output_of(MAKE_ANEW).unwrap();
    let (machine, image) = made_anew_and_built(&printed);
    let ours = |lines: BTreeSet<&str>| {
        let names = ["web", "later", "shared", "www-data", "video", "gone"];
        let is_ours = |line: &&str| {
            let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
            names
                .iter()
                .any(|name| rest.starts_with(&format!("{name}:")))
        };
        lines
            .into_iter()
            .filter(is_ours)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let machine = ours(machine);
    assert_eq!(machine, ours(image), "{printed}");
    assert!(
        machine
            .iter()
            .any(|line| line.ends_with(":/srv/web:/usr/bin/false")),
        "{printed}"
    );
    assert!(
        machine
            .iter()
            .any(|line| line.starts_with("group shared:") && line.ends_with(":www-data"))
    );
    assert!(!printed.contains("group gone"), "{printed}");
}

fn a_rebuild_makes_the_same_account_files(setup: &Setup) {
    let files = ["one", "two"].map(|name| {
        let scenario = setup.derive(&format!("account-again-{name}"), "RUN useradd --system web");
        scenario.build(&["--no-cache"]).unwrap().expect_success();
        let mut layer = scenario.saved(1).unwrap().layers.remove(0);
        layer.retain(|path, _| path.starts_with("etc/") || path.starts_with("usr/lib/sysusers.d/"));
        layer
    });
    assert!(files[0].contains_key("etc/shadow"));
    assert!(
        files[0].keys().any(|path| path.contains("/00-osderive-")),
        "{:?}",
        files[0].keys()
    );
    assert_eq!(files[0], files[1]);
}

fn a_commit_by_hand_declares_accounts_too(setup: &Setup) {
    let scenario = setup.scenario(
        "account-by-hand",
        "FROM debian-ostree-base\n\
         RUN --mount=type=bind,from=osderive,source=/tool/linux-amd64,target=/dev/osderive \
         useradd --system web && /dev/osderive/ostree-container commit --dry-run && \
         /dev/osderive/ostree-container -v commit\n",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("the same ids on every machine: "), "{log}");
    let declared = scenario
        .output_of("cat /usr/lib/sysusers.d/00-osderive-*")
        .unwrap();
    assert!(declared.contains("\nu web "), "{declared}");
    assert!(!declared.contains("www-data"), "{declared}");
}

fn accounts_that_the_machine_should_make_are_told(setup: &Setup) {
    let scenario = setup.derive(
        "account-findings",
        "RUN useradd person && echo person:secret | chpasswd\n\
         RUN useradd --system --non-unique --uid 33 twin",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    for rule in [
        "account-outside-system-range",
        "account-usable-password",
        "account-duplicate-id",
    ] {
        assert!(log.contains(rule), "{rule}: {log}");
    }
    assert!(scenario.output_of("id person").is_ok());
}
