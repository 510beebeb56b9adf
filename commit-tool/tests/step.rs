//! Steps as users write them: how they end, who runs them, and what they may leave running.

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use osderive_lints::Outcome;
use support::{Image, Run, TOOL};

const LEFTOVER: &str = "leftover-process";

#[test]
fn a_step_that_leaves_nothing_says_nothing() {
    let image = Image::bootable();
    let run = image.sh("echo hello");
    run.ended_with(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("hello\n", ""));
    assert_eq!(image.report().outcome, Outcome::Committed);
    assert_eq!(image.report().removed_entries, 0);
}

#[test]
fn what_a_step_leaves_in_tmp_is_there_for_later_ones_and_gone_at_the_end() {
    let image = Image::bootable();
    let run = image.sh("echo 12345678 > /tmp/a; mkdir -p /run/b /var/cache/c; touch /etc/kept");
    assert_eq!(run.ended_with(0).stderr, "");
    assert_eq!(image.report().left_bytes, 9);
    let run = image.sh("cat /tmp/a; ls -d /run/b /var/cache/c");
    assert_eq!(run.ended_with(0).stdout, "12345678\n/run/b\n/var/cache/c\n");
    assert_eq!(image.report().left_bytes, 0);
    let run = image.end(&[]);
    let told = "osderive: committed: removed 3 entries (9 B) from /run, /tmp, /var/cache\n";
    assert!(run.ended_with(0).stderr.contains(told), "{run:?}");
    assert!(image.report().is_changed);
    for area in ["tmp", "run", "var/cache"] {
        assert_eq!(image.list(area), [""; 0]);
    }
    assert!(image.path("etc/kept").exists());
}

#[test]
fn the_caches_of_package_managers_go_with_the_step() {
    let image = Image::bootable();
    let run = image.step(
        &["-v"],
        &["sh", "-c", "mkdir /var/cache/apt; touch /var/cache/apt/x"],
    );
    let told = run.ended_with(0).stderr.clone();
    assert!(
        told.contains("osderive: removed /var/cache/apt/x: a cache that the package"),
        "{told}"
    );
    assert_eq!(image.list("var/cache/apt"), [""; 0]);
}

#[test]
fn exit_codes_pass_through_and_a_failed_step_is_not_committed() {
    let image = Image::bootable();
    for (script, code) in [
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        let run = image.sh(&format!("touch /tmp/left; {script}"));
        run.ended_with(code);
        assert_eq!(run.stderr, "", "{script}");
        assert_eq!(image.list("tmp"), ["left"]);
        assert!(!image.has_report());
    }
}

#[test]
fn what_cannot_be_run_is_told_as_by_the_engine() {
    let image = Image::bootable();
    image.write("etc/data", "no program");
    let missing = image.step(&[], &["no-such-program"]);
    assert_eq!(
        missing.ended_with(127).stderr,
        "osderive: exec: \"no-such-program\": executable file not found in $PATH\n"
    );
    image.step(&[], &["/no/such/program"]).ended_with(127);
    image.step(&[], &["/etc/data"]).ended_with(126);
    image.step(&[], &["/etc"]).ended_with(126);
    assert!(!image.has_report());
}

#[test]
fn an_exec_form_command_is_found_on_path_and_keeps_its_name() {
    let image = Image::bootable();
    let run = image.step(
        &[],
        &[
            "sh",
            "-c",
            "echo $0 $1; cat /proc/$$/cmdline | tr '\\0' ' '",
            "zero",
            "one",
        ],
    );
    assert!(
        run.ended_with(0).stdout.starts_with("zero one\nsh -c "),
        "{}",
        run.stdout
    );
}

