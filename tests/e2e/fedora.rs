//! Images that are shaped like Fedora's: packages of `tests/fixtures/specs` do what real ones do, installed by dnf as
//! users do it. Nothing of them is left for the user to mend, and what was installed is on a machine.

use std::path::Path;

use osderive_tests::base::{self, Base, Shaped};
use osderive_tests::boot::{Harness, Runner, Way, encapsulated, kept, losses};
use osderive_tests::listing::{differences, list};
use osderive_tests::scenario::{Scenario, findings};

use crate::fidelity::TIMELESS;
use crate::{SYNTAX, Setup};

crate::tests![
    no_two_accounts_get_one_id,
    accounts_of_both_places_are_declared_once,
    accounts_go_where_nss_altfiles_reads_them_if_that_is_wanted,
    logs_behind_a_cache_mount_are_declared,
    what_a_package_loses_to_rm_is_declared_or_told,
    what_is_removed_by_dnf_is_gone,
    what_a_removed_link_led_to_is_gone,
    emptying_var_after_an_installation_loses_nothing,
    the_bases_alternatives_stay_known,
    a_contradicted_preset_is_told_with_the_line_that_enables,
    a_kernels_symvers_go_beside_its_modules,
    a_module_of_another_kernel_is_told,
    groups_and_locks_of_dnf_stay_known,
    what_is_trusted_stays_in_directories_that_nobody_may_write_to,
    what_dnf_leaves_for_itself_is_not_in_the_image,
    the_databases_of_rpm_and_dnf_are_each_in_one_file,
    two_builds_of_one_epoch_are_equal,
];

// Each needs another base, which takes a minute to build.
crate::tests![
    OF_OTHER_SHAPES = software_that_is_moved_keeps_its_labels,
    dnf4_knows_in_a_derived_image_why_it_installed,
    nor_where_the_database_is_rpm_ostrees,
    a_module_of_a_policy_stays_in_its_store,
    a_choice_of_authselect_stays_whole,
    // Dracut takes half a minute each time.
    a_kernel_that_is_swapped_has_one_initramfs,
];

// Minutes of dnf and of boots.
crate::tests![LARGE = every_package_boots_installed_and_updated];

/// What the bed starts, by the names of units.
const ENABLED: &str = "sysusersd.service useraddd.service staticd.service vendord.service socketd.socket \
    timerd.timer presetd.service";

/// All packages of the repository but those that another takes the place of, and the kernel.
const PACKAGES: &str = "serve sysusers-daemon useradd-daemon static-ids opt-vendor local-tool alternative-one \
    alternative-two preset-daemon socket-daemon timer-daemon lua-scripts ghosts schema-compiler glib-schemas kargs \
    bound-image upgraded removed obsoleting state-of-scripts dependent tmpfiled trust-anchor";

const MOUNT: &str = "--mount=type=bind,from=repo,target=/repo";
/// The scenario's own files.
const CONTEXT: &str = "--mount=type=bind,target=/ctx";
const DNF: &str = "dnf -y --repofrompath=local,file:///repo";

fn run(arguments: &str) -> String {
    format!("RUN {MOUNT} {DNF} {arguments}\n")
}

/// A scenario that derives from one of the shaped bases.
fn shaped<'a>(setup: &'a Setup, base: Shaped, name: &str, instructions: &str) -> Scenario<'a> {
    with_syntax(setup, SYNTAX, base, name, instructions)
}

fn with_syntax<'a>(
    setup: &'a Setup,
    syntax: &str,
    base: Shaped,
    name: &str,
    instructions: &str,
) -> Scenario<'a> {
    let base = Base::Fedora(base);
    setup.engine.load_base(base, &setup.places).unwrap();
    let containerfile = format!("{syntax}\nFROM {}\n{instructions}", base.name());
    setup.scenario(name, &containerfile)
}

/// Builds with the repository at hand; answers with the log.
fn build(setup: &Setup, scenario: &Scenario<'_>, options: &[&str]) -> String {
    let repository = base::repository(&setup.places).unwrap();
    let context = format!("repo={}", repository.display());
    let options = [&["--build-context", &context], options].concat();
    scenario.build(&options).unwrap().expect_success()
}

