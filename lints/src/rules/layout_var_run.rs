//! # What it does
//! Checks that /var/run is a link to /run, if it exists. A link that boot makes with `L+` in
//! tmpfiles.d counts too.
//!
//! # Why it breaks
//! Programs find each other's sockets both in /run and in /var/run. If these are two directories,
//! D-Bus does not start, nor does anything that needs it.
//!
//! # Example
//! ```dockerfile
//! RUN rm /var/run && mkdir -p /var/run/acme
//! ```
//!
//! # Fix
//! ```dockerfile
//! RUN rm -r /var/run && ln -s ../run /var/run
//! ```

use super::{Check, Rule};
use crate::model::tmpfiles::Line;
use crate::tree::destination;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-var-run",
    aliases: &["var-run"],
    severity: Severity::Error,
    summary: "/var/run is not a link to /run",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let replaces = |line: &Line| {
        line.kind == b'L' && line.modifiers.contains(&b'+') && line.path == b"/var/run"
    };
    if image.tmpfiles().makers(|_| true).into_iter().any(replaces) {
        return Vec::new();
    }
    let what = match (image.kind("var/run"), image.target("var/run")) {
        (None, _) => return Vec::new(),
        (Some(_), Some(target)) if destination(b"var/run", &target) == b"run" => {
            return Vec::new();
        }
        (Some(_), Some(target)) => format!("leads to {}", escape_path(&target)),
        (Some(kind), None) => format!("is a {}", kind.name()),
    };
    vec![RULE.finding(
        format!("/var/run {what}, it has to be a link to /run"),
        "`RUN rm -r /var/run && ln -s ../run /var/run`".to_owned(),
        vec!["/var/run".to_owned()],
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_link_to_run_in_any_form_is_right() {
        assert_eq!(Fixture::new().directory("var").findings_of(&RULE), []);
        for target in ["/run", "../run", "../run/", "//run/."] {
            let link = Fixture::new().link("var/run", target);
            assert_eq!(link.findings_of(&RULE), [], "{target}");
        }
    }

    #[test]
    fn a_directory_and_a_link_elsewhere_are_told() {
        let directory = Fixture::new().directory("var/run/dbus");
        let found = directory.findings_of(&RULE);
        assert!(found[0].message.starts_with("/var/run is a directory"));
        let link = Fixture::new().link("var/run", "run");
        let found = link.findings_of(&RULE);
        assert!(found[0].message.starts_with("/var/run leads to run,"));
    }

    #[test]
    fn what_boot_replaces_by_the_link_is_right() {
        let line = |line: &str| {
            let tree = Fixture::new().directory("var/run/dbus");
            let tree = tree.file("usr/lib/tmpfiles.d/a.conf", line);
            tree.findings_of(&RULE).len()
        };
        assert_eq!(line("L+ /var/run - - - - ../run\n"), 0);
        assert_eq!(line("L /var/run - - - - ../run\n"), 1);
    }
}
