//! The same commit by podman and buildah, with one word before their command.

use std::fs;
use std::path::Path;
use std::process;

use osderive_tests::listing::{differences, list};
use osderive_tests::scenario::{Scenario, unpack};

use crate::Setup;
use crate::doors::OF_ENGINE;
use crate::host::{
    ENGINES, NETWORK, build, build_plain, command, has, has_image, osderive, remove_image, renewed,
    run, saved, scenario,
};

crate::tests![
    runs_of_the_image_are_committed_and_builder_stages_stay: OwnCache,
    a_plain_build_and_a_committed_one_share_no_step: OwnCache,
    what_is_found_fails_a_build_at_its_line_and_the_image_gets_no_name: OwnCache,
    accounts_with_other_ids_than_in_the_previous_image_are_told_and_nothing_runs_for_it: OwnCache,
    a_directory_of_usr_that_a_lower_layer_has_otherwise_is_told: OwnCache,
    every_user_finds_what_it_finds_without_us: OwnCache,
    a_run_that_fails_fails_the_build_as_it_does_without_us: OwnCache,
    a_containerfile_may_be_given_in_every_way: OwnCache,
    an_image_that_does_not_boot_is_what_it_is_without_us: OwnCache,
    where_no_runtime_is_called_the_runs_call_the_tool: OwnCache,
    what_cannot_be_committed_is_refused_before_it_is_built: OwnCache,
    the_runs_of_a_stage_that_is_copied_whole_have_their_lines: OwnCache,
];

// The engines of all tests have the runtime while it is installed.
crate::tests![ALONE = once_installed_the_engines_commit_by_themselves: OwnCache];

