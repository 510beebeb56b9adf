//! /opt and /usr/local, which the base has as links into /var: what packages and people put there is
//! in the image, works in later steps, is upgraded and removed like anything else, and is found at
//! its old path on a machine whose /var is empty.

use osderive_tests::saved_image::Layer;
use osderive_tests::scenario::{Scenario, findings};
use tar::EntryType;

use crate::{Setup, below};

crate::tests![
    a_deb_with_software_in_opt_is_upgraded_and_removed,
    an_rpm_with_software_in_opt_is_upgraded_and_removed,
    what_people_put_into_usr_local_is_replaced_by_later_steps,
    an_instruction_copies_through_the_link_that_an_earlier_step_left,
    an_instruction_copies_into_software_that_an_earlier_step_left,
    what_only_instructions_copy_is_on_the_machine,
    a_directory_that_is_named_as_writable_is_in_var,
];

/// Two versions of a package with a command, a log directory and one that belongs to its user.
const DEBS: &str = r"
FROM debian-plain AS packages
RUN for version in 1 2; do \
        p=/p$version; mkdir -p $p/DEBIAN $p/opt/acme/bin $p/opt/acme/log $p/opt/acme/store $p/usr/bin && \
        printf 'Package: acme\nVersion: %s\nArchitecture: all\nMaintainer: a <a@b>\nDescription: a\n' $version \
            >$p/DEBIAN/control && \
        printf '#!/bin/sh\nid acme >/dev/null || useradd --system acme\nchown acme /opt/acme/store\n' \
            >$p/DEBIAN/postinst && \
        printf '#!/bin/sh\necho %s\n' $version >$p/opt/acme/bin/acme && \
        echo $version >$p/opt/acme/only-in-$version && echo seed >$p/opt/acme/store/seed && \
        ln -s /opt/acme/bin/acme $p/usr/bin/acme && \
        chmod 755 $p/DEBIAN/postinst && chmod 2755 $p/opt/acme/bin/acme && \
        dpkg-deb --build $p /acme-$version.deb; \
    done
";

/// What a machine makes of the image: /var is empty there, but for what boot makes.
const AT_BOOT: &str = "rm -rf /var/opt /var/usrlocal && systemd-tmpfiles --create --prefix=/var/opt --prefix=/var/usrlocal; ";

fn derive_with<'a>(setup: &'a Setup, name: &str, builder: &str, steps: &str) -> Scenario<'a> {
    let syntax = crate::SYNTAX;
    setup.scenario(
        name,
        &format!("{syntax}\n{builder}\nFROM debian-ostree-base\n{steps}\n"),
    )
}

/// What a layer has in /var/opt and /var/usrlocal that is neither a directory nor a link.
fn left_in_var(layer: &Layer) -> Vec<&str> {
    let areas = ["var/opt/", "var/usrlocal/"].into_iter();
    let paths = areas.flat_map(|area| below(layer, area));
    let is_left = |path: &&str| {
        !matches!(layer[*path].kind, EntryType::Directory | EntryType::Symlink)
            && !path.contains(".wh.")
    };
    paths.filter(is_left).collect()
}

fn a_deb_with_software_in_opt_is_upgraded_and_removed(setup: &Setup) {
    let run = "RUN --mount=type=bind,from=packages,target=/run/packages";
    let installed = format!(
        "{run} dpkg -i /run/packages/acme-1.deb\n\
         {run} dpkg -i /run/packages/acme-2.deb && test $(acme) = 2\n\
         RUN test $(acme) = 2 && test -d /opt/acme/log && touch /usr/share/later"
    );
    let scenario = derive_with(setup, "opt-deb", DEBS, &installed);
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(3).unwrap();
    let [first, second, _] = &image.layers[..] else {
        panic!("three layers")
    };
    for layer in &image.layers {
        assert_eq!(left_in_var(layer), [""; 0]);
    }
    assert_eq!(first["usr/lib/opt/acme/bin/acme"].mode, 0o2755);
    assert!(second.contains_key("usr/lib/opt/acme/.wh.only-in-1"));
    // Later RUNs find a directory; what is written at run time moves in the end.
    assert_eq!(first["usr/lib/opt/acme/log"].kind, EntryType::Directory);
    assert_eq!(image.end["usr/lib/opt/acme/log"].kind, EntryType::Symlink);
    let at_boot = format!("{AT_BOOT} acme; ls /opt/acme; readlink /opt/acme/store /usr/bin/acme");
    assert_eq!(
        scenario.output_of(&at_boot).unwrap(),
        "2\nbin\nlog\nonly-in-2\nstore\n/var/lib/opt/acme/store\n/opt/acme/bin/acme"
    );

    let removed = format!("{installed}\nRUN dpkg -P acme");
    let scenario = derive_with(setup, "opt-deb-removed", DEBS, &removed);
    let log = scenario.build(&[]).unwrap().expect_success();
    let left =
        "readlink /opt; ls -A /usr/lib/opt; grep -rl var/opt/acme /usr/lib/tmpfiles.d || true";
    assert_eq!(scenario.output_of(left).unwrap(), "var/opt", "{log}");
}

