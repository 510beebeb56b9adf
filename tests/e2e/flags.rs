//! The engines' own options of a build, and signals: they do what they do without us.

use std::fs;

use osderive_tests::listing::{differences, list};
use osderive_tests::scenario::unpack;

use crate::Setup;
use crate::doors::OF_ENGINE;
use crate::host::{ENGINES, NETWORK, build, command, osderive, run, scenario};
use crate::podman::STAGES;

crate::tests![a_signal_ends_a_build_and_nothing_of_it_is_left: OwnCache];

// Six whole builds.
crate::tests![LONG = options_of_the_engine_change_no_file_of_the_image: OwnCache];

fn options_of_the_engine_change_no_file_of_the_image(setup: &Setup) {
    // Of /usr what the commit and the stages write.
    const PATHS: [&str; 9] = [
        "etc",
        "opt",
        "run",
        "tmp",
        "usr/bin",
        "usr/lib/sysusers.d",
        "usr/lib/tmpfiles.d",
        "usr/share/factory",
        "var",
    ];
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    // Who reads the image is root there.
    let text = format!("{STAGES}USER root\n");
    let scenario = scenario(setup, "flags", &text);
    let of_engines: [(&str, [&[&str]; 2]); 2] = [
        (
            "podman",
            [
                &["--layers=false", "--squash"],
                &["--no-cache", "--format=docker"],
            ],
        ),
        (
            "buildah",
            [&["--no-cache", "--jobs=2"], &["--layers=false"]],
        ),
    ];
    for (engine, all) in of_engines {
        let tree = |options: &[&str]| {
            let log = build(setup, &scenario, engine, options).expect(0);
            let commits = log.matches("osderive: committed").count();
            assert_eq!(commits, 1, "{options:?}: {log}");
            let root = folder.path().join(options.join("")).join(engine);
            fs::create_dir_all(&root).unwrap();
            unpack(&setup.engine, "podman", scenario.tag(), &PATHS, &root).unwrap();
            let mut listing = list(&root, &PATHS).unwrap();
            listing.retain(|path, _| !OF_ENGINE.iter().any(|of| path.ends_with(of)));
            listing
        };
        let expected = tree(&["--no-cache"]);
        for options in all {
            let different = differences(&expected, &tree(options));
            assert!(different.is_empty(), "{engine} {options:?}: {different:#?}");
        }
    }
}

/// Arguments: a build. Ends it in the middle of its RUN, and tells what is left of it a second later.
const ENDED: &str = "\
exec 2>/dev/null
mkdir -p temporary
TMPDIR=$PWD/temporary \"$@\" >log 2>&1 &
build=$!
until grep -q started log; do kill -0 $build || { cat log; exit 99; }; sleep 0.1; done
kill -TERM $build
wait $build
echo code $?
sleep 1
for process in /proc/[0-9]*; do
    if tr '\\0' ' ' <$process/cmdline | grep -q '^sleep 4711'; then echo left; kill ${process#/proc/}; fi
done
ls temporary | grep osderive
rm -rf temporary log
true
";

fn a_signal_ends_a_build_and_nothing_of_it_is_left(setup: &Setup) {
    let text = "FROM debian-ostree-base\nRUN echo started && exec sleep 4711\n";
    let scenario = scenario(setup, "signal", text);
    let host = osderive(&setup.places).display().to_string();
    for engine in ENGINES {
        let ended = |words: &[&str]| {
            let mut shell = command(setup, &scenario, "/bin/sh");
            shell.args(["-c", ENDED, "ended"]).args(words).args([
                "build",
                NETWORK,
                "--no-cache",
                "--tag",
                scenario.tag(),
                ".",
            ]);
            run(shell).expect(0)
        };
        assert_eq!(ended(&[&host, engine]), ended(&[engine]), "{engine}");
    }
}
