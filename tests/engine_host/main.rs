//! What the private engine host promises: engines side by side, working networks in builds, and nothing left
//! of an engine whose harness is killed. Needs root on Debian or Ubuntu, and fails elsewhere.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use osderive_tests::base::Base;
use osderive_tests::engine::{Engine, Kind, Selection, group_name};
use osderive_tests::product::Profile;
use osderive_tests::scenario::Scenario;
use osderive_tests::{Places, engine_output};
use rustix::process::{Pid, Signal, kill_process};

/// How long a busy machine may take for what an idle one does at once.
const PATIENCE: Duration = Duration::from_secs(60);

type Outcome = Result<(), Box<dyn Error>>;

/// Builds `containerfile` in an otherwise empty context and hands back all that the client printed.
fn build(
    engine: &Engine,
    places: &Places,
    tag: &str,
    containerfile: &str,
) -> Result<String, Box<dyn Error>> {
    let context = tempfile::tempdir_in(places.state())?;
    fs::write(context.path().join("Containerfile"), containerfile)?;
    let mut docker = engine.docker();
    docker.current_dir(context.path()).args([
        "build",
        "--progress=plain",
        "--no-cache",
        "-t",
        tag,
        "-f",
        "Containerfile",
        ".",
    ]);
    let output = engine_output(&mut docker)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(text.into())
    }
}

fn image_exists(engine: &Engine, tag: &str) -> Result<bool, Box<dyn Error>> {
    let mut docker = engine.docker();
    let output = docker.args(["image", "inspect", tag]).output()?;
    Ok(output.status.success())
}

/// The kinds for a test that is about all of them: as many as a run is asked to spend time on.
fn kinds(number: usize) -> Result<Vec<Kind>, Box<dyn Error>> {
    let selection = match Selection::from_environment()? {
        Selection::Any => Selection::Opposite,
        asked => asked,
    };
    Ok(selection.kinds(number))
}

/// An ostree base takes `apt-get install` in a plain build, which needs the network, names and dpkg.
#[test]
fn packages_install_in_a_build() -> Outcome {
    let places = Places::of_workspace()?;
    for kind in kinds(0)? {
        let engine = Engine::start(kind, &places)?;
        assert_eq!(Some(engine.image_store()), kind.image_store());
        // The bootable base's /var is empty, which only an image built with osderive needs not mind.
        let make_var = "systemd-tmpfiles --create --prefix=/var;";
        for (base, first) in [(Base::Ostree, make_var), (Base::Plain, "")] {
            engine.load_base(base, &places)?;
            let containerfile = format!(
                "FROM {}\nRUN {first} apt-get update && apt-get install -y hello && hello\n",
                base.name()
            );
            let printed = build(&engine, &places, "hello", &containerfile)?;
            assert!(
                printed.contains("Hello, world!"),
                "{kind}, {}: {printed}",
                base.name()
            );
        }
    }
    Ok(())
}

/// A container of its own has a network, and limits where this machine's cgroup v2 has the controllers.
#[test]
fn containers_run_on_an_engine() -> Outcome {
    let places = Places::of_workspace()?;
    for kind in kinds(1)? {
        let engine = Engine::start(kind, &places)?;
        engine.load_base(Base::Plain, &places)?;
        let mut docker = engine.docker();
        let run = ["run", "--rm", Base::Plain.name(), "sh", "-c"];
        let output = engine_output(
            docker
                .args(run)
                .arg("cat /proc/self/cgroup; stat -fc %T /sys/fs/cgroup; ls /sys/class/net"),
        )?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            printed.contains("0::/\ncgroup2fs\n"),
            "{kind}: {printed}{errors}"
        );
        assert!(printed.contains("eth0"), "{kind}: {printed}{errors}");
    }
    Ok(())
}

