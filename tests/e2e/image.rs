//! The image of osderive itself.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use osderive_tests::cross::Cross;
use osderive_tests::listing::{differences, list};
use osderive_tests::product::{self, Architecture, Binary, Profile, frontend_context};
use osderive_tests::sbom::{self, Subject};
use osderive_tests::scenario::cached_steps;

use crate::Setup;

crate::tests![it_tells_what_it_is_made_of];

crate::tests![
    OF_OTHER_MACHINES = each_architecture_has_its_frontend_and_the_tools_of_all,
    the_tool_for_arm64_commits_as_this_machines_does,
    the_frontend_for_arm64_builds_as_this_machines_does,
];

fn it_tells_what_it_is_made_of(setup: &Setup) {
    let copy = format!("FROM scratch\nCOPY --from=osderive /{0} /{0}\n", sbom::FILE);
    let scenario = setup.scenario("own-contents", &copy);
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let contents = String::from_utf8_lossy(&image.top()[sbom::FILE].content);
    assert_eq!(
        contents,
        sbom::document(&setup.places, Subject::Image).unwrap()
    );
}

/// As `cargo xtask image --platform linux/amd64,linux/arm64` builds it.
fn each_architecture_has_its_frontend_and_the_tools_of_all(setup: &Setup) {
    let all = [Architecture::Amd64, Architecture::Arm64];
    let context = frontend_context(Profile::Test, &all, &setup.places).unwrap();
    for architecture in all {
        let out = tempfile::tempdir_in(setup.places.state()).unwrap();
        let out = out.path();
        let mut build = setup.engine.docker();
        build
            .args(["build", "--platform", &architecture.platform()])
            .arg(format!("--output=type=local,dest={}", out.display()))
            .arg(context.path());
        let output = build.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Of an ELF header: the machine (elf(5), `e_machine`).
        let machine = |path: &str| fs::read(out.join(path)).unwrap()[18];
        let number = |architecture| match architecture {
            Architecture::Amd64 => 62,
            Architecture::Arm64 => 183,
        };
        for tool in all {
            let path = format!("tool/linux-{}/ostree-container", tool.name());
            assert_eq!(machine(&path), number(tool));
        }
        assert_eq!(machine("osderive-frontend"), number(architecture));
    }
}

/// What a machine of the other kind does with a root is what this one does with it.
fn the_tool_for_arm64_commits_as_this_machines_does(setup: &Setup) {
    let places = &setup.places;
    let cross = Cross::obtain(places).unwrap();
    let foreign = cross.build(Binary::Tool, Profile::Test).unwrap();
    let own = product::tool(Profile::Test, places).unwrap();
    let folder = tempfile::tempdir_in(places.state()).unwrap();
    let roots = ["own", "foreign"].map(|name| {
        let root = folder.path().join(name);
        for path in [
            "sysroot",
            "usr/lib/bootc",
            "tmp/a",
            "var/opt/b",
            "var/lib/c",
            "etc",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        symlink("var/opt", root.join("opt")).unwrap();
        let passwd = "root:x:0:0::/:/bin/sh\nweb:x:900:900::/:/bin/sh\n";
        fs::write(root.join("etc/passwd"), passwd).unwrap();
        fs::write(root.join("etc/group"), "root:x:0:\nweb:x:900:\n").unwrap();
        fs::write(root.join("var/opt/b/program"), "x").unwrap();
        root
    });
    let told = |mut tool: Command, root: &Path| {
        let output = tool.args(["commit", "--rootfs"]).arg(root).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let here = told(Command::new(own), &roots[0]);
    let there = told(cross.emulated(&foreign, folder.path()), &roots[1]);
    assert_eq!(there, here);
    assert!(
        here.contains("moved /var/opt/b to /usr/lib/opt/b"),
        "{here}"
    );
    let [here, there] = roots.map(|root| list(&root, &[""]).unwrap());
    let differ = differences(&here, &there);
    assert!(differ.is_empty(), "{differ:?}");
}

/// Its image has an emulator before it, so that this machine's engine can run it. For execs of its own it takes the tool of
/// what it takes for the engine's machine: this one's tool stands there.
fn the_frontend_for_arm64_builds_as_this_machines_does(setup: &Setup) {
    let places = &setup.places;
    let all = [Architecture::Amd64, Architecture::Arm64];
    let context = frontend_context(Profile::Test, &all, places).unwrap();
    let emulator = context.path().join("qemu");
    fs::write(
        &emulator,
        fs::read(Cross::obtain(places).unwrap().emulator()).unwrap(),
    )
    .unwrap();
    fs::set_permissions(&emulator, Permissions::from_mode(0o755)).unwrap();
    let path = context.path().join("Dockerfile");
    let dockerfile = fs::read_to_string(&path).unwrap();
    let emulated = dockerfile
        .replace("root-$TARGETARCH", "root-arm64")
        .replace(
            "ENTRYPOINT [",
            "COPY root-arm64/tool/linux-amd64/ /tool/linux-arm64/\nCOPY qemu /\nENTRYPOINT [\"/qemu\", ",
        );
    assert_ne!(emulated, dockerfile);
    fs::write(&path, emulated).unwrap();
    let mut build = setup.engine.docker();
    build
        .args(["build", "--quiet", "--tag", "osderive-arm64"])
        .arg(context.path());
    let output = build.output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let steps =
        "FROM debian-ostree-base\nRUN useradd --system acme && mkdir -p /opt/acme /var/lib/acme\n";
    let made_by = |name, frontend| {
        let file = format!("# syntax={frontend}\n{steps}");
        let scenario = setup.scenario(name, &file);
        let log = scenario.build(&[]).unwrap().expect_success();
        let ids = scenario.inspect().unwrap()["RootFS"]["Layers"].clone();
        (ids, log)
    };
    let (here, _) = made_by("frontend-here", "osderive");
    let (there, log) = made_by("frontend-arm64", "osderive-arm64");
    assert_eq!(there, here);
    // What is made from a step counts in a cache, not who asks for it: the same words to the same tool.
    assert_eq!(cached_steps(&log), ["[2/2]"], "{log}");
}
