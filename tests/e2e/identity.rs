//! What each machine has for itself: keys and ids that packages make in a build are not shared by
//! all machines of the image, and the image's own programs make them anew at boot.

use crate::{Setup, below};

crate::tests![
    host_keys_and_certificates_of_packages_are_made_anew_by_each_machine,
    a_machine_id_of_a_build_is_no_machines,
    a_private_key_in_a_step_is_told,
    a_directory_that_a_step_protects_is_protected_at_boot,
    a_directory_of_usr_that_a_lower_layer_has_otherwise_is_told,
];

/// Does what boot does: systemd accepts the units, and their commands make what was taken out.
const BOOT: &str = "
set -e
cd /usr/lib/systemd/system/sysinit.target.wants
[ $(ls osderive-* | wc -l) = 2 ]
systemd-analyze verify ./osderive-*
grep -h '^ConditionPathExists=|!' osderive-* | cut -d! -f2 | while read file; do [ ! -e $file ]; done
export DEBIAN_FRONTEND=noninteractive
grep -h '^ExecStart=' osderive-* | cut -d= -f2 | sh -e >/dev/null
grep -h '^ConditionPathExists=|!' osderive-* | cut -d! -f2 | while read file; do [ -s $file ]; done
mkdir -p /run/sshd && sshd -t
stat -c '%a %U:%G' /etc/ssl/private/ssl-cert-snakeoil.key
";

fn host_keys_and_certificates_of_packages_are_made_anew_by_each_machine(setup: &Setup) {
    let scenario = setup.derive(
        "identity-packages",
        "RUN apt-get update && \
         apt-get install -y --no-install-recommends openssh-server ssl-cert dbus",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    let top = &image.shipped();
    assert_eq!(below(top, "etc/ssh/ssh_host_"), [""; 0], "{log}");
    assert_eq!(below(top, "etc/ssl/private/ssl-cert"), [""; 0], "{log}");
    let hash_link = |path: &&str| path.ends_with(".0");
    assert_eq!(
        below(top, "etc/ssl/certs/").into_iter().find(hash_link),
        None
    );
    assert_eq!(
        scenario.output_of(BOOT).unwrap().trim(),
        "640 root:ssl-cert"
    );
}

fn a_machine_id_of_a_build_is_no_machines(setup: &Setup) {
    let scenario = setup.derive(
        "identity-machine-id",
        "RUN systemd-machine-id-setup && grep -q . /etc/machine-id && \
         head -c 512 /dev/urandom >/var/lib/systemd/random-seed",
    );
    scenario.build(&[]).unwrap().expect_success();
    let image = scenario.saved(1).unwrap();
    assert!(!image.shipped().contains_key("var/lib/systemd/random-seed"));
    assert_eq!(
        scenario.output_of("wc -c </etc/machine-id").unwrap().trim(),
        "0"
    );
}

fn a_private_key_in_a_step_is_told(setup: &Setup) {
    let scenario = setup.derive(
        "identity-secret",
        "RUN mkdir -p /etc/ssl/private && openssl genrsa -out /etc/ssl/private/mine.key 2>&1 || \
         printf -- '-----BEGIN PRIVATE KEY-----\\n' >/etc/ssl/private/mine.key",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("secret-in-image"), "{log}");
    assert!(
        log.contains("/etc/ssl/private/mine.key holds a secret"),
        "{log}"
    );
    assert!(scenario.output_of("cat /etc/ssl/private/mine.key").is_ok());
}

/// The first layer with a directory says what an importer makes of it, be it the base's or an earlier step's.
fn a_directory_of_usr_that_a_lower_layer_has_otherwise_is_told(setup: &Setup) {
    let scenario = setup.derive(
        "identity-usr",
        "RUN mkdir -m 750 -p /usr/share/acme/a/data\n\
         RUN touch /usr/share/acme/a/data/x\n\
         RUN chown -R daemon:adm /usr/share/acme/a/data && chmod 2750 /usr/share/acme/a/data\n\
         RUN touch /usr/share/acme/a/data/y\n\
         RUN chmod 700 /usr/lib/kernel/install.d",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    let told: Vec<&str> = (log.lines())
        .filter(|line| line.contains("directory-metadata: the new mode or owner of"))
        .collect();
    let told = told.join("\n");
    for (path, line) in [
        ("/usr/share/acme/a/data", 5),
        ("/usr/lib/kernel/install.d", 7),
    ] {
        let finding = format!("of {path} is lost: a lower layer has another (line {line})");
        assert!(told.contains(&finding), "{finding}\n{log}");
    }
    assert!(
        !told.contains("(line 4)") && !told.contains("(line 6)"),
        "{told}"
    );
}

/// What an importer makes of it is what the base says, until systemd-tmpfiles has run.
fn a_directory_that_a_step_protects_is_protected_at_boot(setup: &Setup) {
    let scenario = setup.derive(
        "identity-directory",
        "RUN chmod 710 /etc/ssl && chgrp adm /etc/ssl && chmod 700 /usr/lib/kernel",
    );
    let log = scenario.build(&[]).unwrap().expect_success();
    assert!(log.contains("directory-metadata: "), "{log}");
    let found = scenario.output_of(
        "chmod 755 /etc/ssl && chgrp root /etc/ssl && systemd-tmpfiles --create --prefix=/etc/ssl && \
         stat -c '%a %U:%G' /etc/ssl",
    );
    assert_eq!(found.unwrap().trim(), "710 root:adm");
}