/// A step that was under way when its engine was killed is not half an image: the engine, started again, builds what it
/// would have built.
#[test]
fn an_engine_that_is_killed_in_the_middle_of_a_step_builds_the_whole_image_afterwards() -> Outcome {
    const KEEP: &str = "mkdir -p /opt/acme /var/lib/acme && echo two > /opt/acme/two && echo three > /var/lib/acme/three";
    let places = Places::of_workspace()?;
    for kind in [Kind::TrixieGraphdriver, Kind::SidContainerd] {
        let engine = Engine::start(kind, &places)?;
        engine.load_base(Base::Ostree, &places)?;
        engine.load_frontend(Profile::Test, &places)?;
        let first = "# syntax=osderive\nFROM debian-ostree-base\nRUN echo one > /etc/one\n";
        let scenario = Scenario::new(&engine, &places, "killed-engine")?;
        let scenario = scenario.file(
            "Containerfile",
            &format!("{first}RUN {KEEP}; echo it is'' asleep; sleep 600\n"),
        )?;
        let mut client = scenario.command();
        let mut client = client
            .arg(".")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut log = BufReader::new(client.stderr.take().ok_or("no log")?).lines();
        assert!(log.any(|line| line.is_ok_and(|line| line.contains("it is asleep"))));
        let kill = "pkill -KILL dockerd; dockerd --config-file /run/daemon.json >/run/again.log 2>&1 </dev/null &";
        let killed = engine.command("setsid").args(["sh", "-c", kill]).status()?;
        assert!(killed.success());
        log.for_each(drop);
        assert!(!client.wait()?.success());
        wait_for_engine(&engine)?;

        let whole = format!("{first}RUN {KEEP}\n");
        let scenario = scenario.file("Containerfile", &whole)?;
        let built = scenario.build(&[])?;
        assert!(built.success, "{kind}: {}", built.log);
        let image = scenario.saved(4)?;
        let shipped = image.shipped();
        for path in [
            "etc/one",
            "usr/lib/opt/acme/two",
            "usr/share/factory/var/lib/acme/three",
        ] {
            assert!(shipped.contains_key(path), "{kind}: no {path}");
        }
    }
    Ok(())
}

fn wait_for_engine(engine: &Engine) -> Outcome {
    let start = Instant::now();
    loop {
        let answer = engine.docker().arg("info").output()?;
        if answer.status.success() {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(String::from_utf8_lossy(&answer.stderr).into());
        }
        sleep(Duration::from_millis(50));
    }
}

/// podman and buildah share the engine's namespaces, its network and its view of the workspace.
#[test]
fn podman_and_buildah_build_beside_the_engine() -> Outcome {
    let places = Places::of_workspace()?;
    let base = Base::Plain.build(&places)?;
    let context = tempfile::tempdir_in(places.state())?;
    fs::hard_link(&base.archive, context.path().join("base.tar"))?;
    fs::write(
        context.path().join("Containerfile"),
        "FROM scratch\nADD base.tar /\nRUN apt-get update && echo built by it\n",
    )?;
    // The kinds of one Debian suite share its podman.
    for kind in [Kind::TrixieGraphdriver, Kind::SidGraphdriver] {
        let engine = Engine::start(kind, &places)?;
        let run = |program: &str, arguments: &[&str]| -> Result<String, Box<dyn Error>> {
            let mut command = engine.command(program);
            let output = command
                .current_dir(context.path())
                .args(arguments)
                .output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                return Err(format!("{kind}: {program} {arguments:?}: {errors}").into());
            }
            Ok(String::from_utf8(output.stdout)?)
        };
        for program in ["podman", "buildah"] {
            let printed = run(program, &["build", "--no-cache", "--tag", "built", "."])?;
            assert!(
                printed.contains("built by it"),
                "{kind}: {program}: {printed}"
            );
        }
        let printed = run("podman", &["run", "--rm", "built", "echo", "run by it"])?;
        assert_eq!(printed, "run by it\n");
        for program in ["docker", "podman"] {
            build_frontend_image(&engine, program, context.path())?;
            // Another one than that of the tests, and all that an image has to have.
            let inspect = ["image", "inspect", "of-xtask:1"];
            let said: serde_json::Value = serde_json::from_str(&run(program, &inspect)?)?;
            let config = &said[0]["Config"];
            assert_eq!(config["Entrypoint"][0], "/osderive-frontend", "{said}");
        }
    }
    Ok(())
}

