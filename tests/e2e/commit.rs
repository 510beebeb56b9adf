//! What a committed step leaves in its layer, and what it must not touch.

use crate::{Setup, below};

crate::tests![
    leftovers_are_gone_from_the_layer_and_the_rest_is_there,
    mounts_of_every_kind_keep_their_content,
    no_layer_has_a_trace_of_the_tool,
    an_apt_install_works_and_leaves_no_downloads,
    package_lists_of_a_step_that_only_fetches_them_are_there_for_later_steps,
    package_lists_are_kept_for_a_later_step_that_needs_them_and_go_with_it,
    a_step_that_needs_package_lists_is_told_how_to_get_them,
    what_later_runs_need_of_tmp_is_there_and_gone_in_the_end,
    a_step_that_leaves_nothing_makes_the_layer_that_it_makes_without_us,
    content_of_lower_layers_is_cleaned_when_a_step_touches_it,
    odd_names_are_removed_like_others,
];

fn leftovers_are_gone_from_the_layer_and_the_rest_is_there(setup: &Setup) {
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
    for emptied in ["run/", "tmp/", "var/cache/", "var/lib/app", "var/tmp/"] {
        let left = below(image.top(), emptied);
        assert!(left.is_empty(), "left in {emptied}: {left:?}");
    }
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
    assert!(!seen.contains("stray"), "{seen}");
    for layer in &image.layers {
        let left: Vec<_> = layer
            .keys()
            .filter(|path| {
                path.contains("stray") || path.contains("kept") || path.contains("scratch")
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
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
    for layer in &image.layers {
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
        let left = below(layer, "var/cache/");
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

fn package_lists_are_kept_for_a_later_step_that_needs_them_and_go_with_it(setup: &Setup) {
    let scenario = setup.derive(
        "lists-kept",
        "RUN apt-get update && apt-get install -y --no-install-recommends hello\n\
         RUN true\n\
         RUN apt-get install -y --no-install-recommends sl",
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(3).unwrap();
    assert!(image.layers[0].contains_key("usr/bin/hello"));
    assert!(image.layers[2].contains_key("usr/games/sl"));
    let lists = "find /var -path '/var/lib/apt/lists/*' -type f";
    let seen = "dpkg-query --admindir=/usr/lib/sysimage/dpkg -W -f '${db:Status-Status} ' hello sl";
    let seen = scenario.output_of(&format!("{seen}; {lists}")).unwrap();
    assert_eq!(seen.trim(), "installed installed");
}

fn a_step_that_needs_package_lists_is_told_how_to_get_them(setup: &Setup) {
    let scenario = setup
        .derive(
            "no-lists",
            "RUN apt-get update && apt-get install -y --no-install-recommends hello\n\
             RUN --mount=type=bind,target=/mnt sh /mnt/more.sh",
        )
        .file("more.sh", "apt-get install -y --no-install-recommends sl\n")
        .unwrap();
    let log = scenario.build(&[]).unwrap().expect_failure();
    assert!(
        log.contains("begin this RUN with apt-get update &&"),
        "{log}"
    );
    let image = setup.derive(
        "lists-gone",
        "RUN apt-get update && apt-get install -y hello",
    );
    image.build(&[]).unwrap().expect_success();
    let saved = image.saved(1).unwrap();
    let mut left = below(saved.top(), "var/lib/apt/lists/");
    left.retain(|path| *path != "var/lib/apt/lists/partial");
    assert!(left.is_empty(), "{left:?}");
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
        let is_parent = ["var", "var/cache", "var/lib", "var/log"].contains(&path.as_str());
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

/// As many Containerfiles have it.
fn what_later_runs_need_of_tmp_is_there_and_gone_in_the_end(setup: &Setup) {
    let scenario = setup
        .derive(
            "later",
            "COPY build.sh list /tmp/\n\
             RUN echo made > /tmp/made && touch /tmp/other /var/tmp/other\n\
             RUN test -e /tmp/list\n\
             RUN test $(ls /tmp | wc -l) = 3 && cp /tmp/made /usr/share/made\n\
             RUN sh /tmp/build.sh",
        )
        .file("build.sh", "cp /tmp/list /usr/share/list")
        .and_then(|scenario| scenario.file("list", "a list"))
        .unwrap();
    scenario.build(&[]).unwrap().expect_success();
    let seen = "cat /usr/share/made /usr/share/list; ls -A /tmp; find /var -type f";
    let seen = scenario.output_of(seen).unwrap();
    assert_eq!(seen, "made\na list");
    let image = scenario.saved(4).unwrap();
    assert_eq!(below(&image.layers[0], "tmp/"), ["tmp/made"]);
}

fn odd_names_are_removed_like_others(setup: &Setup) {
    let scenario = setup.derive(
        "odd",
        "RUN cd /tmp && touch 'a b' -- '-rf' \"$(printf 'new\\nline')\" \"$(printf 'bad\\377byte')\" \
         && mkfifo fifo && ln -s / root && mkdir .hidden && touch .hidden/x",
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let left = below(image.top(), "tmp/");
    assert!(left.is_empty(), "{left:?}");
    assert!(
        scenario.output_of("ls /usr").is_ok(),
        "the link's target was followed"
    );
}
