//! Several platforms in one build by podman and buildah.

use std::process;

use osderive_tests::scenario::Scenario;

use crate::Setup;
use crate::host::{ENGINES, build, build_plain, command, load_bases, renewed, run, scenario};

crate::tests![
    each_of_several_platforms_is_committed_and_told_of_once: OwnCache,
    of_several_platforms_one_may_not_boot: OwnCache,
];

/// What a scenario builds for.
const PLATFORMS: &str = "--platform=linux/amd64,linux/arm64";

/// A manifest list with an image for each of the platforms. They are of the machine's own programs, whatever they say, so
/// that all of them run here.
fn list_of_bases(setup: &Setup, scenario: &Scenario<'_>, name: &str, bases: [&str; 2]) {
    load_bases(setup);
    let call = |program: &str, words: &[&str]| {
        let mut command = command(setup, scenario, program);
        command.args(words);
        run(command)
    };
    if call("podman", &["manifest", "exists", name]).code == Some(0) {
        return;
    }
    call("podman", &["manifest", "create", name]).expect(0);
    for (base, architecture) in bases.into_iter().zip(["amd64", "arm64"]) {
        let container = format!("{name}-{architecture}");
        call("buildah", &["from", "--name", &container, base]).expect(0);
        let config = ["config", "--os=linux", "--arch", architecture, &container];
        call("buildah", &config).expect(0);
        let image = format!("localhost/{container}:latest");
        call("buildah", &["commit", "--rm", &container, &image]).expect(0);
        let stored = format!("containers-storage:{image}");
        call("podman", &["manifest", "add", name, &stored]).expect(0);
    }
}

/// The platforms in a manifest list; none if there is none.
fn platforms_of(setup: &Setup, scenario: &Scenario<'_>, list: &str) -> Option<Vec<String>> {
    let mut inspect = command(setup, scenario, "podman");
    inspect.args(["manifest", "inspect", list]);
    let output = inspect.output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let images = json["manifests"].as_array()?.iter();
    let mut platforms: Vec<_> = images.map(|image| image["platform"].to_string()).collect();
    platforms.sort();
    Some(platforms)
}

/// What a command prints in the image that a list has for a platform.
fn said_in(setup: &Setup, scenario: &Scenario<'_>, list: &str, arch: &str, text: &str) -> String {
    let mut podman = command(setup, scenario, "podman");
    podman
        .args(["run", "--rm", "--quiet", "--network=none", "--pull=never"])
        .args([&format!("--platform=linux/{arch}"), "--entrypoint=/bin/sh"])
        .args([list, "-c", text]);
    let output = podman.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn each_of_several_platforms_is_committed_and_told_of_once(setup: &Setup) {
    let text = "\
FROM osderive-test-platforms
ARG TARGETARCH
RUN echo x >/tmp/left; echo $TARGETARCH >/etc/arch; chmod 700 /usr/lib/kernel/install.d
";
    let mut scenario = scenario(setup, "platforms", text);
    let base = "debian-ostree-base";
    list_of_bases(setup, &scenario, "osderive-test-platforms", [base, base]);
    for (engine, isolation) in [("podman", "oci"), ("buildah", "oci"), ("buildah", "chroot")] {
        let list = |what: &str| format!("{what}-{engine}-{isolation}-{}", process::id());
        let (plain, failed, built) = (list("plain"), list("failed"), list("built"));
        let isolation = format!("--isolation={isolation}");
        let named = |list: &str| format!("--manifest={list}");
        scenario = renewed(scenario, text, &isolation);
        let options = [PLATFORMS, &isolation, &named(&plain)];
        build_plain(setup, &scenario, engine, &options).expect(0);

        let fail = "--build-arg=OSDERIVE_FAIL_ON=warning";
        let options = [PLATFORMS, &isolation, fail, &named(&failed)];
        build(setup, &scenario, engine, &options).expect(1);
        assert_eq!(platforms_of(setup, &scenario, &failed), None);

        let options = [PLATFORMS, &isolation, &named(&built)];
        let log = build(setup, &scenario, engine, &options).expect(0);
        // Once, and from the cache.
        let finding = "warning[directory-metadata]";
        assert_eq!(log.matches(finding).count(), 1, "{log}");
        assert!(!log.contains("osderive: committed"), "{log}");
        let platforms = platforms_of(setup, &scenario, &built).unwrap();
        assert_eq!(platforms.len(), 2, "{platforms:?}");
        assert_eq!(
            Some(platforms),
            platforms_of(setup, &scenario, &plain),
            "{engine}"
        );
        for arch in ["amd64", "arm64"] {
            let look = "cat /etc/arch; ls /tmp";
            let said = |list| said_in(setup, &scenario, list, arch, look);
            assert_eq!(said(&built), format!("{arch}\n"), "{engine}");
            assert_eq!(said(&plain), format!("{arch}\nleft\n"), "{engine}");
        }
    }
}

fn of_several_platforms_one_may_not_boot(setup: &Setup) {
    let text = "FROM osderive-test-mixed\nRUN echo x >/tmp/left\n";
    let scenario = scenario(setup, "mixed", text);
    let bases = ["debian-ostree-base", "debian-plain"];
    list_of_bases(setup, &scenario, "osderive-test-mixed", bases);
    for engine in ENGINES {
        let list = format!("mixed-{}-{engine}", process::id());
        let options = [PLATFORMS, &format!("--manifest={list}")];
        build(setup, &scenario, engine, &options).expect(0);
        let platforms = platforms_of(setup, &scenario, &list).unwrap();
        assert_eq!(platforms.len(), 2, "{platforms:?}");
        for (arch, expected) in [("amd64", ""), ("arm64", "left\n")] {
            let said = said_in(setup, &scenario, &list, arch, "ls /tmp");
            assert_eq!(said, expected, "{engine} {arch}");
        }
    }
}