/// Has `cargo xtask image` build by a program of an engine's, as a user has it by one of the machine's.
fn build_frontend_image(engine: &Engine, program: &str, folder: &Path) -> Outcome {
    let wrapper = folder.join(format!("engines-{program}"));
    let script = format!(
        "#!/bin/sh\nexec {} {program} \"$@\"\n",
        engine.shell_prefix()
    );
    // Another process writes it: a handle of ours may be inherited by a child of another test, and then nobody can
    // execute it (`ETXTBSY`).
    let mut install = Command::new("install")
        .args(["--mode=755", "/dev/stdin"])
        .arg(&wrapper)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut to = install.stdin.take().ok_or("no standard input")?;
    to.write_all(script.as_bytes())?;
    drop(to);
    assert!(install.wait()?.success());
    let mut image = Command::new(env!("CARGO_BIN_EXE_xtask"));
    image
        .args(["image", "--tag=of-xtask:1", "--with"])
        .arg(&wrapper)
        .args(["--profile", Profile::Test.name()]);
    let output = image.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.ends_with("# syntax=of-xtask:1\n"), "{said}");
    Ok(())
}

#[test]
fn two_engines_of_one_kind_run_side_by_side() -> Outcome {
    let places = Places::of_workspace()?;
    let (one, two) = (
        Engine::start(Kind::DEFAULT, &places)?,
        Engine::start(Kind::DEFAULT, &places)?,
    );
    assert_ne!(one.log(), two.log());
    // An engine keeps the images of former runs, whichever had its place then.
    let [in_one, in_two] = ["one", "two"].map(|name| format!("only-in-{name}-{}", process::id()));
    for (engine, tag) in [(&one, &in_one), (&two, &in_two)] {
        engine.load_base(Base::Plain, &places)?;
        build(
            engine,
            &places,
            tag,
            "FROM debian-plain\nRUN echo built >/file\n",
        )?;
    }
    assert!(image_exists(&one, &in_one)? && !image_exists(&one, &in_two)?);
    assert!(image_exists(&two, &in_two)? && !image_exists(&two, &in_one)?);
    one.stop();
    assert!(image_exists(&two, &in_two)?);
    Ok(())
}

#[test]
fn nothing_is_left_of_an_engine_whose_harness_is_killed() -> Outcome {
    let places = Places::of_workspace()?;
    Engine::start(Kind::TrixieGraphdriver, &places)?.stop();
    let before = Traces::of_this_machine()?;

    let (mut harness, log) = start_harness(Kind::TrixieGraphdriver)?;
    let slot = Path::new(&log)
        .parent()
        .ok_or("a log has a directory")?
        .to_owned();
    assert!(!processes_of(&slot)?.is_empty());
    if fs::read_to_string("/proc/self/mountinfo")?.contains(" - cgroup2 ") {
        assert_eq!(control_groups_of(&slot).len(), 1);
    }
    assert_eq!(Traces::of_this_machine()?.mounts, before.mounts);
    assert_eq!(Traces::of_this_machine()?.networks, before.networks);

    harness.kill()?;
    harness.wait()?;
    wait_for_end(&slot)?;
    assert_eq!(Traces::of_this_machine()?.mounts, before.mounts);
    assert_eq!(Traces::of_this_machine()?.networks, before.networks);
    assert_eq!(control_groups_of(&slot), Vec::<String>::new());

    let engine = Engine::start(Kind::TrixieGraphdriver, &places)?;
    engine.load_base(Base::Plain, &places)?;
    build(
        &engine,
        &places,
        "after-kill",
        "FROM debian-plain\nRUN true\n",
    )
    .map(drop)
}

