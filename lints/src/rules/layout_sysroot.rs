//! # What it does
//! Checks that /sysroot is a directory and /ostree a link to `sysroot/ostree`. Checks that there is
//! a /boot to mount on.
//!
//! # Why it breaks
//! The physical root is mounted on /sysroot before the init of the image starts. In /ostree, ostree
//! looks for its repository and the deployments. Without them the host does not boot, or never
//! updates again.
//!
//! # Example
//! ```dockerfile
//! RUN rm /ostree && mkdir /ostree
//! ```
//!
//! # Fix
//! ```dockerfile
//! RUN mkdir -p /sysroot /boot && ln -sfn sysroot/ostree /ostree
//! ```

use super::{Check, Rule};
use crate::tree::Kind;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-sysroot",
    aliases: &["baseimage-root"],
    severity: Severity::Error,
    summary: "/sysroot, /boot or the link /ostree is missing or wrong",
    check: Check::Image(check),
    ..Rule::IMAGE
};

const TARGET: &[u8] = b"sysroot/ostree";

fn check(image: &Image<'_>) -> Vec<Finding> {
    let finding = |path: &str, message: String, help: &str| {
        RULE.finding(message, format!("`RUN {help}`"), vec![path.to_owned()])
    };
    let mut findings = Vec::new();
    match image.kind("sysroot") {
        Some(Kind::Directory) => {}
        Some(kind) => findings.push(finding(
            "/sysroot",
            format!("/sysroot is a {}, not a directory", kind.name()),
            "rm /sysroot && mkdir /sysroot",
        )),
        None => findings.push(finding(
            "/sysroot",
            "there is no directory /sysroot".to_owned(),
            "mkdir /sysroot",
        )),
    }
    let link = "ln -sfn sysroot/ostree /ostree";
    match (image.kind("ostree"), image.target("ostree")) {
        (_, Some(target)) if target == TARGET => {}
        (_, Some(target)) => findings.push(finding(
            "/ostree",
            format!(
                "/ostree leads to {}, not to sysroot/ostree",
                escape_path(&target)
            ),
            link,
        )),
        (Some(kind), None) => findings.push(finding(
            "/ostree",
            format!("/ostree is a {}, not a link to sysroot/ostree", kind.name()),
            "rm -r /ostree && ln -s sysroot/ostree /ostree",
        )),
        (None, None) => findings.push(finding(
            "/ostree",
            "there is no link /ostree to sysroot/ostree".to_owned(),
            link,
        )),
    }
    if image.kind("boot").is_none() {
        let message = "there is no directory /boot to mount on".to_owned();
        findings.push(Finding {
            severity: Severity::Warning,
            ..finding("/boot", message, "mkdir /boot")
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn the_physical_root_has_its_places() {
        let tree = Fixture::new().directory("sysroot").directory("boot");
        let tree = tree.link("ostree", "sysroot/ostree");
        assert_eq!(tree.findings_of(&RULE), []);
    }

    #[test]
    fn what_is_missing_or_leads_elsewhere_is_told() {
        let empty = Fixture::new();
        assert_eq!(empty.paths_of(&RULE), ["/sysroot", "/ostree", "/boot"]);
        let wrong = Fixture::new().file("sysroot", "").directory("boot");
        let found = wrong.link("ostree", "/ostree.old").findings_of(&RULE);
        let messages: Vec<_> = found.iter().map(|finding| &finding.message).collect();
        assert_eq!(
            messages,
            [
                "/sysroot is a file, not a directory",
                "/ostree leads to /ostree.old, not to sysroot/ostree"
            ]
        );
    }
}
