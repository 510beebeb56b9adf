//! The engines' own options of a build, and signals: they do what they do without us.

use std::fs;

use osderive_tests::listing::{differences, list};
use osderive_tests::scenario::unpack;

use crate::Setup;
use crate::doors::OF_ENGINE;
use crate::host::{ENGINES, NETWORK, build, command, osderive, run, scenario};
use crate::podman::STAGES;

crate::tests![a_signal_ends_a_build_and_nothing_of_it_is_left: OwnCache];

// Whole builds, up to six.
crate::tests![
    LONG = a_cache_in_a_registry_serves_another_machine: OwnCache,
    options_of_the_engine_change_no_file_of_the_image: OwnCache,
];

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

/// Builds with a registry as the cache on one machine, then on another: with a storage and reports of its own. Tells what the
/// RUN wrote, each time, and what the second build said. No port is taken and no mount is left: network and mounts are its own.
/// Arguments: the host command, ENGINE, TAG.
const ON_TWO_MACHINES: &str = "\
set -eu
host=$1 engine=$2 tag=$3
ip link set lo up
here=$PWD/machines
mkdir -p \"$here\"
mount -t tmpfs tmpfs \"$here\"
podman save --quiet --format=oci-archive debian-ostree-base >\"$here/base.tar\"
cat >\"$here/registry.yml\" <<END
version: 0.1
storage: {filesystem: {rootdirectory: $here/registry}}
http: {addr: '127.0.0.1:5000'}
END
docker-registry serve \"$here/registry.yml\" >\"$here/registry.log\" 2>&1 &
registry=$!
trap 'kill $registry' EXIT
until bash -c 'exec 3<>/dev/tcp/127.0.0.1/5000' 2>/dev/null; do
    kill -0 $registry || { cat \"$here/registry.log\"; exit 99; }
    sleep 0.1
done
for machine in one other; do
    mkdir \"$here/$machine\"
    export CONTAINERS_STORAGE_CONF=$here/$machine/storage.conf XDG_CACHE_HOME=$here/$machine/cache
    cat >\"$CONTAINERS_STORAGE_CONF\" <<END
[storage]
driver = 'overlay'
graphroot = '$here/$machine/storage'
runroot = '$here/$machine/run'
END
    podman load --quiet --input \"$here/base.tar\" >/dev/null
    case $machine in one) way=to ;; other) way=from ;; esac
    \"$host\" \"$engine\" build --network=host --layers --tls-verify=false \"--cache-$way=127.0.0.1:5000/cache\" \
        --tag \"$tag\" . >\"$here/log\" 2>&1 || { cat \"$here/log\"; exit 98; }
    podman run --rm --network=none \"$tag\" cat /usr/share/stamp
done
cat \"$here/log\"
";

fn a_cache_in_a_registry_serves_another_machine(setup: &Setup) {
    let text = "FROM debian-ostree-base\nRUN date +%s%N >/usr/share/stamp && useradd -r -s /bin/false svc\n";
    let scenario = scenario(setup, "registry", text);
    let host = osderive(&setup.places).display().to_string();
    for engine in ENGINES {
        let mut unshare = command(setup, &scenario, "unshare");
        unshare.args(["--net", "--mount", "--propagation=private"]);
        unshare.args(["/bin/bash", "-c", ON_TWO_MACHINES, "machines"]);
        unshare.args([&*host, engine, scenario.tag()]);
        let log = run(unshare).expect(0);
        let mut lines = log.lines();
        let (first, second) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(first.parse::<u64>().is_ok(), "{engine}: {log}");
        assert_eq!(first, second, "{engine}: the RUN ran again: {log}");
        // Nobody there knows what was found in the image, so that the commit at its end is made again.
        assert!(log.contains("Cache pulled"), "{engine}: {log}");
        assert!(log.contains("ARG OSDERIVE_AGAIN"), "{engine}: {log}");
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