/// What is declared for boot and for accounts, one line each.
fn declared(scenario: &Scenario<'_>) -> String {
    scenario
        .output_of(
            "cat /usr/lib/tmpfiles.d/*osderive* /usr/lib/sysusers.d/*osderive* 2>/dev/null || :",
        )
        .unwrap()
}

const TWICE: &str = "for file in passwd group; do cat /etc/$file /usr/lib/$file | cut -d: -f3 | sort | uniq -d; done";

fn no_two_accounts_get_one_id(setup: &Setup) {
    let install = run("install sysusers-daemon useradd-daemon static-ids");
    for (name, ledger) in [
        ("fedora-ids-none", ""),
        ("fedora-ids-user", "u other 999\n"),
        ("fedora-ids-group", "g other 999\ng another 989\n"),
        (
            "fedora-ids-both",
            "u other 999\ng other 999\nu another 997\ng third 988\n",
        ),
    ] {
        let syntax = format!("{SYNTAX} --ids=osderive.ids");
        let scenario = with_syntax(setup, &syntax, Shaped::Fedora, name, &install);
        let scenario = scenario.file("osderive.ids", ledger).unwrap();
        let log = build(setup, &scenario, &[]);
        assert!(!log.contains("account-duplicate-id"), "{log}");
        assert_eq!(scenario.output_of(TWICE).unwrap(), "", "{name}");
        let advised: Vec<&str> = log.lines().filter(|line| line.contains(" 998")).collect();
        assert_eq!(advised, [""; 0], "{name}: 998 is chrony's");
    }
}