/// The same with rpm, which the base does not have.
const RPM: &str = r#"
RUN apt-get update && apt-get install -y --no-install-recommends rpm && \
    for version in 1 2; do \
        printf '%s\n' 'Name: acme' "Version: $version" 'Release: 1' 'Summary: a' 'License: a' 'BuildArch: noarch' \
            '%description' 'a' '%install' 'mkdir -p %{buildroot}/opt/acme/bin %{buildroot}/opt/acme/log' \
            "echo 'echo $version' >%{buildroot}/opt/acme/bin/acme" "echo >%{buildroot}/opt/acme/only-in-$version" \
            '%files' '/opt/acme' >/usr/share/acme.spec && \
        rpmbuild -bb --define '_topdir /usr/share/rpms' --define '_rpmformat 4' /usr/share/acme.spec; \
    done
"#;

fn an_rpm_with_software_in_opt_is_upgraded_and_removed(setup: &Setup) {
    let rpm =
        "RUN rpm --dbpath /usr/lib/sysimage/rpm --define '__transaction_unshare %{nil}' --nodeps";
    let packages = "/usr/share/rpms/RPMS/noarch/acme";
    let installed = format!(
        "{RPM}{rpm} -i {packages}-1-1.noarch.rpm && test $(sh /opt/acme/bin/acme) = 1\n\
         {rpm} -U {packages}-2-1.noarch.rpm && test $(sh /opt/acme/bin/acme) = 2"
    );
    let scenario = derive_with(setup, "opt-rpm", "", &installed);
    let log = scenario.build(&[]).unwrap().expect_success();
    let at_boot = format!("{AT_BOOT} sh /opt/acme/bin/acme; ls /usr/lib/opt/acme");
    let shown = scenario.output_of(&at_boot).unwrap();
    assert_eq!(shown, "2\nbin\nlog\nonly-in-2", "{log}");

    let removed = format!("{installed}\n{rpm} -e acme");
    let scenario = derive_with(setup, "opt-rpm-removed", "", &removed);
    let log = scenario.build(&[]).unwrap().expect_success();
    let left = "ls -A /usr/lib/opt; grep -rl var/opt/acme /usr/lib/tmpfiles.d || true";
    assert_eq!(scenario.output_of(left).unwrap(), "", "{log}");
}

fn what_people_put_into_usr_local_is_replaced_by_later_steps(setup: &Setup) {
    let steps = r"
RUN printf '#!/bin/sh\necho 1\n' >/usr/local/bin/copied && cp /usr/local/bin/copied /tmp/x && \
    install -m 755 /tmp/x /usr/local/bin/installed && chmod 755 /usr/local/bin/copied && \
    mkdir -p /usr/local/lib/app /usr/local/share/man/man1 && echo 1 >/usr/local/lib/app/x && \
    ln -s installed /usr/local/bin/link && ln -s ../lib/app/x /usr/local/bin/far
RUN printf '#!/bin/sh\necho 2\n' >/tmp/x && cp /tmp/x /usr/local/bin/copied && \
    install -m 755 /tmp/x /usr/local/bin/installed && echo 2 >/usr/local/lib/app/x && \
    test $(copied)$(installed)$(link)$(cat /usr/local/bin/far) = 2222
";
    let scenario = setup.derive("usr-local", steps);
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(2).unwrap();
    for layer in &image.layers {
        assert_eq!(left_in_var(layer), [""; 0]);
        assert!(layer.contains_key("usr/lib/usrlocal/bin/installed"));
        assert!(layer.contains_key("usr/lib/usrlocal/lib/app/x"));
    }
    let at_boot = format!("{AT_BOOT} copied; installed; link; cat /usr/local/bin/far");
    assert_eq!(scenario.output_of(&at_boot).unwrap(), "2\n2\n2\n2");
}