pub(crate) const STAGES: &str = "\
FROM debian-ostree-base AS lower
RUN useradd --system acme && mkdir -p /var/lib/acme && chown acme /var/lib/acme && echo x >/tmp/left
FROM debian-ostree-base AS tools
RUN mkdir -p /run/here && echo tool >/tool && echo x >/tmp/of-builder
FROM lower
COPY --from=tools /tool /usr/bin/tool
USER acme
RUN test -e /tmp/left && test ! -e /tmp/of-builder && echo mine >/var/lib/acme/mine
RUN --mount=type=cache,target=/var/cache/acme <<END
echo kept >/tmp/kept
END
CMD [\"/sbin/init\"]
";

/// How many layers the instructions of [`STAGES`] have, and the commit.
const LAYERS_OF_STAGES: usize = 5;

fn runs_of_the_image_are_committed_and_builder_stages_stay(setup: &Setup) {
    let mut scenario = scenario(setup, "stages", STAGES);
    for engine in ENGINES {
        scenario = renewed(scenario, STAGES, engine);
        let log = build(setup, &scenario, engine, &[]).expect(0);
        assert!(log.contains("osderive: committed: removed "), "{log}");
        let image = saved(setup, &scenario, LAYERS_OF_STAGES);
        let shipped = image.shipped();
        let at = |path: &str| shipped.get(path).map(|entry| entry.content.clone());
        assert_eq!(at("usr/bin/tool").as_deref(), Some(&b"tool\n"[..]));
        assert_eq!(
            at("usr/share/factory/var/lib/acme/mine").as_deref(),
            Some(&b"mine\n"[..])
        );
        for gone in [
            "tmp/left",
            "tmp/kept",
            "var/lib/acme/mine",
            "etc/hostname",
            "etc/resolv.conf",
        ] {
            assert_eq!(at(gone), None, "{engine}: {gone}");
        }
        let declared = shipped
            .iter()
            .filter(|(path, _)| path.contains("sysusers.d/00-osderive-"));
        let declared: Vec<u8> = declared
            .flat_map(|(_, entry)| entry.content.clone())
            .collect();
        assert!(
            String::from_utf8_lossy(&declared).contains("u acme "),
            "{engine}"
        );
        let is_trace = |path: &&String| path.starts_with("dev/") || path.contains("osderive-new");
        assert_eq!(shipped.keys().find(is_trace), None);
        let config = &image.config["config"];
        assert!(!config["Env"].to_string().contains("OSDERIVE"), "{config}");
        assert_eq!(config["User"], "acme");

        let again = build(setup, &scenario, engine, &[]).expect(0);
        assert!(!again.contains("osderive: committed"), "{again}");
        let end = |log: &str| {
            log.lines()
                .rev()
                .find(|line| line.contains(" of the base image"))
                .map(str::to_owned)
        };
        assert_eq!(end(&again), end(&log), "a cached build says the same");
    }
}

fn a_plain_build_and_a_committed_one_share_no_step(setup: &Setup) {
    let text = "FROM debian-ostree-base\nRUN mkdir -p /var/lib/shared && echo x >/tmp/left\n";
    let scenario = scenario(setup, "share", text);
    let has_left = || has(setup, &scenario, "/tmp/left");
    for engine in ENGINES {
        build_plain(setup, &scenario, engine, &[]).expect(0);
        assert!(has_left(), "{engine}");
        build(setup, &scenario, engine, &[]).expect(0);
        assert!(!has_left(), "{engine}");
        build_plain(setup, &scenario, engine, &[]).expect(0);
        assert!(has_left(), "{engine}");
    }
}

/// Commands in all forms that a RUN has.
const FORMS: &str = "\
ARG WHO=acme
FROM debian-ostree-base AS lower
ARG WHO
RUN useradd --system --home-dir /var/lib/acme --create-home acme && echo x >/tmp/left
SHELL [\"/bin/bash\", \"-euc\"]
RUN test -n \"$BASH_VERSION\" \\
  # not of it
  && printf '%s|' \"$0\" 'a   b' >/usr/share/bash
USER $WHO
RUN --mount=type=cache,target=/var/cache/acme,uid=0 id -un >/var/lib/acme/who && test -e /tmp/left
USER root
COPY software /opt/acme
FROM lower
RUN <<-END
\tset -e
\techo \"$0\" >/usr/share/sh
\tEND
RUN <<END
#!/usr/bin/perl -w
open(my $file, '>', '/usr/share/perl-script'); print $file \"it's $^W\\n\";
END
RUN cat <<ONE >/etc/one && cat <<'TWO' >/etc/two
$HOME
ONE
$HOME
TWO
RUN [\"/bin/sh\", \"-c\", \"echo \\\"$0\\\" >/usr/share/words\"]
USER root
";

fn where_no_runtime_is_called_the_runs_call_the_tool(setup: &Setup) {
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    let mut scenario = scenario(setup, "forms", FORMS);
    scenario = scenario.file("software/bin/acme", "acme\n").unwrap();
    let tree = |isolation: &str| {
        let isolation = format!("--isolation={isolation}");
        // In the OCI format an image has no SHELL.
        let options = [isolation.as_str(), "--format=docker"];
        let log = build(setup, &scenario, "buildah", &options).expect(0);
        let root = folder.path().join(&isolation);
        fs::create_dir(&root).unwrap();
        let paths = ["usr", "etc", "var", "opt", "run", "tmp"];
        unpack(&setup.engine, "podman", scenario.tag(), &paths, &root).unwrap();
        let mut listing = list(&root, &paths).unwrap();
        for path in OF_ENGINE {
            listing.remove(Path::new(path));
        }
        (log, listing)
    };
    let (by_runtime, runtime) = tree("oci");
    let (rewritten, chroot) = tree("chroot");
    assert!(by_runtime.contains("osderive: committed"), "{by_runtime}");
    let different = differences(&runtime, &chroot);
    assert!(different.is_empty(), "{different:#?}");
    let content =
        |path: &str| fs::read_to_string(folder.path().join("--isolation=chroot").join(path));
    assert_eq!(content("usr/share/bash").unwrap(), "/bin/bash|a   b|");
    assert_eq!(content("usr/share/sh").unwrap(), "/bin/bash\n");
    assert_eq!(content("usr/share/perl-script").unwrap(), "it's 1\n");
    assert_eq!(content("usr/lib/opt/acme/bin/acme").unwrap(), "acme\n");
    assert_eq!(
        content("usr/share/factory/var/lib/acme/who").unwrap(),
        "acme\n"
    );

    let options = ["--isolation=chroot", "--format=docker"];
    let again = build(setup, &scenario, "buildah", &options).expect(0);
    assert!(!again.contains("osderive: committed"), "{again}");
    assert_eq!(again.lines().last(), rewritten.lines().last());
    // Where nobody knows what was found, the commit at the end runs again, and once is enough.
    let cache = scenario.folder().with_extension("cache");
    fs::remove_dir_all(cache.join("osderive")).unwrap();
    for runs in [1, 0] {
        let log = build(setup, &scenario, "buildah", &options).expect(0);
        assert_eq!(log.matches("osderive: committed").count(), runs, "{log}");
    }

    let scenario = scenario.file("kernel/vmlinuz", "kernel").unwrap();
    let scenario = scenario.file("Containerfile", KERNEL).unwrap();
    let log = build(setup, &scenario, "podman", &["--isolation=chroot"]).expect(1);
    assert!(log.contains("error[kernel-count]"), "{log}");
    assert!(log.contains("Containerfile:3:1"), "{log}");
    let unknown = "FROM debian-ostree-base\nENV A='b c'\nUSER $A\nRUN x\n";
    let scenario = scenario.file("Containerfile", unknown).unwrap();
    let log = build(setup, &scenario, "podman", &["--isolation=chroot"]).expect(125);
    assert!(
        log.contains("Containerfile:3: ") && log.contains("USER"),
        "{log}"
    );
}

fn once_installed_the_engines_commit_by_themselves(setup: &Setup) {
    let text = "FROM debian-ostree-base\nARG OSDERIVE=1\nRUN mkdir -p /var/lib/installed; env\n";
    let scenario = scenario(setup, "installed", text);
    let tell = |word: &str| {
        let mut host = command(
            setup,
            &scenario,
            &osderive(&setup.places).display().to_string(),
        );
        host.args(["podman", word]);
        run(host).expect(0)
    };
    let said = tell("install");
    assert!(said.contains("containers.conf.d"), "{said}");
    for engine in ENGINES {
        let log = build_plain(setup, &scenario, engine, &["--no-cache"]).expect(0);
        assert!(log.contains("osderive: /var: declared 1"), "{log}");
        assert!(!log.contains("\nOSDERIVE="), "{log}");
    }
    let is_declared = || {
        let mut grep = command(setup, &scenario, "podman");
        grep.args([
            "run",
            "--rm",
            "--network=none",
            scenario.tag(),
            "/bin/sh",
            "-c",
        ])
        .arg("grep -l /var/lib/installed /usr/lib/tmpfiles.d/00-osderive-*");
        run(grep).code == Some(0)
    };
    assert!(is_declared());
    let kept = format!("kept-{}", process::id());
    let podman = |arguments: &[&str]| {
        let mut podman = command(setup, &scenario, "podman");
        podman.args(arguments);
        run(podman).expect(0)
    };
    podman(&[
        "create",
        "--network=none",
        "--name",
        &kept,
        scenario.tag(),
        "/usr/bin/true",
    ]);
    let removed = tell("uninstall");
    assert_eq!(removed.lines().count(), 4, "{removed}");
    build_plain(setup, &scenario, "podman", &["--no-cache"]).expect(0);
    assert!(!is_declared());
    podman(&["start", "--attach", &kept]);
    podman(&["rm", &kept]);
}

/// `kernel-count`: a second kernel.
const KERNEL: &str = "\
FROM debian-ostree-base
RUN touch /etc/a
COPY kernel /usr/lib/modules/9.9/
RUN touch /etc/b
";

fn what_is_found_fails_a_build_at_its_line_and_the_image_gets_no_name(setup: &Setup) {
    let scenario = scenario(setup, "error", KERNEL);
    let mut scenario = scenario.file("kernel/vmlinuz", "kernel").unwrap();
    for engine in ENGINES {
        remove_image(setup, &scenario);
        scenario = renewed(scenario, KERNEL, engine);
        // The second time all of it comes from the cache.
        for _ in 0..2 {
            let log = build(setup, &scenario, engine, &[]).expect(1);
            assert!(log.contains("error[kernel-count]"), "{log}");
            assert!(log.contains("Containerfile:4:1"), "{log}");
            assert!(!has_image(setup, &scenario), "{engine}");
        }
        build(
            setup,
            &scenario,
            engine,
            &["--build-arg=OSDERIVE_FAIL_ON=never"],
        )
        .expect(0);
        assert!(has_image(setup, &scenario), "{engine}");
    }
    let allowed = KERNEL.replace("COPY", "# osderive: allow=kernel-count -- a test\nCOPY");
    let scenario = scenario.file("Containerfile", &allowed).unwrap();
    let log = build(setup, &scenario, "podman", &[]).expect(0);
    assert!(!log.contains("error["), "{log}");
    let twice = KERNEL.replace("RUN touch /etc/b", "COPY kernel /usr/lib/modules/9.8/");
    let scenario = scenario.file("Containerfile", &twice).unwrap();
    let log = build(setup, &scenario, "podman", &["--layers"]).expect(1);
    assert!(
        log.contains("= also by: line 3: COPY kernel /usr/lib/modules/9.9/"),
        "{log}"
    );
}

fn accounts_with_other_ids_than_in_the_previous_image_are_told_and_nothing_runs_for_it(
    setup: &Setup,
) {
    let text = |accounts: [&str; 2]| {
        let runs = accounts.map(|name| format!("RUN useradd --system --user-group {name}\n"));
        format!("FROM debian-ostree-base\n{}", runs.concat())
    };
    let old = scenario(setup, "previous-old", &text(["alpha", "beta"]));
    build(setup, &old, "podman", &[]).expect(0);
    let text = text(["beta", "alpha"]);
    let mut new = scenario(setup, "previous-new", &text);
    let rule = "warning[account-id-changed]";
    for engine in ENGINES {
        new = renewed(new, &text, engine);
        let with = |engine: &str, previous: &str| {
            let previous = format!("--build-arg=OSDERIVE_PREVIOUS={previous}");
            build(setup, &new, engine, &[&previous]).expect(0)
        };
        let log = with(engine, "");
        assert!(!log.contains(rule), "{log}");
        // What is compared with is no part of the build: all of it comes from the cache.
        let log = with(engine, old.tag());
        assert!(!log.contains("osderive: committed"), "{log}");
        assert_eq!(log.matches(rule).count(), 2, "{log}");
        for (account, line) in [("beta", 3), ("alpha", 4)] {
            assert!(
                log.contains(&format!("user {account} has the uid ")),
                "{log}"
            );
            assert!(log.contains(&format!("Containerfile:{line}:1")), "{log}");
        }
        let log = with(engine, new.tag());
        assert!(!log.contains(rule), "{log}");
        let log = with(engine, "localhost:1/no/such:image");
        let told = "the ids of the previous image localhost:1/no/such:image are not compared: ";
        assert!(log.contains(told) && has_image(setup, &new), "{log}");
    }
    let failing = "--build-arg=OSDERIVE_FAIL_ON=warning";
    let previous = format!("--build-arg=OSDERIVE_PREVIOUS={}", old.tag());
    build(setup, &new, "podman", &[&previous, failing]).expect(1);
}

fn a_directory_of_usr_that_a_lower_layer_has_otherwise_is_told(setup: &Setup) {
    let text = "\
FROM debian-ostree-base
RUN mkdir -m 750 -p /usr/share/acme/a/data
RUN touch /usr/share/acme/a/data/x
RUN chown -R daemon:adm /usr/share/acme/a/data && chmod 2750 /usr/share/acme/a/data
RUN touch /usr/share/acme/a/data/y
USER daemon
ENV A=b
USER 0
RUN chmod 700 /usr/lib/kernel/install.d
";
    let mut scenario = scenario(setup, "metadata", text);
    let told = |scenario: &Scenario<'_>, engine: &str, options: &[&str]| {
        let log = build(setup, scenario, engine, options).expect(0);
        let paths = ["/usr/share/acme/a/data", "/usr/lib/kernel/install.d"];
        let told = paths.map(|path| {
            let finding = format!("the new mode or owner of {path} is lost: a lower layer");
            log.contains(&finding)
        });
        let lines = (1..=10).filter(|line| log.contains(&format!("Containerfile:{line}:1")));
        (told, lines.collect::<Vec<_>>())
    };
    for (engine, isolation) in [("podman", "oci"), ("buildah", "oci"), ("buildah", "chroot")] {
        let isolation = format!("--isolation={isolation}");
        scenario = renewed(scenario, text, &format!("{engine}{isolation}"));
        // From the cache, too.
        for _ in 0..2 {
            let told = told(&scenario, engine, &[&isolation]);
            assert_eq!(told, ([true, true], vec![5, 10]), "{engine} {isolation}");
        }
        // What is in one layer has no lower one but the base.
        let told = told(&scenario, engine, &[&isolation, "--layers=false"]);
        assert_eq!(told, ([false, true], vec![10]), "{engine} {isolation}");
    }
}

const USERS: &str = "\
FROM debian-ostree-base
RUN groupadd --system more && useradd --system --groups more --home-dir /srv/acme acme && id && env
USER acme
RUN id; env; grep -E 'Cap|Groups|NoNew|Seccomp' /proc/self/status; umask
USER 33:adm
WORKDIR /srv
RUN [\"/bin/sh\", \"-c\", \"id; env; pwd; grep -E 'Cap|Groups' /proc/self/status\"]
ENV HOME=/elsewhere A=b
USER 4242
RUN id; env
";

fn every_user_finds_what_it_finds_without_us(setup: &Setup) {
    let scenario = scenario(setup, "users", USERS);
    // Names of containers differ, and lines of osderive are none of a command's.
    let is_of_command = |line: &&str| {
        !["HOSTNAME=", "STEP ", "-->", "osderive", "COMMIT", "["]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let found = |log: &str| {
        let words = [
            "uid=", "HOME=", "PATH=", "PWD=", "A=", "Cap", "Groups", "NoNew", "Seccomp", "00",
        ];
        let lines = log.lines().filter(is_of_command);
        let lines = lines.filter(|line| words.iter().any(|word| line.starts_with(word)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for (engine, runtime) in [
        ("podman", "--runtime=runc"),
        ("buildah", "--runtime=crun"),
        ("buildah", "--isolation=chroot"),
    ] {
        let options = ["--layers=false", runtime];
        let plain = found(&build_plain(setup, &scenario, engine, &options).expect(0));
        let ours = found(&build(setup, &scenario, engine, &options).expect(0));
        assert!(plain.len() > 20, "{plain:?}");
        assert_eq!(ours, plain, "{engine} {runtime}");
    }
}

fn a_run_that_fails_fails_the_build_as_it_does_without_us(setup: &Setup) {
    let scenario = scenario(setup, "fails", "FROM debian-ostree-base\nRUN exit 7\n");
    for engine in ENGINES {
        let plain = build_plain(setup, &scenario, engine, &[]);
        let ours = build(setup, &scenario, engine, &[]);
        assert_eq!(ours.code, plain.code, "{}", ours.log);
        assert_ne!(ours.code, Some(0));
        assert!(!has_image(setup, &scenario));
    }
}

fn a_containerfile_may_be_given_in_every_way(setup: &Setup) {
    let base = "ARG BASE=debian-ostree-base\nFROM $BASE AS one\nRUN echo 1 >/etc/one\nFROM one AS two\nCOPY . /usr/share/all\n";
    let scenario = scenario(setup, "given", base);
    let scenario = scenario
        .file("other/File.containerignore", "not\n")
        .and_then(|it| {
            it.file(
                "other/File",
                &format!("{base}FROM debian-plain\nRUN exit 1\n"),
            )
        })
        .and_then(|it| it.file("end", "RUN echo 2 >/etc/two\n"))
        .and_then(|it| it.file("not", "x"))
        .and_then(|it| it.file("yes", "x"))
        .unwrap();
    let expect = |paths: &[(&str, bool)]| {
        for (path, is_there) in paths {
            assert_eq!(has(setup, &scenario, path), *is_there, "{path}");
        }
    };
    let (yes, not) = ("/usr/share/all/yes", "/usr/share/all/not");
    build(
        setup,
        &scenario,
        "podman",
        &["-f", "other/File", "--target", "two"],
    )
    .expect(0);
    expect(&[(yes, true), (not, false), ("/etc/one", true)]);
    build(setup, &scenario, "buildah", &["-fother/File", "--target=1"]).expect(0);
    expect(&[(yes, true), (not, false)]);
    build(
        setup,
        &scenario,
        "podman",
        &["-f", "Containerfile", "-f", "end"],
    )
    .expect(0);
    expect(&[(not, true), ("/etc/two", true)]);
    let log = build(setup, &scenario, "podman", &["-f", "none"]).expect(125);
    assert!(log.contains("none: No such file"), "{log}");
    let log = build(setup, &scenario, "podman", &["-f", "end"]).expect(125);
    assert!(log.contains("no stage"), "{log}");

    let mut piped = command(setup, &scenario, "/bin/sh");
    let line = format!(
        "echo 'FROM debian-ostree-base\nRUN echo piped >/etc/piped' | {} podman build {NETWORK} -t {} -f - .",
        osderive(&setup.places).display(),
        scenario.tag()
    );
    piped.args(["-c", &line]);
    run(piped).expect(0);
    expect(&[("/etc/piped", true)]);
}

fn what_cannot_be_committed_is_refused_before_it_is_built(setup: &Setup) {
    let scenario = scenario(
        setup,
        "refused",
        "FROM debian-ostree-base\nRUN echo has run\n",
    );
    for (engine, options, said) in [
        ("podman", &["--all-platforms"][..], "name them"),
        (
            "podman",
            &["--platform=linux/amd64,linux/arm64", "--iidfile=id"],
            "--iidfile for several platforms",
        ),
        (
            "podman",
            &["--build-arg=OSDERIVE_BOOTABLE=yes"],
            "auto, on or off",
        ),
        ("podman", &["--target=none"], "no stage"),
    ] {
        let log = build(setup, &scenario, engine, options).expect(125);
        assert!(log.contains(said) && !log.contains("has run"), "{log}");
    }
    // What is not wanted is the engine's own build.
    let log = build(
        setup,
        &scenario,
        "podman",
        &["--build-arg=OSDERIVE_BOOTABLE=off"],
    )
    .expect(0);
    assert!(
        log.contains("has run") && !log.contains("OSDERIVE\n"),
        "{log}"
    );
}

/// Nobody of the image is in it, and there is no shell.
const SCRATCH: &str = "\
FROM scratch
COPY file /app/file
WORKDIR /app
USER nobody
ENTRYPOINT [\"/app/file\"]
";

fn an_image_that_does_not_boot_is_what_it_is_without_us(setup: &Setup) {
    let plain = "FROM debian-plain\nRUN touch /tmp/left /var/cache/left\nUSER daemon\n";
    let mut scenario = scenario(setup, "ordinary", SCRATCH);
    for (text, layers) in [(SCRATCH, 3), (plain, 1)] {
        scenario = scenario
            .file("Containerfile", text)
            .and_then(|it| it.file("file", "x"))
            .unwrap();
        for engine in ENGINES {
            build_plain(setup, &scenario, engine, &[]).expect(0);
            let without = saved(setup, &scenario, layers);
            build(setup, &scenario, engine, &[]).expect(0);
            let with = saved(setup, &scenario, layers);
            assert_eq!(with.config, without.config, "{engine}");
            assert_eq!(with.layer_digests, without.layer_digests, "{engine}");
        }
    }
}

/// What is told stands in a stage that is copied.
const COPIED: &str = "\
FROM debian-ostree-base AS whole
ENV A=b
USER daemon
RUN id -un
USER root
RUN useradd --system --password '$6$salt$hash' acme && touch /tmp/left
FROM scratch
COPY --from=whole / /
RUN test -z \"$A\" && test -e /tmp/left && id -un | grep root
LABEL containers.bootc=1
STOPSIGNAL SIGRTMIN+3
";

fn the_runs_of_a_stage_that_is_copied_whole_have_their_lines(setup: &Setup) {
    // The same tree by another command: what is above it may come from the cache.
    let other = COPIED.replace("id -un\nUSER root", "id -u\nUSER root");
    let mut scenario = scenario(setup, "copied", COPIED);
    for (engine, text, options) in [
        ("podman", COPIED, &[][..]),
        ("podman", COPIED, &[]),
        ("podman", &other, &[]),
        ("buildah", COPIED, &["--layers"]),
        ("buildah", COPIED, &["--isolation=chroot"]),
    ] {
        scenario = renewed(scenario, text, engine);
        let log = build(setup, &scenario, engine, options).expect(0);
        assert!(
            log.contains("account-usable-password") && log.contains("Containerfile:7"),
            "{engine} {options:?}: {log}"
        );
        assert!(!has(setup, &scenario, "/tmp/left"), "{log}");
    }
}
