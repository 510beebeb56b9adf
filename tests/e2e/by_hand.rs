//! The commit by hand, for builds without the frontend: the tool mounted into a RUN, found by
//! itself or by `ostree container commit`.

use crate::{Setup, top_has};

crate::tests![
    ostree_finds_the_tool_and_it_commits,
    the_tool_commits_under_its_own_name,
    a_dry_run_only_shows_the_plan,
    a_root_that_is_not_bootable_is_refused,
];

const MOUNT: &str =
    "RUN --mount=type=bind,from=osderive,source=/tool/linux-amd64,target=/dev/osderive";

fn ostree_finds_the_tool_and_it_commits(setup: &Setup) {
    let scenario = setup.scenario(
        "by-ostree",
        &format!(
            "FROM debian-ostree-base\n{MOUNT} --mount=type=cache,target=/var/cache/apt,id=e2e-by-hand \
             touch /tmp/left /etc/kept /var/cache/apt/kept && PATH=$PATH:/dev/osderive ostree container commit \
             && test -e /var/cache/apt/kept\n"
        ),
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    assert!(image.top().contains_key("etc/kept"));
    assert!(
        !image.top().contains_key("tmp/left"),
        "{:?}",
        image.top().keys()
    );
    // Besides the declarations of the base's accounts, which are what a commit by hand is to leave.
    let is_trace =
        |path: &&String| path.contains("osderive") && !path.starts_with("usr/lib/sysusers.d/00-");
    assert_eq!(image.top().keys().find(is_trace), None);
}

fn the_tool_commits_under_its_own_name(setup: &Setup) {
    let scenario = setup.scenario(
        "by-name",
        &format!("FROM debian-ostree-base\n{MOUNT} touch /tmp/left && /dev/osderive/ostree-container commit\n"),
    );
    scenario.build(&[]).unwrap().expect_success();
    assert!(!top_has(&scenario, "tmp/left"));
}

fn a_dry_run_only_shows_the_plan(setup: &Setup) {
    let scenario = setup.scenario(
        "dry-run",
        &format!("FROM debian-ostree-base\n{MOUNT} touch /tmp/left && /dev/osderive/ostree-container commit --dry-run\n"),
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("/tmp/left"), "{log}");
    assert!(top_has(&scenario, "tmp/left"));
}

fn a_root_that_is_not_bootable_is_refused(setup: &Setup) {
    let scenario = setup.scenario(
        "refused",
        &format!("FROM debian-plain\n{MOUNT} /dev/osderive/ostree-container commit\n"),
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains("osderive: "), "{log}");
    assert!(log.contains("bootable"), "{log}");
}
