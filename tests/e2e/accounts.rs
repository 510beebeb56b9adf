//! Accounts that packages and commands make in a build: an upgraded machine, which keeps its own
//! /etc/passwd, gets the same ones from sysusers.d, and rebuilds give the same bytes.

use std::collections::BTreeSet;

use osderive_tests::scenario::findings;

use crate::{Setup, packages::expect_accounts_to_come_back};

crate::tests![
    accounts_of_packages_come_back_on_a_machine_without_them,
    accounts_made_by_hand_come_back_and_follow_changes,
    a_rebuild_makes_the_same_account_files,
    a_commit_by_hand_declares_accounts_too,
    accounts_that_the_machine_should_make_are_told,
];

fn accounts_of_packages_come_back_on_a_machine_without_them(setup: &Setup) {
    let scenario = setup.derive(
        "account-packages",
        "RUN apt-get update && apt-get install -y --no-install-recommends \
         redis-server openssh-server chrony tor\n\
         RUN apt-get update && apt-get install -y --no-install-recommends postgresql",
    );
    scenario.build(&[]).unwrap().expect_success();
    expect_accounts_to_come_back(setup, &scenario);
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
    let printed = scenario.output_of("getent passwd web; getent group shared gone; true");
    let printed = printed.unwrap();
    assert!(
        printed.contains(":100% \"web\":/srv/web:/usr/bin/false\n"),
        "{printed}"
    );
    assert!(printed.ends_with(":web,www-data"), "{printed}");
    expect_accounts_to_come_back(setup, &scenario);
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
         RUN --mount=type=bind,from=osderive,source=/tool/linux-amd64,target=/run/.osderive \
         useradd --system web && /run/.osderive/ostree-container commit --dry-run && \
         /run/.osderive/ostree-container -v commit\n",
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
    let found = findings(&log);
    // The client lists them by their time of arrival.
    let told: BTreeSet<_> = (found.iter())
        .map(|(rule, message)| (*rule, message.rsplit(' ').next().unwrap_or_default()))
        .collect();
    let expected = [
        ("account-outside-system-range", "3)"),
        ("account-usable-password", "3)"),
        ("account-duplicate-id", "4)"),
        // Of the check, which knows of no path that only this account has.
        ("account-not-declared", "sysusers.d"),
    ];
    assert_eq!(told, expected.into(), "{log}");
    assert!(scenario.output_of("id person").is_ok());
}