fn accounts_of_both_places_are_declared_once(setup: &Setup) {
    // A user with a group that only /usr/lib/group has.
    let steps = "RUN useradd -r plain && usermod -a -G mail plain\n";
    let scenario = shaped(setup, Shaped::Fedora, "fedora-accounts", steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let declared = declared(&scenario);
    assert!(declared.contains("u plain "), "{declared}");
    assert!(!declared.contains("chrony"), "{declared}");
}

fn accounts_go_where_nss_altfiles_reads_them_if_that_is_wanted(setup: &Setup) {
    let syntax = format!("{SYNTAX} --altfiles");
    let steps =
        run("install sysusers-daemon useradd-daemon") + "RUN usermod --comment later useraddd\n";
    let scenario = with_syntax(setup, &syntax, Shaped::Fedora, "fedora-altfiles", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    // At the first boot systemd-sysusers finds them.
    let there = "systemd-sysusers && systemd-tmpfiles --create --prefix=/var/lib && \
        getent passwd useraddd && getent group sysusersd && stat --format=%U /var/lib/useraddd && cut -d: -f1 /etc/passwd";
    let there = scenario.output_of(there).unwrap();
    let lines: Vec<&str> = there.lines().collect();
    let [user, group, owner, in_etc @ ..] = &lines[..] else {
        panic!("{there}")
    };
    assert!(
        user.starts_with("useraddd:x:") && user.contains(":later:"),
        "{there}"
    );
    assert!(group.starts_with("sysusersd:x:"), "{there}");
    assert_eq!(*owner, "useraddd");
    assert_eq!(in_etc, ["root"], "{there}");

    // What derives from it goes on.
    let steps = run("install static-ids");
    let containerfile = format!("{syntax}\nFROM {}\n{steps}", scenario.tag());
    let derived = setup.scenario("fedora-altfiles-derived", &containerfile);
    let log = build(setup, &derived, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let known = "grep -c -E '^(useraddd|sysusersd|staticd):' /usr/lib/passwd /etc/passwd";
    let known = derived.output_of(&format!("{known} || :")).unwrap();
    assert_eq!(known, "/usr/lib/passwd:3\n/etc/passwd:0");
}

fn logs_behind_a_cache_mount_are_declared(setup: &Setup) {
    let caches = "--mount=type=cache,dst=/var/cache --mount=type=cache,dst=/var/log";
    let steps = format!("RUN {MOUNT} {caches} {DNF} install sysusers-daemon\n");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-caches", &steps);
    build(setup, &scenario, &[]);
    let declared = declared(&scenario);
    let line = "d /var/log/sysusersd 0750 sysusersd sysusersd";
    assert!(declared.contains(line), "{declared}");
}

fn what_a_package_loses_to_rm_is_declared_or_told(setup: &Setup) {
    let steps = format!("RUN {MOUNT} {DNF} install sysusers-daemon opt-vendor && rm -rf /var/*\n");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-rm", &steps);
    let log = build(setup, &scenario, &[]);
    let declared = declared(&scenario);
    let line = "d /var/lib/sysusersd 0750 sysusersd sysusersd";
    assert!(declared.contains(line), "{declared}");
    let told = findings(&log);
    assert!(
        told.iter()
            .any(|(_, message)| message.contains("/opt/vendor")),
        "{told:?}"
    );
}

fn what_is_removed_by_dnf_is_gone(setup: &Setup) {
    let steps = [run("install removed"), run("remove removed")].concat();
    let scenario = shaped(setup, Shaped::Fedora, "fedora-removed", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let declared = declared(&scenario);
    assert!(!declared.contains("removed"), "{declared}");
    let left = "ls -d /usr/lib/opt/removed /usr/share/factory/var/lib/removed 2>/dev/null || :";
    assert_eq!(scenario.output_of(left).unwrap(), "");

    let again = steps + &run("install removed");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-again", &again);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
}

fn what_a_removed_link_led_to_is_gone(setup: &Setup) {
    let steps = [run("install local-tool"), run("remove local-tool")].concat();
    let scenario = shaped(setup, Shaped::Fedora, "fedora-removed-local", &steps);
    build(setup, &scenario, &[]);
    let left = "ls -d /usr/lib/usrlocal/bin/local-tool 2>/dev/null || :";
    assert_eq!(scenario.output_of(left).unwrap(), "");
    let declared = declared(&scenario);
    assert!(!declared.contains("/bin/local-tool"), "{declared}");
}

fn emptying_var_after_an_installation_loses_nothing(setup: &Setup) {
    let steps = run("install sysusers-daemon opt-vendor upgraded") + "RUN rm -rf /var/*\n";
    let scenario = shaped(setup, Shaped::Fedora, "fedora-emptied", &steps);
    build(setup, &scenario, &[]);
    let declared = declared(&scenario);
    for line in ["/var/lib/sysusersd", "/var/opt/vendor", "/var/lib/upgraded"] {
        assert!(declared.contains(line), "{line}: {declared}");
    }
}

fn the_bases_alternatives_stay_known(setup: &Setup) {
    // As scripts do that know older releases.
    let steps = "RUN mkdir -p /var/lib/alternatives\n".to_owned()
        + &run("install alternative-one alternative-two");
    for (name, steps) in [
        ("fedora-alternatives", &*steps),
        ("fedora-no-alternatives", steps.lines().next().unwrap()),
    ] {
        let scenario = shaped(setup, Shaped::Fedora, name, &format!("{steps}\n"));
        let log = build(setup, &scenario, &[]);
        assert_eq!(findings(&log), [], "{log}");
        let known = "systemd-tmpfiles --create --prefix=/var && alternatives --list";
        let known = scenario.output_of(known).unwrap();
        assert!(known.lines().any(|name| name == "awk"), "{name}: {known}");
    }
}

fn software_that_is_moved_keeps_its_labels(setup: &Setup) {
    let steps = run("install upgraded local-tool");
    let scenario = shaped(setup, Shaped::Dnf4, "fedora-labels", &steps);
    build(setup, &scenario, &[]);
    let labels = "systemd-tmpfiles --create --prefix=/var 2>/dev/null; \
        for path in /opt/upgraded/version /usr/local/share/local-tool/data; do real=$(readlink -f $path); \
        echo $real $(matchpathcon -n $path) $(matchpathcon -n $real); done";
    let labels = scenario.output_of(labels).unwrap();
    for line in labels.lines() {
        let [path, by_name, by_place] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{labels}")
        };
        assert!(path.starts_with("/usr/lib/"), "{labels}");
        assert_eq!(by_name, by_place, "{path}");
    }
    assert_eq!(labels.lines().count(), 2, "{labels}");
}

fn dnf4_knows_in_a_derived_image_why_it_installed(setup: &Setup) {
    let steps = run("install dependent");
    let image = shaped(setup, Shaped::Dnf4, "fedora-reasons", &steps);
    let log = build(setup, &image, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let steps = run("remove dependent");
    let containerfile = format!("{SYNTAX}\nFROM {}\n{steps}", image.tag());
    let derived = setup.scenario("fedora-reasons-derived", &containerfile);
    let log = build(setup, &derived, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let left = derived.output_of("rpm -qa").unwrap();
    assert!(!left.contains("depend"), "{left}");
}

fn a_contradicted_preset_is_told_with_the_line_that_enables(setup: &Setup) {
    let steps = run("install sysusers-daemon") + "RUN systemctl enable sysusersd\n";
    let scenario = shaped(setup, Shaped::Fedora, "fedora-preset", &steps);
    let log = build(setup, &scenario, &[]);
    let told = findings(&log);
    let told: Vec<_> = told
        .iter()
        .filter(|(rule, _)| *rule == "unit-preset-contradicts")
        .collect();
    assert!(
        matches!(told[..], [(_, message)] if message.contains("line 4")),
        "{log}"
    );
}

/// The kernel of `kernel-next` takes the place of the base's, which is of no package.
const ANOTHER_KERNEL: &str = "RUN rm -rf /usr/lib/modules/*\n";

fn a_kernels_symvers_go_beside_its_modules(setup: &Setup) {
    let steps = ANOTHER_KERNEL.to_owned() + &run("install kernel-next");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-kernel", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let there = scenario
        .output_of("ls /usr/lib/modules/*/symvers.xz; ls -A /boot")
        .unwrap();
    assert_eq!(there.lines().count(), 1, "{there}");
}

/// As scripts of derived images do it: kernel-install is silenced, the initramfs made at the end.
const SWAP: &str = r"set -e
cd /usr/lib/kernel/install.d
for name in 05-rpmostree 50-dracut; do mv $name.install $name.kept; printf '#!/bin/sh\n' >$name.install; chmod 755 $name.install; done
dnf -y --repofrompath=local,file:///repo install kernel-next
for name in 05-rpmostree 50-dracut; do mv $name.kept $name.install; done
version=$(basename /usr/lib/modules/*)
image=/usr/lib/modules/$version/initramfs.img
DRACUT_NO_XATTR=1 dracut --force --no-hostonly --reproducible --add ostree --kver $version $image
chmod 0600 $image
sha256sum $image >/usr/share/made
";

fn a_kernel_that_is_swapped_has_one_initramfs(setup: &Setup) {
    let remove = "rm -rf /usr/lib/modules/*";
    let in_one = format!("RUN {MOUNT} {CONTEXT} {remove}; sh /ctx/swap.sh\n");
    let in_two = format!("RUN {remove}\nRUN {MOUNT} {CONTEXT} sh /ctx/swap.sh\n");
    for (name, steps) in [("fedora-swap", in_one), ("fedora-swap-two", in_two)] {
        let scenario = shaped(setup, Shaped::Fedora, name, &steps);
        let scenario = scenario.file("swap.sh", SWAP).unwrap();
        let log = build(setup, &scenario, &[]);
        assert_eq!(findings(&log), [], "{log}");
        let there = "sha256sum --quiet --check /usr/share/made && ls -A /boot && cd /usr/lib/modules && \
            stat --format='%a %n' */initramfs.img && ls";
        let there = scenario.output_of(there).unwrap();
        let lines: Vec<&str> = there.lines().collect();
        assert!(
            matches!(lines[..], [image, version] if image == format!("600 {version}/initramfs.img")),
            "{name}: {there}"
        );
    }
}

fn a_module_of_another_kernel_is_told(setup: &Setup) {
    let steps = ANOTHER_KERNEL.to_owned() + &run("install kernel-next") + &run("install kmod-acme");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-kmod", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let known = scenario.output_of("cat /usr/lib/modules/*/modules.dep");
    assert!(known.unwrap().contains("extra/acme/acme.ko"));

    let steps = steps + &run("install kmod-other");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-kmods", &steps);
    let log = build(setup, &scenario, &[]);
    let told = findings(&log);
    assert!(
        matches!(&told[..], [("kernel-module-version", message)] if message.contains("other.ko")),
        "{told:?}"
    );
}

fn groups_and_locks_of_dnf_stay_known(setup: &Setup) {
    let steps = run("group install acme-tools") + "RUN dnf -y versionlock add tmpfiled\n";
    let image = shaped(setup, Shaped::Fedora, "fedora-groups", &steps);
    let log = build(setup, &image, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let known = "dnf group list --installed; dnf versionlock list; rpm -q ghosts tmpfiled";
    let known = image.output_of(known).unwrap();
    for word in [
        "acme-tools",
        "Package name: tmpfiled",
        "ghosts-1.0",
        "tmpfiled-1.0",
    ] {
        assert!(known.contains(word), "{word}: {known}");
    }
    let steps = run("group remove acme-tools");
    let derived = setup.scenario(
        "fedora-groups-derived",
        &format!("{SYNTAX}\nFROM {}\n{steps}", image.tag()),
    );
    let log = build(setup, &derived, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let left = derived.output_of("rpm -qa").unwrap();
    assert!(!left.contains("ghosts"), "{left}");
}

fn what_is_trusted_stays_in_directories_that_nobody_may_write_to(setup: &Setup) {
    let add = "RUN echo more >/etc/pki/ca-trust/source/anchors/more.pem && update-ca-trust\n";
    let steps = run("install trust-anchor") + add;
    let scenario = shaped(setup, Shaped::Fedora, "fedora-trust", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let there = "cat /etc/pki/tls/certs/ca-bundle.crt /etc/pki/ca-trust/extracted/pem/directory-hash/*.0; \
        stat --format=%a /etc/pki/ca-trust/extracted/pem/directory-hash";
    let there = scenario.output_of(there).unwrap();
    assert_eq!(there.matches("an authority\nmore\n").count(), 3, "{there}");
    assert!(there.ends_with("555"), "{there}");
}

fn a_module_of_a_policy_stays_in_its_store(setup: &Setup) {
    let steps = run("install selinux-module");
    let scenario = shaped(setup, Shaped::Dnf4, "fedora-policy", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let declared = declared(&scenario);
    assert!(!declared.contains("selinux"), "{declared}");
    let store = "systemd-tmpfiles --create --prefix=/var 2>/dev/null; semodule --list-modules=full; \
        matchpathcon -n /opt/acme/tool; ls -A /run";
    let store = scenario.output_of(store).unwrap();
    assert!(store.contains("200 acme"), "{store}");
    assert!(store.contains(":bin_t:"), "{store}");
    assert!(!store.contains("selinux-policy"), "{store}");
}

fn a_choice_of_authselect_stays_whole(setup: &Setup) {
    let steps = run("install authselect-profile");
    let scenario = shaped(setup, Shaped::Dnf4, "fedora-authselect", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let checked = "systemd-tmpfiles --create --prefix=/var 2>/dev/null; authselect check && authselect current --raw; \
        getent passwd chrony";
    let checked = scenario.output_of(checked).unwrap();
    assert!(checked.contains("local with-altfiles"), "{checked}");
    assert!(checked.contains("chrony:x:998"), "{checked}");
}

fn what_dnf_leaves_for_itself_is_not_in_the_image(setup: &Setup) {
    expect_no_litter(setup, Shaped::Fedora);
}

fn nor_where_the_database_is_rpm_ostrees(setup: &Setup) {
    expect_no_litter(setup, Shaped::RpmOstree);
}

fn expect_no_litter(setup: &Setup, base: Shaped) {
    let steps = run("install state-of-scripts") + &run("install dependent");
    let name = format!("{}-litter", Base::Fedora(base).name());
    let scenario = shaped(setup, base, &name, &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let declared = declared(&scenario);
    assert_eq!(declared, "", "{declared}");
    let factory = "find /usr/share/factory/var /var -mindepth 2 2>/dev/null || :";
    assert_eq!(scenario.output_of(factory).unwrap(), "");
}

fn the_databases_of_rpm_and_dnf_are_each_in_one_file(setup: &Setup) {
    let steps = run("install serve") + "RUN rpm -q serve\n" + &run("install tmpfiled");
    let scenario = shaped(setup, Shaped::Fedora, "fedora-one-file", &steps);
    let log = build(setup, &scenario, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let beside = "find / -xdev -name '*-wal' -o -xdev -name '*-shm'";
    assert_eq!(scenario.output_of(beside).unwrap(), "");
    let databases = "find / -xdev -name rpmdb.sqlite -o -xdev -name transaction_history.sqlite";
    let databases = scenario.output_of(databases).unwrap();
    assert_eq!(databases.lines().count(), 2, "{databases}");
    let check = "rpm --verifydb && dnf history info 1 | grep -c serve";
    assert_ne!(scenario.output_of(check).unwrap().trim(), "0");

    // As on a machine, whose /usr is read-only: as root and as anybody.
    for user in ["0", "65534"] {
        let mut query = setup.engine.docker();
        query.args(["run", "--rm", "--read-only", "--user", user, scenario.tag()]);
        query.args(["rpm", "-q", "--qf", "%{NAME}\\n", "serve", "tmpfiled"]);
        let output = query.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(told, "serve\ntmpfiled\n", "as {user}: {output:?}");
    }
}

/// What is the container's that an image is unpacked from.
const OF_CONTAINER: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// rpm and dnf take their times from `SOURCE_DATE_EPOCH`.
fn two_builds_of_one_epoch_are_equal(setup: &Setup) {
    let steps = format!(
        "ARG SOURCE_DATE_EPOCH\n{}",
        run(&format!("install {PACKAGES}"))
    );
    let scenario = shaped(setup, Shaped::Fedora, "fedora-twice", &steps);
    let folder = tempfile::tempdir_in(setup.places.state()).unwrap();
    let trees = ["first", "second"].map(|name| {
        build(setup, &scenario, &[&TIMELESS[..], &["--no-cache"]].concat());
        let root = folder.path().join(name);
        std::fs::create_dir(&root).unwrap();
        scenario.unpack(&["etc", "usr", "var"], &root).unwrap();
        list(&root, &["etc", "usr", "var"]).unwrap()
    });
    let mut different = differences(&trees[0], &trees[1]);
    different.retain(|path, _| !OF_CONTAINER.iter().any(|its| path == Path::new(its)));
    assert!(different.is_empty(), "{different:#?}");
}

fn every_package_boots_installed_and_updated(setup: &Setup) {
    let base = Base::Fedora(Shaped::Fedora);
    let harness = Harness::new(&setup.engine, &setup.places, "fedora")
        .unwrap()
        .in_runner(Runner::Nspawn);
    harness.load_base(base, &setup.places).unwrap();
    let preset = "/usr/lib/systemd/system-preset/10-image.preset";
    let enable =
        format!("RUN printf 'enable %s\\n' {ENABLED} >{preset} && systemctl enable {ENABLED}\n");
    let install = run("install upgraded-1.0 obsoleted") + &run(&format!("install {PACKAGES}"));
    let from = format!("FROM {}\n", encapsulated(base));

    let image = setup.scenario("fedora-all", &format!("{SYNTAX}\n{from}{install}{enable}"));
    let log = build(setup, &image, &[]);
    assert_eq!(findings(&log), [], "{log}");
    let make_var = "RUN systemd-tmpfiles --create --prefix=/var || true\n";
    let containerfile = format!("{from}{make_var}{install}{enable}");
    let plain = setup.scenario("fedora-all-plain", &containerfile);
    build(setup, &plain, &[]);

    let reference = harness.boot_mutable(plain.tag()).unwrap();
    let failed: Vec<&str> = reference.failed().collect();
    assert_eq!(failed, [""; 0], "{}", reference.failures.join("\n"));
    let saved = harness
        .save(image.tag(), &encapsulated(base), "image")
        .unwrap();
    for way in [Way::Fresh, Way::Upgraded] {
        let mut machine = harness.machine(&saved, way).unwrap();
        for boot in ["first", "second"] {
            // The kernel that dnf swapped and its initramfs are QEMU's to prove, once.
            let runner = match (way, boot) {
                (Way::Upgraded, "second") => Runner::Qemu,
                _ => Runner::Nspawn,
            };
            let report = machine.boot_in(runner).unwrap();
            let mut lost = losses(&reference, &report);
            // The console of a container, as which the reference was booted.
            lost.retain(|loss| runner != Runner::Qemu || loss.unit != "console-getty.service");
            let lost: Vec<String> = lost.iter().map(ToString::to_string).collect();
            assert_eq!(
                lost,
                [""; 0],
                "{way}, {boot}: {}",
                report.failures.join("\n")
            );
            let before = machine.before.as_ref();
            let changed = before.map_or_else(Vec::new, |before| kept(before, &report));
            assert_eq!(changed, [""; 0], "{way}, {boot}");
        }
    }
}
