//! # What it does
//! Finds content at the top level, such as `/nix` or files in a real /opt or /srv. The rule applies
//! only if the base image is an ostree commit without composefs and without a transient root. It
//! also finds services whose package creates such a directory.
//!
//! # Why it breaks
//! Without composefs or a transient root, the import keeps /usr, /etc and /var. It drops what
//! derived layers have elsewhere, so the host does not get it. Only a line in the importer's log
//! says so.
//!
//! # Example
//! ```dockerfile
//! FROM quay.io/fedora/fedora-coreos:stable
//! RUN mkdir /nix
//! ```
//!
//! # Fix
//! Put the content below /usr. Or start from a base image with composefs. Its prepare-root.conf
//! says `enabled = yes` in `[composefs]`. A derived image cannot turn it on for itself.

use super::{Check, Rule, Scope, absolute, counted};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-top-level-dropped",
    severity: Severity::Warning,
    summary: "content at the top level does not survive the import",
    scope: Scope::Import,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let dropped = image.dropped_top_level();
    if dropped.is_empty() {
        return Vec::new();
    }
    let what = counted(dropped.len(), "top-level entry is", "top-level entries are");
    let mut findings = vec![RULE.finding(
        format!("{what} dropped when the image is imported"),
        "put it below /usr, or into /var by tmpfiles.d".to_owned(),
        dropped.iter().map(|name| absolute(name)).collect(),
    )];
    findings.extend(RULE.predicted(image, |prediction| {
        let Reason::TopLevel { path, package } = &prediction.reason else {
            return None;
        };
        let message = format!("{path}, which package {package} makes, is dropped by the import");
        let help =
            "start from a base with composefs, which keeps it; a derived image cannot turn that on";
        Some((message, help.to_owned()))
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::prepare_root;
    use crate::rules::fixture::Fixture;
    use crate::rules::unit_exec_missing;
    use crate::tree::testing::{LayerTar, TestImage};
    use crate::{Container, ImageConfig, Selection, lint};

    fn base() -> Fixture {
        let base = Fixture::new().file("sysroot/ostree/repo/config", "");
        let base = base.link("bin", "usr/bin").link("opt", "var/opt");
        base.directory("mnt")
            .file("etc/passwd", "")
            .directory("boot")
    }

    #[test]
    fn what_is_dropped_is_told() {
        assert_eq!(base().findings_of(&RULE), []);
        let tree = base().directory("nix").file("srv/www/index.html", "");
        assert_eq!(tree.paths_of(&RULE), ["/nix", "/srv"]);
    }

    #[test]
    fn a_unit_misses_what_its_package_has_made_there() {
        let text = "[Service]\nExecStart=/usr/sbin/afsd\n";
        let fixture = |script: &str| {
            base()
                .directory("afs")
                .program("usr/bin/sh")
                .program("usr/sbin/afsd")
                .service("afs", text)
                .file(
                    "var/lib/dpkg/info/afs.list",
                    "/usr/lib/systemd/system/afs.service\n",
                )
                .file("var/lib/dpkg/info/afs.postinst", script)
        };
        let found = fixture("test -d /afs || mkdir /afs\n").findings_of(&RULE);
        let messages: Vec<&str> = found.iter().map(|finding| &*finding.message).collect();
        assert_eq!(
            messages,
            [
                "1 top-level entry is dropped when the image is imported",
                "afs.service fails on every machine: /afs, which package afs makes, is dropped by the import"
            ]
        );
        assert!(
            found
                .iter()
                .all(|finding| finding.severity == Severity::Warning)
        );
        for other in ["mkdir /usr/afs\n", "# mkdir /afs\n", "mkdir /afs-old\n"] {
            assert_eq!(fixture(other).findings_of(&RULE).len(), 1, "{other}");
        }
    }

    #[test]
    fn programs_there_are_missing() {
        let text = "[Service]\nExecStart=/nix/bin/run\n";
        let fixture = base().program("nix/bin/run").service("a", text);
        let found = fixture.findings_of(&unit_exec_missing::RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning, "{found:?}");
    }

    #[test]
    fn what_the_commit_has_is_kept() {
        let commit = LayerTar::new().directory("afs").directory("nix");
        let derived = LayerTar::new().directory("srv/www").directory("data");
        let image = TestImage::new().layer(commit).commit().layer(derived);
        let tree = image.read().expect("an image");
        let found = lint(&tree, Some(tree.config()), &Selection::default()).findings;
        let found = found.iter().find(|finding| finding.rule == RULE.name);
        assert_eq!(found.expect("a finding").paths, ["/data", "/srv"]);
    }

    #[test]
    fn composefs_keeps_it() {
        let tree = base().directory("nix");
        let tree = tree.file(prepare_root::PATHS[1], "[composefs]\nenabled = yes\n");
        assert_eq!(tree.findings_of(&RULE), []);
    }

    #[test]
    fn a_plain_image_keeps_it() {
        let plain = ImageConfig::default();
        assert_eq!(base().directory("nix").config(plain).findings_of(&RULE), []);
        let labels = [("ostree.final-diffid".to_owned(), "sha256:1".to_owned())].into();
        let on_commit = ImageConfig {
            config: Container {
                labels,
                ..Container::default()
            },
            ..ImageConfig::default()
        };
        let tree = Fixture::new().directory("nix").config(on_commit);
        assert_eq!(tree.paths_of(&RULE), ["/nix"]);
    }
}