fn an_instruction_copies_through_the_link_that_an_earlier_step_left(setup: &Setup) {
    let steps = "RUN mkdir -p /opt/acme && echo 1 >/opt/acme/run\nCOPY config /opt/acme/config";
    let scenario = setup.derive("opt-copy", steps);
    let scenario = scenario.file("config", "mine\n").unwrap();
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    assert!(
        image.top().contains_key("usr/lib/opt/acme/config"),
        "{:?}",
        image.top().keys()
    );
    let at_boot = format!("{AT_BOOT} cat /opt/acme/run /opt/acme/config");
    assert_eq!(scenario.output_of(&at_boot).unwrap(), "1\nmine");
}

fn with_copies(mut scenario: Scenario<'_>) -> Scenario<'_> {
    for file in ["opt/acme/bin/more", "opt/acme/conf", "local/lib/node/a/y"] {
        scenario = scenario.file(file, "copied\n").expect("a file");
    }
    scenario
}

/// An engine copies no directory onto a link, and software of earlier RUNs is behind links.
fn an_instruction_copies_into_software_that_an_earlier_step_left(setup: &Setup) {
    let steps = "\
RUN mkdir -p /opt/acme/bin /opt/other /usr/local/lib/node/a && echo 1 >/opt/acme/bin/run && echo 1 >/opt/acme/conf && \
    echo 1 >/opt/other/x && echo 1 >/usr/local/lib/node/a/x && chmod 750 /opt/acme
COPY opt/ /opt/
COPY local/ /usr/local/
RUN cat /opt/acme/bin/run /opt/acme/bin/more /opt/acme/conf /opt/other/x /usr/local/lib/node/a/* >/usr/share/seen
COPY opt/acme/conf /opt/acme/last/";
    let scenario = with_copies(setup.derive("opt-merge", steps));
    scenario.build(&[]).unwrap().expect_success();
    let plain = format!("FROM debian-plain\n{steps}\n");
    let plain = with_copies(setup.scenario("opt-merge-plain", &plain));
    plain.build(&[]).unwrap().expect_success();
    let see = "cat /usr/share/seen; cd /opt; find -L . /usr/local/lib/node -printf '%p %m %s\\n' | sort; \
               cat acme/bin/* acme/conf acme/last/conf other/x /usr/local/lib/node/a/*";
    let booted = format!("{AT_BOOT} readlink /var/opt/acme; {see}");
    let link = "/usr/lib/opt/acme";
    assert_eq!(
        scenario.output_of(&booted).unwrap(),
        format!("{link}\n{}", plain.output_of(see).unwrap())
    );
    let image = scenario.saved(5).unwrap();
    let history = image.config["history"].as_array().unwrap();
    let layers = history.iter().filter(|entry| entry["empty_layer"] != true);
    assert_eq!(layers.count(), image.layer_digests.len(), "{history:?}");
}

fn what_only_instructions_copy_is_on_the_machine(setup: &Setup) {
    for (name, run) in [
        ("opt-copied", ""),
        (
            "opt-copied-run",
            "\nRUN test $(tool)$(cat /opt/acme/x) = 1x",
        ),
    ] {
        let steps = format!("COPY --chmod=755 tool /usr/local/bin/tool\nCOPY acme /opt/acme{run}");
        let scenario = setup.derive(name, &steps);
        let scenario = scenario
            .file("tool", "#!/bin/sh\necho 1\n")
            .and_then(|scenario| scenario.file("acme/x", "x"))
            .unwrap();
        let log = scenario.build(&[]).unwrap().expect_success();
        assert_eq!(findings(&log), [], "{log}");
        let at_boot = format!("{AT_BOOT} tool; cat /opt/acme/x");
        assert_eq!(scenario.output_of(&at_boot).unwrap(), "1\nx", "{name}");
    }
}

fn a_directory_that_is_named_as_writable_is_in_var(setup: &Setup) {
    let syntax = format!(
        "{} --writable=/opt/acme/uploads --read-only=/opt/acme/data",
        crate::SYNTAX
    );
    let steps = "RUN mkdir -p /opt/acme/uploads /opt/acme/data && touch /opt/acme/data/x";
    let scenario = setup.scenario(
        "opt-writable",
        &format!("{syntax}\nFROM debian-ostree-base\n{steps}\n"),
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let uploads = &image.end["usr/lib/opt/acme/uploads"];
    assert_eq!(uploads.kind, EntryType::Symlink);
    assert!(image.top().contains_key("usr/lib/opt/acme/data/x"));
}
