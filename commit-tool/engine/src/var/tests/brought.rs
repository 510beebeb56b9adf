//! What packages own in /var and a command does not leave: lines make it at boot, unless it was taken away by itself.

use super::*;

/// What a real rpm has written: the package acme-agent owns /var/lib/acme, a directory and a link in it, and /var/log/acme.
const DATABASE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../lints/tests/rpmdb/rpmdb.sqlite.gz"
);

const SHARED: &str =
    "d /var/lib 0755 root root\nd /var/log 0755 root root\nd /var/lib/base 0755 root root\n";

/// The lines after a step that installs the packages and ends with a command; then those after another step.
fn lines_after(command: &str, next: &str) -> (Vec<String>, Vec<String>) {
    let root = root_with(SHARED.as_bytes());
    let add = |path: &str, lines: &str| {
        let path = root.path().join(path);
        let text = fs::read_to_string(&path).expect("reads") + lines;
        fs::write(path, text).expect("a file");
    };
    add("etc/passwd", "acme:x:905:905::/:/bin/sh\n");
    add("etc/group", "acme:x:905:\n");
    let install = format!(
        "mkdir -p usr/lib/sysimage/rpm opt/acme/bin usr/local/bin && touch opt/acme/bin/acme usr/local/bin/acme \
         && gzip -dc {DATABASE} >usr/lib/sysimage/rpm/rpmdb.sqlite \
         && mkdir -p var/lib/acme/spool var/lib/acme-plugin var/log/acme && chown -R 905:905 var/lib/acme var/log/acme \
         && chmod 750 var/lib/acme && chmod 2770 var/lib/acme/spool \
         && ln -s ../../usr/share/acme var/lib/acme/current && {command}"
    );
    step(root.path(), &install);
    let first = own_lines(root.path());
    step(root.path(), next);
    (first, own_lines(root.path()))
}

const ALL: [&str; 5] = [
    "L /var/lib/acme/current - root root - ../../usr/share/acme",
    "d /var/lib/acme 0750 acme acme -",
    "d /var/lib/acme-plugin 0755 root root -",
    // The group acme-data is not in the image.
    "d /var/lib/acme/spool 2770 acme root -",
    "d /var/log/acme 0755 acme acme -",
];

#[test]
fn what_goes_with_all_of_var_is_declared_as_the_package_has_it() {
    for command in [
        "rm -rf var/*",
        "rm -rf var/* && mkdir var/tmp",
        "rm -rf var/lib/* var/log/*",
    ] {
        let (first, next) =
            lines_after(command, "test ! -e var/lib/acme && test ! -e var/log/acme");
        assert_eq!(first, ALL, "{command}");
        assert_eq!(next, ALL, "{command}");
    }
}

#[test]
fn what_a_command_takes_away_by_itself_is_not_declared() {
    let (first, _) = lines_after("rm -rf var/lib/acme var/log/acme", ":");
    // The base has nothing else in /var/log: this may be to empty it.
    assert_eq!(first, [ALL[2], ALL[4]]);
    let (_, next) = lines_after(
        "rm -rf var/*",
        "mkdir -p var/lib/acme && touch var/lib/acme/x && rm -rf var/lib/acme",
    );
    assert_eq!(next, ALL, "what no step finds cannot be taken away");
}

#[test]
fn what_is_behind_a_link_is_not_declared() {
    // The package owns /var/lib/acme, and the image has its directory elsewhere.
    let (first, _) = lines_after("rm -rf var/lib/acme && ln -s ../../run var/lib/acme", ":");
    let below = |line: &&String| line.contains("/var/lib/acme/");
    assert_eq!(first.iter().find(below), None, "{first:?}");
}

#[test]
fn what_stands_is_declared_as_it_is() {
    let (first, next) = lines_after("chmod 700 var/log/acme", "test -d var/log/acme");
    assert!(
        first.contains(&"d /var/log/acme 0700 acme acme -".to_owned()),
        "{first:?}"
    );
    assert_eq!(first, next);
}
