//! # What it does
//! Looks for content at the top level (`/nix`, files in a real /opt or /srv) of an image whose base
//! is an ostree commit without composefs and without a transient root.
//!
//! # Why it breaks
//! The importer of such an image keeps /usr, /etc and /var; what derived layers have elsewhere is
//! dropped with nothing but a line in its log, so it is not on the machine.
//!
//! # Example
//! ```dockerfile
//! FROM quay.io/fedora/fedora-coreos:stable
//! RUN mkdir /nix
//! ```
//!
//! # Fix
//! Put it below /usr, or start from a base with composefs (`[composefs]`, `enabled = yes` in
//! prepare-root.conf). A derived image cannot turn it on for itself.

use super::layout_composefs::first_of;
use super::{Check, Rule, Scope, absolute, counted};
use crate::model::prepare_root;
use crate::tree::Kind;
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

/// What the importer keeps, what is mounted over, and what other rules speak of (/boot).
const KEPT: [&[u8]; 11] = [
    b"boot", b"dev", b"etc", b"ostree", b"proc", b"run", b"sys", b"sysroot", b"tmp", b"usr", b"var",
];

/// What every system has, a directory for mounts or a link into /usr or /var; only what is in them counts.
const USUAL: [&[u8]; 13] = [
    b"afs", b"bin", b"efi", b"home", b"lib", b"lib32", b"lib64", b"libx32", b"media", b"mnt",
    b"opt", b"root", b"sbin",
];

fn check(image: &Image<'_>) -> Vec<Finding> {
    if !is_on_commit(image) || keeps_top_level(image) {
        return Vec::new();
    }
    let names = image.tree.names(b"").unwrap_or_default().into_iter();
    let dropped: Vec<_> = names
        .filter(|name| !KEPT.contains(&name.as_slice()))
        .filter(|name| {
            let is_usual = USUAL.contains(&name.as_slice()) || name == b"srv";
            !is_usual || has_content(image, name)
        })
        .collect();
    if dropped.is_empty() {
        return Vec::new();
    }
    let what = counted(dropped.len(), "top-level entry is", "top-level entries are");
    vec![RULE.finding(
        format!("{what} dropped when the image is imported"),
        "put it below /usr, or into /var by tmpfiles.d".to_owned(),
        dropped.iter().map(|name| absolute(name)).collect(),
    )]
}

/// Whether the base is an encapsulated commit, which the importer asks for its prepare-root.conf;
/// of other images it keeps all (ostree-ext, `container/store.rs`).
fn is_on_commit(image: &Image<'_>) -> bool {
    match image.config {
        Some(config) => config.config.labels.contains_key("ostree.final-diffid"),
        None => image.exists("sysroot/ostree/repo/config"),
    }
}

fn keeps_top_level(image: &Image<'_>) -> bool {
    let file = first_of(image, &prepare_root::PATHS);
    file.is_some_and(|(_, content)| prepare_root::keeps_top_level(&content))
}

fn has_content(image: &Image<'_>, name: &[u8]) -> bool {
    let is_directory =
        matches!(image.tree.look(name), Ok(Some(meta)) if meta.kind == Kind::Directory);
    is_directory && (image.tree.names(name)).is_ok_and(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;
    use crate::{Container, ImageConfig};

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
