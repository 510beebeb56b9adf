//! A build's life: cancelled half way, or carried on from what another engine did.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use osderive_tests::engine::ImageStore;
use osderive_tests::scenario::cached_steps;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Setup;

crate::tests![a_cancelled_build_ends_its_processes_and_the_next_one_works];

// Tests that other builds must not run beside.
crate::tests![ALONE = steps_come_from_a_cache_in_a_folder: OwnCache];

/// A length of sleep that nothing else on the engine uses.
const SLEEP: &str = "sleep 298.7";

/// How long a busy machine may take for what an idle one does at once; far less than the sleep.
const PATIENCE: Duration = Duration::from_secs(60);

fn sleepers(setup: &Setup) -> usize {
    let output = setup
        .engine
        .command("ps")
        .args(["-eo", "args"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().filter(|line| line.starts_with(SLEEP)).count()
}

fn a_cancelled_build_ends_its_processes_and_the_next_one_works(setup: &Setup) {
    let first = "RUN date +%N > /etc/stamp && touch /tmp/left";
    let scenario = setup.derive(
        "cancel",
        &format!("{first}\nRUN echo it is'' asleep; {SLEEP} & {SLEEP}"),
    );
    let mut client = scenario.command();
    client
        .arg(".")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(client.stderr.take().unwrap()).lines();
    assert!(
        log.any(|line| line.unwrap().contains("it is asleep")),
        "the build ended early"
    );
    let start = Instant::now();
    while sleepers(setup) < 2 {
        assert!(start.elapsed() < PATIENCE, "the command does not run");
    }

    let start = Instant::now();
    kill_process_group(Pid::from_child(&client), Signal::INT).unwrap();
    let rest: Vec<String> = log.map_while(Result::ok).collect();
    assert!(!client.wait().unwrap().success());
    while sleepers(setup) > 0 {
        assert!(
            start.elapsed() < PATIENCE,
            "still running {PATIENCE:?} after the interrupt: {rest:#?}"
        );
        sleep(Duration::from_millis(50));
    }

    let scenario = scenario
        .file(
            "Containerfile",
            &format!(
                "{}\nFROM debian-ostree-base\n{first}\nRUN touch /tmp/x\n",
                crate::SYNTAX
            ),
        )
        .unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    assert_eq!(cached_steps(&log), ["[2/3]"], "{log}");
    assert!(!scenario.saved(1).unwrap().shipped().contains_key("tmp/x"));
}

fn steps_come_from_a_cache_in_a_folder(setup: &Setup) {
    let scenario = setup.derive(
        "cache-folder",
        "RUN date +%N > /etc/stamp && touch /tmp/x; sleep 99 &\nRUN touch /etc/second",
    );
    let built = scenario
        .build(&["--cache-to", "type=local,dest=cache,mode=max"])
        .unwrap();
    if setup.engine.image_store() == ImageStore::Graphdriver {
        let log = built.expect_failure();
        assert!(log.contains("ache export is not supported"), "{log}");
        return;
    }
    let log = built.expect_success();
    assert!(log.contains("leftover-process: "), "{log}");
    let first = scenario.saved(0).unwrap().layer_digests;

    setup.empty_cache().unwrap();
    let log = scenario.build(&["--cache-from", "type=local,src=cache"]);
    let log = log.unwrap().expect_success();
    // Reading a step's report would run it again: its layer is in the cache, its report is not. Only the commit at the end
    // runs for its report; the image has its layer from the cache.
    assert_eq!(log.matches("osderive: committed").count(), 1, "{log}");
    assert_eq!(cached_steps(&log), ["[2/3]", "[3/3]"], "{log}");
    assert_eq!(scenario.saved(0).unwrap().layer_digests, first, "{log}");
}
