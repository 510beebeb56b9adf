//! What a committed step leaves in its layer, and what it must not touch.

use osderive_tests::engine::ImageStore;

use crate::{Setup, below};

crate::tests![
    leftovers_are_gone_from_the_image_and_the_rest_is_there,
    mounts_of_every_kind_keep_their_content,
    no_layer_has_a_trace_of_the_tool: BuildKit,
    an_apt_install_works_and_leaves_no_downloads,
    package_lists_of_a_step_that_only_fetches_them_are_there_for_later_steps,
    what_a_run_leaves_is_there_for_later_ones_and_gone_in_the_end,
    what_a_run_removed_does_not_come_back_and_emptying_all_undoes_nothing,
    what_lower_layers_keep_is_told_once_by_line: BuildKit,
    a_link_of_the_base_that_copy_link_hides_comes_back,
    a_stage_that_is_copied_whole_onto_nothing_is_committed,
    a_step_that_leaves_nothing_makes_the_layer_that_it_makes_without_us: BuildKit,
    content_of_lower_layers_is_cleaned_when_a_step_touches_it,
    odd_names_are_removed_like_others,
];

fn leftovers_are_gone_from_the_image_and_the_rest_is_there(setup: &Setup) {
    let scenario = setup.derive(
        "leftovers",
        "RUN mkdir -p /tmp/deep/er /run/app /var/cache/app /var/tmp/b /etc/app /var/lib/app \
         && touch /tmp/deep/er/file /run/app/pid /var/cache/app/blob /var/tmp/b/c \
            /etc/app/conf /usr/bin/app /var/lib/app/state",
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let state = "usr/share/factory/var/lib/app/state";
    for kept in ["etc/app/conf", "usr/bin/app", state] {
        assert!(image.top().contains_key(kept), "{kept} is missing");
    }
    let shipped = image.shipped();
    for emptied in ["run/", "tmp/", "var/cache/", "var/lib/app", "var/tmp/"] {
        let left = below(&shipped, emptied);
        assert!(left.is_empty(), "left in {emptied}: {left:?}");
    }
    let history = image.config["history"].as_array().unwrap();
    let layers = history.iter().filter(|entry| entry["empty_layer"] != true);
    assert_eq!(layers.count(), image.layer_digests.len(), "{history:?}");
}

fn mounts_of_every_kind_keep_their_content(setup: &Setup) {
    let see = "cat /run/secrets/token /var/tmp/bound/file; ls /var/cache/app /tmp/cache";
    let scenario = setup
        .derive(
            "mounts",
            &format!(
                "RUN --mount=type=cache,target=/var/cache/app,id=e2e-mounts \
                 --mount=type=cache,target=/tmp/cache/below,id=e2e-mounts-deep \
                 --mount=type=secret,id=token \
                 --mount=type=bind,source=bound,target=/var/tmp/bound,rw \
                 --mount=type=tmpfs,target=/run/scratch \
                 touch /var/cache/app/kept /tmp/cache/below/kept /run/scratch/file /run/stray /var/tmp/stray\n\
                 RUN --mount=type=cache,target=/var/cache/app,id=e2e-mounts \
                 --mount=type=cache,target=/tmp/cache/below,id=e2e-mounts-deep \
                 --mount=type=secret,id=token \
                 --mount=type=bind,source=bound,target=/var/tmp/bound \
                 ({see}; ls /tmp/cache/below /run) > /usr/share/seen 2>&1"
            ),
        )
        .file("bound/file", "bound\n")
        .unwrap()
        .file("token", "secret\n")
        .unwrap();
    let log = scenario
        .build(&["--secret", "id=token,src=token"])
        .unwrap()
        .expect_success();
    let image = scenario.saved(2).unwrap();
    let seen = &image.top()["usr/share/seen"].content;
    let seen = String::from_utf8_lossy(seen);
    assert!(seen.starts_with("secret\nbound\n"), "{seen}\n{log}");
    assert!(seen.contains("/var/cache/app:\nkept"), "{seen}");
    assert_eq!(seen.matches("kept").count(), 2, "{seen}");
    assert!(seen.contains("stray"), "{seen}");
    for layer in image.layers.iter().chain([&image.end]) {
        let is_of_mount = |path: &&String| path.contains("kept") || path.contains("scratch");
        let left: Vec<_> = layer.keys().filter(is_of_mount).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(!image.shipped().keys().any(|path| path.contains("stray")));
    let own = std::fs::read_to_string(scenario.folder().join("bound/file")).unwrap();
    assert_eq!(own, "bound\n");
}

fn no_layer_has_a_trace_of_the_tool(setup: &Setup) {
    let scenario = setup.derive(
        "trace",
        "RUN echo a > /etc/a\n\
         USER daemon\n\
         RUN echo b > /tmp/b\n\
         USER root\n\
         RUN [\"/bin/touch\", \"/etc/c\"]",
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(3).unwrap();
    for layer in image.layers.iter().chain([&image.end]) {
        for path in layer.keys() {
            assert!(
                !path.contains("osderive") && !path.contains("ostree-container"),
                "{path}"
            );
            assert!(!path.starts_with("dev/"), "{path}");
        }
    }
    let config = image.config.to_string();
    assert!(!config.contains("/dev/.osderive"), "{config}");
}

fn an_apt_install_works_and_leaves_no_downloads(setup: &Setup) {
    let scenario = setup.derive(
        "apt",
        "RUN apt-get update && apt-get install -y --no-install-recommends hello\n\
         RUN --mount=type=cache,target=/var/cache/apt,id=e2e-apt \
         apt-get update && apt-get install -y --no-install-recommends sl && ls /var/cache/apt/*.bin",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(!log.contains("osderive: warning"), "{log}");
    let image = scenario.saved(2).unwrap();
    assert!(image.layers[0].contains_key("usr/bin/hello"));
    assert!(image.layers[1].contains_key("usr/games/sl"));
    for layer in &image.layers {
        let left = below(layer, "var/cache/apt/");
        assert!(left.is_empty(), "{left:?}");
    }
    let shipped = image.shipped();
    for gone in ["var/cache/", "var/log/", "var/lib/apt/lists/deb"] {
        let left = below(&shipped, gone);
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(
        scenario
            .output_of("hello")
            .unwrap()
            .contains("Hello, world!")
    );
}

fn package_lists_of_a_step_that_only_fetches_them_are_there_for_later_steps(setup: &Setup) {
    let scenario = setup.derive(
        "lists",
        "RUN apt-get update\n\
         RUN apt-get install -y --no-install-recommends hello\n\
         RUN apt-get install -y --no-install-recommends sl\n\
         RUN apt-get remove -y hello",
    );
    scenario.build(&[]).unwrap().expect_success();
}

fn a_step_that_leaves_nothing_makes_the_layer_that_it_makes_without_us(setup: &Setup) {
    let scenario = setup.derive("nothing", "RUN true");
    scenario.build(&[]).unwrap().expect_success();
    let ours = scenario.saved(1).unwrap();
    let plain = setup.scenario("nothing-plain", "FROM debian-ostree-base\nRUN true\n");
    plain.build(&[]).unwrap().expect_success();
    let plain = plain.saved(1).unwrap();
    let mut ours = ours.top().clone();
    // To a graph driver each directory that was written to belongs to the layer, as it was.
    ours.retain(|path, entry| {
        let is_parent = ["run", "var", "var/cache", "var/lib", "var/log"].contains(&path.as_str());
        !is_parent || (entry.mode, entry.owner) != (0o755, (0, 0))
    });
    assert_eq!(&ours, plain.top());
}

fn content_of_lower_layers_is_cleaned_when_a_step_touches_it(setup: &Setup) {
    let scenario = setup
        .derive(
            "lower",
            "COPY file /var/cache/copied/file\nRUN touch /etc/after",
        )
        .file("file", "x")
        .unwrap();
    scenario.build(&[]).unwrap().expect_success();
    assert_eq!(scenario.output_of("ls -A /var/cache").unwrap(), "");
}

/// What people's later RUNs look for: scripts and archives in /tmp, logs, lock files, package lists, kernels in /boot,
/// keys that a daemon's own test wants.
fn what_a_run_leaves_is_there_for_later_ones_and_gone_in_the_end(setup: &Setup) {
    let scenario = setup
        .derive(
            "later",
            "COPY build.sh list /tmp/\n\
             RUN apt-get update && apt-get install -y --no-install-recommends openssh-server ssl-cert\n\
             RUN echo made > /tmp/made && echo x > /run/x && echo log > /var/log/build.log && \
                 echo k > /boot/vmlinuz-1.2.3 && echo c > /var/cache/mine && ln -s made /tmp/link\n\
             RUN apt-get install -y --no-install-recommends hello\n\
             RUN mkdir -p /run/sshd && sshd -t && test -s /etc/ssl/private/ssl-cert-snakeoil.key\n\
             RUN cat /tmp/link /run/x /var/log/build.log /boot/vmlinuz-1.2.3 /var/cache/mine > /usr/share/seen\n\
             RUN rm /boot/vmlinuz-1.2.3 && sh /tmp/build.sh",
        )
        .file("build.sh", "cp /tmp/list /usr/share/list")
        .and_then(|scenario| scenario.file("list", "a list"))
        .unwrap();
    scenario.build(&[]).unwrap().expect_success();
    let seen = "cat /usr/share/seen /usr/share/list; hello >/dev/null; ls -A /tmp /var/cache; find /var -type f; ls /etc/ssh/ssh_host* /etc/ssl/private/*.key 2>/dev/null";
    let seen = scenario.output_of(&format!("{seen} || true")).unwrap();
    let gone = "/tmp:\n\n/var/cache:";
    assert_eq!(seen, format!("made\nx\nlog\nk\nc\na list{gone}"));
}

fn what_a_run_removed_does_not_come_back_and_emptying_all_undoes_nothing(setup: &Setup) {
    let scenario = setup.derive(
        "emptied",
        "RUN mkdir -p /var/lib/app /opt/acme /var/lib/dir && echo 1 > /var/lib/app/conf && echo 1 > /opt/acme/run\n\
         RUN rm -rf /var/lib/private\n\
         RUN mkdir /var/lib/private\n\
         RUN rm -rf /tmp/* /var/* && mkdir -p /var/tmp\n\
         RUN test \"$(ls -A /var)\" = tmp && mkdir /var/lib",
    );
    scenario.build(&[]).unwrap().expect_success();
    let at_boot = "systemd-tmpfiles --create --prefix=/var; cat /var/lib/app/conf /opt/acme/run && \
                   test -d /var/lib/dir && test -d /var/lib/private && ls /usr/lib/sysimage";
    let seen = scenario.output_of(at_boot).unwrap();
    assert!(
        seen.starts_with("1\n1\n") && !seen.contains("osderive"),
        "{seen}"
    );
}

fn what_lower_layers_keep_is_told_once_by_line(setup: &Setup) {
    let scenario = setup.derive(
        "left-behind",
        "RUN head -c 20971520 /dev/zero > /tmp/large\nRUN head -c 1048576 /dev/zero > /var/tmp/small",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let told = "size-deleted-later: 21.0 MiB of temporary files, caches, logs and package lists stay in lower \
                layers: 20.0 MiB of line 3, 1.0 MiB of line 4";
    assert_eq!(log.matches(told).count(), 1, "{log}");
}

/// COPY --link knows nothing of the base: with containerd's store it puts a directory where the base has a link.
fn a_link_of_the_base_that_copy_link_hides_comes_back(setup: &Setup) {
    let scenario = setup.derive(
        "copy-link-opt",
        "COPY --link app/ /opt/app/\nCOPY --link app/ /home/me/\nRUN touch /etc/a",
    );
    let scenario = scenario.file("app/run", "run").unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    let told = "layout-link-replaced: a directory replaced the base's link /opt -> var/opt";
    if setup.engine.image_store() == ImageStore::Containerd {
        assert!(log.contains(told) && log.contains("(line 3)"), "{log}");
    }
    let at_boot = "readlink /opt /home; rm -rf /var/opt /var/home; systemd-tmpfiles --create --prefix=/var; \
                   cat /opt/app/run /home/me/run";
    let seen = scenario.output_of(at_boot).unwrap();
    assert_eq!(seen, "var/opt\nvar/home\nrunrun", "{log}");
}

fn a_stage_that_is_copied_whole_onto_nothing_is_committed(setup: &Setup) {
    let scenario = setup.scenario(
        "flattened",
        &format!(
            "{}\nFROM debian-ostree-base AS build\n\
             RUN useradd --system acme && mkdir -p /opt/acme /var/lib/acme && touch /opt/acme/run /tmp/left\n\
             FROM scratch\nCOPY --from=build / /\nCOPY file /var/lib/acme/file\nLABEL containers.bootc=1\n",
            crate::SYNTAX
        ),
    );
    let scenario = scenario.file("file", "copied").unwrap();
    let log = scenario.build(&[]).unwrap().expect_success();
    let at_boot = "rm -rf /var/*; systemd-tmpfiles --create --prefix=/var; cat /var/lib/acme/file; \
                   ls /opt/acme; ls -A /tmp; grep -h acme /usr/lib/sysusers.d/00-osderive-*";
    let seen = scenario.output_of(at_boot).unwrap();
    assert!(seen.starts_with("copiedrun\n"), "{seen}: {log}");
    assert!(seen.contains("u acme ") && !seen.contains("left"), "{seen}");
}

fn odd_names_are_removed_like_others(setup: &Setup) {
    let scenario = setup.derive(
        "odd",
        "RUN cd /tmp && touch 'a b' -- '-rf' \"$(printf 'new\\nline')\" \"$(printf 'bad\\377byte')\" \
         && mkfifo fifo && ln -s / root && mkdir .hidden && touch .hidden/x",
    );
    scenario.build(&[]).unwrap().expect_success();
    let shipped = scenario.saved(1).unwrap().shipped();
    let left = below(&shipped, "tmp/");
    assert!(left.is_empty(), "{left:?}");
    assert!(
        scenario.output_of("ls /usr").is_ok(),
        "the link's target was followed"
    );
}
