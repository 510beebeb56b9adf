//! The commit by hand, for builds without the frontend: the tool mounted into a RUN, found by
//! itself or by `ostree container commit`.

use std::fs;

use osderive_tests::product::{self, Profile};

use crate::Setup;
use crate::host::{build_plain, has, load_bases};

crate::tests![
    ostree_finds_the_tool_and_it_commits,
    the_tool_commits_under_its_own_name,
    a_dry_run_only_shows_the_plan,
    a_root_that_is_not_bootable_is_refused,
    the_recipes_of_the_docs_work_with_every_engine: OwnCache,
];

const MOUNT: &str =
    "RUN --mount=type=bind,from=osderive,source=/tool/linux-amd64,target=/run/.osderive";

fn ostree_finds_the_tool_and_it_commits(setup: &Setup) {
    let scenario = setup.scenario(
        "by-ostree",
        &format!(
            "FROM debian-ostree-base\n{MOUNT} --mount=type=cache,target=/var/cache/apt,id=e2e-by-hand \
             touch /tmp/left /etc/kept /var/cache/apt/kept && PATH=$PATH:/run/.osderive ostree container commit \
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
        &format!("FROM debian-ostree-base\n{MOUNT} touch /tmp/left && /run/.osderive/ostree-container commit\n"),
    );
    scenario.build(&[]).unwrap().expect_success();
    assert!(!scenario.has("tmp/left").unwrap());
}

fn a_dry_run_only_shows_the_plan(setup: &Setup) {
    let scenario = setup.scenario(
        "dry-run",
        &format!("FROM debian-ostree-base\n{MOUNT} touch /tmp/left && /run/.osderive/ostree-container commit --dry-run\n"),
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("/tmp/left"), "{log}");
    assert!(scenario.has("tmp/left").unwrap());
}

fn a_root_that_is_not_bootable_is_refused(setup: &Setup) {
    let scenario = setup.scenario(
        "refused",
        &format!("FROM debian-plain\n{MOUNT} /run/.osderive/ostree-container commit\n"),
    );
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(log.contains("osderive: "), "{log}");
    assert!(log.contains("bootable"), "{log}");
}

/// The instructions of docs/by-hand.md.
fn recipes(setup: &Setup) -> Vec<String> {
    let page = setup.places.workspace().join("docs/by-hand.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page.split("```dockerfile\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

fn the_recipes_of_the_docs_work_with_every_engine(setup: &Setup) {
    load_bases(setup);
    let recipes = recipes(setup);
    assert_eq!(recipes.len(), 2);
    let left = "RUN touch /tmp/left\n";
    for (number, recipe) in recipes.iter().enumerate() {
        let containerfile = format!("FROM debian-ostree-base\n{left}{recipe}");
        let scenario = setup.scenario(&format!("recipe-{number}"), &containerfile);
        scenario.build(&[]).unwrap().expect_success();
        let seen =
            "ls /usr/sbin/nginx; ls -A /tmp /run; grep -h nginx /usr/lib/tmpfiles.d/00-osderive-*";
        let seen = scenario.output_of(seen).unwrap();
        for expected in ["/usr/sbin/nginx\n", "d /var/lib/nginx "] {
            assert!(seen.contains(expected), "{expected}: {seen}");
        }
        assert!(!seen.contains("left"), "{seen}");

        let folder = scenario.folder().join("osderive/tool/linux-amd64");
        product::install_tool(Profile::Test, &setup.places, &folder).unwrap();
        for (engine, isolation) in [("podman", "oci"), ("buildah", "oci"), ("buildah", "chroot")] {
            let isolation = format!("--isolation={isolation}");
            let options = [
                &isolation,
                "--no-cache",
                "--build-context=osderive=osderive",
            ];
            let log = build_plain(setup, &scenario, engine, &options).expect(0);
            assert!(log.contains("osderive: committed"), "{log}");
            let has = |path: &str| has(setup, &scenario, path);
            assert!(has("/usr/sbin/nginx") && !has("/tmp/left"), "{log}");
        }
    }
}
