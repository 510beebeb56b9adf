//! The same payload as packages of rpm and of dpkg: what is found does not depend on who installed it.

use std::collections::BTreeSet;

use osderive_lints::tree::Rootfs;
use osderive_lints::{Finding, Selection, lint};
use osderive_tests::{Places, base};

/// Services with accounts of each kind, with software in /opt, with configuration, and what they run.
const PACKAGES: [&str; 7] = [
    "serve",
    "sysusers-daemon",
    "useradd-daemon",
    "static-ids",
    "opt-vendor",
    "socket-daemon",
    "ghosts",
];

fn told(finding: Finding) -> (String, String, Vec<String>) {
    (finding.rule, finding.message, finding.paths)
}

#[test]
fn twins_have_the_same_findings() {
    let places = Places::of_workspace().unwrap();
    let trees = base::twins(&places, &PACKAGES).unwrap();
    let [rpm, dpkg] = ["rpm", "dpkg"].map(|tree| {
        let tree = Rootfs::open(&trees.path().join(tree)).unwrap();
        let found = lint(&tree, None, &Selection::default());
        found
            .findings
            .into_iter()
            .map(told)
            .collect::<BTreeSet<_>>()
    });
    let only = |one: &BTreeSet<_>, other: &BTreeSet<_>| -> Vec<_> {
        one.difference(other).cloned().collect()
    };
    assert_eq!(only(&rpm, &dpkg), [], "only of rpm's");
    assert_eq!(only(&dpkg, &rpm), [], "only of dpkg's");
    for (rule, message) in [
        (
            "unit-state-missing",
            "/var/lib/sysusersd of package sysusers-daemon",
        ),
        (
            "unit-state-missing",
            "/var/lib/staticd of package static-ids",
        ),
        ("unit-user-missing", "useraddd"),
        ("unit-directory-missing", "/opt/vendor/data"),
    ] {
        assert!(
            rpm.iter()
                .any(|(of, text, _)| of == rule && text.contains(message)),
            "{message}: {rpm:#?}"
        );
    }
}