/// Whoever ends `cargo xtask test`, by whatever signal, need not look for engines that run on.
#[test]
fn nothing_is_left_of_a_test_run_that_is_terminated() -> Outcome {
    let mut run = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["test", "two_engines_of_one_kind_run_side_by_side"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = loop {
        let running = below(run.id())?;
        if running.iter().any(|one| one.name == "dockerd") {
            break running;
        }
        // It may have to compile before.
        assert_eq!(run.try_wait()?, None, "no engine ran");
        sleep(Duration::from_millis(50));
    };
    assert!(running.iter().any(|one| one.name == "cargo"), "{running:?}");
    kill_process(Pid::from_child(&run), Signal::TERM)?;
    run.wait()?;
    let start = Instant::now();
    loop {
        let mut left = running
            .iter()
            .filter(|one| Process::of(one.id).is_some_and(|now| now.start == one.start));
        let Some(left) = left.next() else {
            return Ok(());
        };
        assert!(start.elapsed() < PATIENCE, "{left:?} runs on");
        sleep(Duration::from_millis(50));
    }
}

#[derive(Debug)]
struct Process {
    id: u32,
    name: String,
    parent: u32,
    /// When it began, in ticks: no other with its id did at the same time.
    start: u64,
}

impl Process {
    /// A process that has not ended, as proc(5) tells in `stat`.
    fn of(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let process = Self {
            id,
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        };
        (fields.first() != Some(&"Z")).then_some(process)
    }
}

/// All processes that a process has started, and those that these have.
fn below(id: u32) -> Result<Vec<Process>, Box<dyn Error>> {
    let ids = fs::read_dir("/proc")?.flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<Process> = ids.filter_map(Process::of).collect();
    let mut parents = BTreeSet::from([id]);
    loop {
        let known = parents.len();
        let children = all.iter().filter(|one| parents.contains(&one.parent));
        let children: Vec<u32> = children.map(|one| one.id).collect();
        parents.extend(children);
        if parents.len() == known {
            let below = all
                .into_iter()
                .filter(|one| one.id != id && parents.contains(&one.id));
            return Ok(below.collect());
        }
    }
}

/// `xtask engine` in another process, and the log that its engine writes.
fn start_harness(kind: Kind) -> Result<(Child, String), Box<dyn Error>> {
    let mut harness = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["engine", "--engine", kind.name()])
        .args(["--profile", Profile::Test.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = harness.stdout.take().ok_or("no output")?;
    let mut log = None;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(path) = line.strip_prefix("its log: ") {
            log = Some(path.to_owned());
        }
        if line.starts_with("ctrl-c") {
            break;
        }
    }
    Ok((harness, log.ok_or("xtask engine named no log")?))
}

/// What an engine could leave on a machine.
struct Traces {
    mounts: BTreeSet<String>,
    networks: BTreeSet<String>,
}

impl Traces {
    fn of_this_machine() -> Result<Self, Box<dyn Error>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let networks = fs::read_dir("/sys/class/net")?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, std::io::Error>>()?;
        Ok(Self {
            mounts: mounts.lines().map(str::to_owned).collect(),
            networks,
        })
    }
}

/// The processes that see `slot`'s storage mounted: those in its engine's mount namespace.
fn processes_of(slot: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let storage = slot.join("docker");
    let storage = storage.to_str().ok_or("an odd path")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let mut mounts = String::new();
        if let Ok(mut file) = fs::File::open(entry.path().join("mountinfo"))
            && file.read_to_string(&mut mounts).is_ok()
            && mounts.lines().any(|line| {
                line.contains(" /var/lib/docker ")
                    && line
                        .split(' ')
                        .nth(3)
                        .is_some_and(|root| storage.ends_with(root))
            })
        {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

fn wait_for_end(slot: &Path) -> Outcome {
    let start = Instant::now();
    loop {
        let left = processes_of(slot)?;
        if left.is_empty() && control_groups_of(slot).is_empty() {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            let groups = control_groups_of(slot);
            return Err(
                format!("still there: processes {left:?}, control groups {groups:?}").into(),
            );
        }
        sleep(Duration::from_millis(50));
    }
}

fn control_groups_of(slot: &Path) -> Vec<String> {
    let output = Command::new("find")
        .args(["/sys/fs/cgroup", "-name", &group_name(slot)])
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    String::from_utf8_lossy(&output)
        .lines()
        .map(str::to_owned)
        .collect()
}