#[test]
fn environment_and_directory_are_the_steps_own() {
    let image = Image::bootable();
    let run = image.step(
        &[],
        &[
            "sh",
            "-c",
            "pwd; env | grep -v -e ^PWD -e ^_ -e ^SHLVL | sort",
        ],
    );
    assert_eq!(
        run.ended_with(0).stdout,
        "/\nHOME=/root\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    );
}

#[test]
fn the_command_inherits_nothing_but_stdio() {
    let image = Image::bootable();
    let script = "ls /proc/$$/fd; grep -e ^SigBlk -e ^SigIgn /proc/self/status";
    let seen = |run: &Run| {
        let (descriptors, signals) = run
            .ended_with(0)
            .stdout
            .split_once("SigBlk:")
            .expect("found");
        let masks = signals
            .split_whitespace()
            .filter_map(|word| u64::from_str_radix(word, 16).ok());
        // Signals 32 and 33 are the C library's own, which it has any process that it starts ignore.
        let masks: Vec<u64> = masks.map(|mask| mask & 0x7fff_ffff).collect();
        (descriptors.to_owned(), masks)
    };
    let ours = image.step(&[], &["sh", "-c", script]);
    let plain = image.exec(&["sh", "-c", script]);
    assert_eq!(seen(&ours), seen(&plain));
}

#[test]
fn what_the_caller_ignores_the_command_ignores() {
    let image = Image::bootable();
    let step = "trap '' HUP USR1; exec /dev/.osderive/ostree-container step -- \
                sh -c 'grep ^SigIgn /proc/self/status'";
    let run = image.exec(&["sh", "-c", step]);
    let stdout = &run.ended_with(0).stdout;
    let mask =
        u64::from_str_radix(stdout.trim_start_matches("SigIgn:").trim(), 16).expect("a mask");
    // SIGHUP is 1 and SIGUSR1 is 10.
    assert_eq!(mask & 0x201, 0x201, "{stdout}");
}

#[test]
fn signals_reach_the_command() {
    let image = Image::bootable();
    for (signal, name) in [
        ("TERM", "TERM"),
        ("INT", "INT"),
        ("HUP", "HUP"),
        ("QUIT", "QUIT"),
        ("USR1", "USR1"),
        ("USR2", "USR2"),
    ] {
        let script = format!(
            "trap 'echo got {name}; exit 7' {signal}; echo ready; while :; do sleep 0.02; done"
        );
        let mut child = image
            .command(&[
                "/dev/.osderive/ostree-container",
                "step",
                "--",
                "sh",
                "-c",
                &script,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut output = BufReader::new(child.stdout.take().expect("stdout"));
        let mut line = String::new();
        output.read_line(&mut line).expect("reads");
        assert_eq!(line, "ready\n");
        let unshare = child.id();
        let children =
            fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).expect("reads");
        let tool: i32 = children.trim().parse().expect("one child");
        let tool = rustix::process::Pid::from_raw(tool).expect("a pid");
        let number = signal_number(signal);
        rustix::process::kill_process(tool, number).expect("sends");
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("reads");
        assert_eq!(rest, format!("got {name}\n"));
        assert_eq!(child.wait().expect("ends").code(), Some(7));
    }
}

fn signal_number(name: &str) -> rustix::process::Signal {
    use rustix::process::Signal;
    match name {
        "TERM" => Signal::TERM,
        "INT" => Signal::INT,
        "HUP" => Signal::HUP,
        "QUIT" => Signal::QUIT,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        other => panic!("{other}"),
    }
}

#[test]
fn daemons_are_ended_before_the_commit_and_named() {
    let image = Image::bootable();
    // One ends on SIGTERM and tidies up, one ignores it, one is in a session of its own.
    let run = image.sh(
        "(trap 'sleep 0.1; rm /etc/socket; exit' TERM; touch /etc/socket; while :; do sleep 0.01; done) &
         (trap '' TERM; touch /etc/deaf; while :; do sleep 0.01; done) &
         setsid tail -f /dev/null >/dev/null 2>&1 &
         until [ -e /etc/socket ] && [ -e /etc/deaf ] && grep -q tail /proc/$!/comm; do sleep 0.01; done",
    );
    run.ended_with(0);
    let finding = image.finding(LEFTOVER).expect("a finding");
    assert!(
        finding.message.contains("tail (pid "),
        "{}",
        finding.message
    );
    assert!(finding.message.contains("sh (pid "), "{}", finding.message);
    assert!(
        run.stderr.contains("osderive: warning: ") && run.stderr.contains("[leftover-process]")
    );
    assert!(!image.path("etc/socket").exists(), "SIGTERM comes first");
}

#[test]
fn a_daemon_cannot_write_on_after_the_commit() {
    let image = Image::bootable();
    image
        .sh(
            "mkdir /var/cache/apt; (trap '' TERM; while :; do touch /var/cache/apt/again; done) &
             until [ -e /var/cache/apt/again ]; do sleep 0.01; done",
        )
        .ended_with(0);
    assert_eq!(image.list("var/cache/apt"), [""; 0]);
}

#[test]
fn a_pipeline_that_ends_by_itself_is_no_daemon() {
    // On a busy machine it may take longer than the tool waits for it, but not time and again.
    let is_no_daemon = || {
        let image = Image::bootable();
        image
            .sh("(sleep 0.01; echo late > /etc/late) & exit 0")
            .ended_with(0);
        let late = fs::read_to_string(image.path("etc/late")).ok();
        image.finding(LEFTOVER).is_none() && late.as_deref() == Some("late\n")
    };
    assert!((0..20).any(|_| is_no_daemon()));
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    let image = Image::bootable();
    let run = image.sh("for i in $(seq 300); do (true & true &) ; done
         for i in $(seq 1000); do
            grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null || { echo reaped; break; }
            sleep 0.01
         done");
    assert_eq!(run.ended_with(0).stdout, "reaped\n");
    assert_eq!(image.finding(LEFTOVER), None);
}

#[test]
fn each_of_a_crowd_of_leftovers_is_ended_and_counted_once() {
    let image = Image::bootable();
    // Many are seen before they have become `sleep`.
    image
        .sh("trap '' TERM; for i in $(seq 300); do sleep 600 & done; exit 0")
        .ended_with(0);
    let message = image.finding(LEFTOVER).expect("a finding").message;
    assert!(message.starts_with("300 processes "), "{message}");
}

#[test]
fn elsewhere_than_as_process_one_only_what_the_step_started_is_ended() {
    let image = Image::bootable();
    let run = image.exec(&[
        "sh",
        "-c",
        "sleep 60 & mine=$!
         step='setsid sleep 61 & echo $! > /etc/pid'
         /dev/.osderive/ostree-container step -- sh -c \"$step\"
         kill -0 $mine && ! kill -0 $(cat /etc/pid) && echo only mine",
    ]);
    assert_eq!(run.ended_with(0).stdout, "only mine\n");
    assert!(run.stderr.contains("1 process left running"), "{run:?}");
}

#[test]
fn detect_leaves_an_ordinary_image_as_it_is() {
    let image = Image::ordinary();
    let script = [
        "sh",
        "-c",
        "mkdir /var/cache/apt; touch /var/cache/apt/left",
    ];
    image.step(&["--detect"], &script).ended_with(0);
    assert_eq!(image.list("var/cache/apt"), ["left"]);
    assert_eq!(image.report().outcome, Outcome::NotBootable);
    image.end(&["--detect"]).ended_with(0);
    assert_eq!(image.list("var/cache/apt"), ["left"]);
    assert_eq!(image.report().outcome, Outcome::NotBootable);

    let image = Image::bootable();
    image.step(&["--detect"], &script).ended_with(0);
    assert_eq!(image.list("var/cache/apt"), [""; 0]);
    assert_eq!(image.report().outcome, Outcome::Committed);
    image.end(&["--detect"]).ended_with(0);
    assert_eq!(image.list("var/cache"), [""; 0]);
}

#[test]
fn an_ordinary_root_is_refused_before_the_command_runs_unless_a_front_knows_better() {
    for end in [false, true] {
        let image = Image::ordinary();
        image.write("var/log/syslog", "a line");
        image.write("var/cache/apt/archive", "x");
        let run = |flags: &[&str]| {
            if end {
                return image.end(flags);
            }
            image.step(flags, &["touch", "/etc/ran"])
        };
        let refused = run(&[]);
        assert!(refused.code != 0, "{refused:?}");
        assert!(
            refused.stderr.contains("no bootable image in /"),
            "{refused:?}"
        );
        assert!(!image.path("etc/ran").exists());
        assert!(image.path("var/cache/apt/archive").exists());
        assert!(image.path("var/log/syslog").exists());
        run(&["--any-root"]).ended_with(0);
        assert_eq!(image.path("etc/ran").exists(), !end);
        assert!(!image.path("var/cache/apt/archive").exists());
    }
}

#[test]
fn a_report_that_the_command_forged_is_replaced() {
    let image = Image::bootable();
    image
        .sh("cd /dev/.osderive-out; echo forged > report.json; ln -s /etc/passwd .report.json.new")
        .ended_with(0);
    assert_eq!(image.report().outcome, Outcome::Committed);
    assert!(
        fs::read_to_string(image.path("etc/passwd"))
            .expect("reads")
            .starts_with("root:")
    );
}

#[test]
fn whatever_the_command_puts_in_the_place_of_the_report_it_is_written() {
    let image = Image::bootable();
    let out = "/dev/.osderive-out";
    for name in ["report.json", ".report.json.new"] {
        for odd in ["mkdir -p X/full", "mkfifo X", "ln -s /etc/passwd X"] {
            let odd = odd.replace('X', &format!("{out}/{name}"));
            image.sh(&format!("rm -r {out}/*; {odd}")).ended_with(0);
            assert_eq!(image.report().outcome, Outcome::Committed, "{odd}");
        }
    }
}

#[test]
fn a_report_that_cannot_be_written_fails_the_step() {
    let image = Image::bootable();
    let run = image.exec(&[
        "/dev/.osderive/ostree-container",
        "step",
        "--report",
        "/none",
        "--",
        "true",
    ]);
    assert!(
        run.ended_with(125)
            .stderr
            .contains("cannot open the report directory /none"),
        "{}",
        run.stderr
    );
}

fn image_with_users() -> Image {
    let image = Image::bootable();
    image.write(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv/www:/bin/sh\nhomeless:x:44:44:::/bin/sh\n",
    );
    image.write(
        "etc/group",
        "root:x:0:\nwww:x:34:\nlogs:x:40:web,other\nkeys:x:41:web\n",
    );
    image
}

#[test]
fn a_user_gets_its_ids_groups_and_home() {
    let image = image_with_users();
    for (spec, ids, home) in [
        ("web", "33 34 34 40 41", "/srv/www"),
        ("33", "33 34 34 40 41", "/srv/www"),
        ("web:keys", "33 41 41", "/srv/www"),
        ("33:41", "33 41 41", "/srv/www"),
        ("homeless", "44 44 44", ""),
        ("1234", "1234 0 0", "/"),
        ("root", "0 0 0", "/root"),
    ] {
        let run = image.step(
            &["--user", spec],
            &["sh", "-c", "echo $(id -u) $(id -g) $(id -G); echo $HOME"],
        );
        assert_eq!(
            run.ended_with(0).stdout,
            format!("{ids}\n{home}\n"),
            "{spec}"
        );
    }
    let run = image.step(
        &["--user", "web", "--keep-home"],
        &["sh", "-c", "echo $HOME"],
    );
    assert_eq!(run.ended_with(0).stdout, "/root\n");
}

#[test]
fn a_user_has_exactly_the_privileges_that_setpriv_would_give() {
    let image = image_with_users();
    let status = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/self/status";
    let ours = image.step(&["--user", "web"], &["sh", "-c", status]);
    let reference = image.exec(&[
        "setpriv",
        "--reuid=web",
        "--regid=www",
        "--init-groups",
        "sh",
        "-c",
        status,
    ]);
    assert_eq!(ours.ended_with(0).stdout, reference.ended_with(0).stdout);
    assert!(
        ours.stdout.contains("CapEff:\t0000000000000000"),
        "{}",
        ours.stdout
    );
}

#[test]
fn ambient_capabilities_of_an_insecure_step_stay_with_its_user() {
    let image = image_with_users();
    let run = image.exec(&[
        "setpriv",
        "--inh-caps=+net_raw,+kill",
        "--ambient-caps=+net_raw",
        "/dev/.osderive/ostree-container",
        "step",
        "--user",
        "web",
        "--",
        "grep",
        "-E",
        "^(Uid|CapPrm|CapEff|CapAmb)",
        "/proc/self/status",
    ]);
    assert_eq!(
        run.ended_with(0).stdout,
        "Uid:\t33\t33\t33\t33\nCapPrm:\t0000000000002000\nCapEff:\t0000000000002000\nCapAmb:\t0000000000002000\n"
    );
}

#[test]
fn a_user_cannot_become_root_again_and_the_commit_still_is() {
    let image = image_with_users();
    image
        .sh("mkdir -m 700 /var/cache/private; chmod 1777 /tmp")
        .ended_with(0);
    let script = "touch /tmp/mine; touch /etc/x; setpriv --reuid=0 true || echo still web";
    let run = image.step(&["--user", "web"], &["sh", "-c", script]);
    assert_eq!(run.ended_with(0).stdout, "still web\n");
    assert!(!image.path("etc/x").exists());
}

#[test]
fn beside_the_image_var_is_as_at_boot_and_nothing_is_committed() {
    for (image, is_made) in [(Image::bootable(), true), (Image::ordinary(), false)] {
        image.write("etc/tmpfiles.d/app.conf", "d /var/lib/app 0750\n");
        let run = image.exec(&[
            "/dev/.osderive/ostree-container",
            "step",
            "--detect",
            "--prepare",
            "--",
            "sh",
            "-c",
            "touch /tmp/left; stat -c %a /var/lib/app",
        ]);
        let ended = run.ended_with(u8::from(!is_made).into());
        assert_eq!(ended.stdout, if is_made { "750\n" } else { "" });
        assert_eq!(image.path("var/lib/app").exists(), is_made);
        assert!(image.path("tmp/left").exists());
        assert!(!image.has_report());
    }
}

#[test]
fn a_user_can_open_its_own_standard_streams() {
    let image = image_with_users();
    let run = image.step(
        &["--user", "web"],
        &[
            "sh",
            "-c",
            "echo one > /dev/stdout; echo two > /proc/self/fd/2",
        ],
    );
    run.ended_with(0);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("one\n", "two\n")
    );
}

#[test]
fn user_files_that_are_no_files_are_as_if_they_were_missing() {
    for odd in ["mkfifo", "mkdir", "ln -s /dev/zero"] {
        let image = image_with_users();
        let made = format!("rm /etc/passwd /etc/group; {odd} /etc/passwd; {odd} /etc/group");
        image.exec(&["sh", "-c", &made]).ended_with(0);
        let run = image.step(&["--user", "5:6"], &["id", "-u"]);
        assert_eq!(run.ended_with(0).stdout, "5\n", "{odd}");
        let run = image.step(&["--user", "web"], &["true"]);
        assert!(
            run.ended_with(125).stderr.contains("no matching entries"),
            "{odd}: {run:?}"
        );
    }
}

#[test]
fn an_unknown_user_is_told_as_by_the_engine() {
    let image = image_with_users();
    let run = image.step(&["--user", "nobody"], &["true"]);
    assert_eq!(
        run.ended_with(125).stderr,
        "osderive: unable to find user nobody: no matching entries in passwd file\n"
    );
    image
        .step(&["--user", "web:none"], &["true"])
        .ended_with(125);
}

#[test]
fn an_executable_that_the_user_may_not_execute_is_126() {
    let image = image_with_users();
    image.write("opt/tool", "#!/bin/sh\n");
    image.sh("chmod 700 /opt/tool").ended_with(0);
    image.step(&[], &["/opt/tool"]).ended_with(0);
    image
        .step(&["--user", "web"], &["/opt/tool"])
        .ended_with(126);
}

#[test]
fn a_booted_system_is_refused() {
    let image = Image::bootable()
        .with_mounts("mount -t tmpfs tmpfs \"$ROOT/run\"; mkdir -p \"$ROOT/run/systemd/system\"");
    image.write("var/cache/precious", "x");
    let run = image.sh("true");
    assert!(
        run.ended_with(125)
            .stderr
            .contains("this is a running system"),
        "{}",
        run.stderr
    );
    let run = image.exec(&["/dev/.osderive/ostree-container", "commit"]);
    assert!(
        run.ended_with(1)
            .stderr
            .contains("this is a running system"),
        "{}",
        run.stderr
    );
    assert!(image.path("var/cache/precious").exists());
}

#[test]
fn a_running_system_is_known_whatever_its_init_system() {
    for mark in [
        "openrc/softlevel",
        "runit",
        "s6-rc",
        "dinitctl",
        "initctl",
        "WSL",
        ".toolboxenv",
    ] {
        let made = format!("mount -t tmpfs tmpfs \"$ROOT/run\"; mkdir -p \"$ROOT/run/{mark}\"");
        let image = Image::bootable().with_mounts(&made);
        image.write("var/cache/precious", "x");
        let run = image.exec(&["/dev/.osderive/ostree-container", "commit"]);
        let refused = format!("this is a running system (/run/{mark} exists and /run is mounted)");
        assert!(run.ended_with(1).stderr.contains(&refused), "{run:?}");
        assert!(image.path("var/cache/precious").exists());
    }
}

#[test]
fn a_file_that_a_stream_was_redirected_to_stays_roots() {
    let image = image_with_users();
    image.write("etc/secret", "x");
    let tool = "/dev/.osderive/ostree-container step --user web";
    let script =
        format!("{tool} -- sh -c 'exec stat -c %U /etc/secret /etc/log' < /etc/secret 2> /etc/log");
    let run = image.exec(&["sh", "-c", &script]);
    assert_eq!(run.ended_with(0).stdout, "root\nroot\n");
}

#[test]
fn a_signal_ends_the_commit_as_it_ends_any_program() {
    let image = Image::bootable();
    // The commit waits for a lock that is taken while the command runs.
    let script = "
        cd /etc
        step='touch /etc/ran; while ! test -e /etc/locked; do sleep .01; done'
        /dev/.osderive/ostree-container step -- sh -c \"$step\" 2> /etc/told &
        step=$!
        while ! test -e /etc/ran; do sleep .01; done
        exec 9< /; flock 9; touch /etc/locked
        while ! grep -q waiting /etc/told; do sleep .01; done
        kill -TERM $step; wait $step; echo $?";
    let run = image.exec(&["sh", "-c", script]);
    assert_eq!(run.ended_with(0).stdout, "143\n", "{run:?}");
    let rest = image.sh("true");
    rest.ended_with(0);
}

#[test]
fn help_names_the_exit_codes_and_version_the_tool() {
    let run = |flag: &str| {
        let output = std::process::Command::new(TOOL)
            .arg(flag)
            .output()
            .expect("runs");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(run("--help").contains("125  osderive failed"));
    assert!(run("--version").starts_with("ostree-container "));
}

#[test]
fn accounts_are_not_declared_behind_a_mount() {
    let image = Image::bootable();
    // /usr is this machine's, mounted.
    image
        .sh("echo 'redis:x:105:0::/var/lib/redis:/bin/false' >> /etc/passwd")
        .ended_with(0);
    let report = image.report();
    assert_eq!(report.changed, []);
    let kept: Vec<&str> = report
        .kept
        .iter()
        .map(|kept| kept.reason.as_str())
        .collect();
    assert!(kept.contains(&"behind a mount or a link"), "{kept:?}");
}

#[test]
fn var_is_there_for_the_command_and_gone_after_it() {
    let image = Image::bootable();
    image.write(
        "etc/tmpfiles.d/app.conf",
        "d /var/lib/app 0750 1234 1234\nf /var/spool/app/file - - - - text\n",
    );
    let script = "stat -c %a:%u /var/lib/app; cat /var/spool/app/file; touch /var/spool/app/new";
    let run = image.sh(script);
    assert_eq!(run.ended_with(0).stdout, "750:1234\ntext");
    assert_eq!(image.list("var"), ["cache", "spool", "tmp"]);
    assert_eq!(image.list("var/spool/app"), ["new"]);
    assert_eq!(run.stderr, "");
}
