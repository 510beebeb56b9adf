//! # What it does
//! Finds hard links whose file is in another layer than the link. The rule needs the layers of the
//! image: an OCI layout or an archive.
//!
//! # Why it breaks
//! Each layer is imported by itself. The link leads nowhere, and the import ends with an error.
//! Overlayfs copies the file into the layer of the link. But not every builder works on overlayfs.
//!
//! # Example
//! ```dockerfile
//! RUN ln /usr/lib/acme/data /usr/share/acme/data
//! ```
//!
//! # Fix
//! Make it a symbolic link, or a copy:
//! ```dockerfile
//! RUN ln -s /usr/lib/acme/data /usr/share/acme/data
//! ```

use super::{Check, MAX_NAMED, Need, Rule, absolute};
use crate::tree::FarLink;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-link-across-layers",
    severity: Severity::Error,
    summary: "a hard link to a file in another layer stops the import",
    scope: super::Scope::Import,
    needs: Need::Layers,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let links = image
        .tree
        .layers()
        .map_or(&[][..], |stack| &stack.far_links);
    let links = links.iter().filter(|link| !is_dropped(&link.path));
    links.take(MAX_NAMED).map(finding).collect()
}

/// Whether the importer drops a path, so that no link of it matters (ostree-ext, `tar/write.rs`).
fn is_dropped(path: &[u8]) -> bool {
    let dropped = [&b"dev/"[..], b"proc/", b"run/", b"sys/", b"tmp/"];
    dropped.iter().any(|top| path.starts_with(top))
}

fn finding(link: &FarLink) -> Finding {
    let (path, target) = (absolute(&link.path), absolute(&link.target));
    RULE.finding(
        format!("{path} is a hard link to {target} in another layer"),
        format!(
            "make it a symbolic link (ln -sf {target} {path}), or a copy (cp --remove-destination)"
        ),
        vec![path],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{LayerTar, TestImage};
    use crate::{Selection, lint};

    fn found(image: &TestImage) -> Vec<String> {
        let tree = image.read().expect("an image");
        let found = lint(&tree, None, &Selection::default())
            .findings
            .into_iter();
        let found = found.filter(|finding| finding.rule == RULE.name);
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn a_link_into_another_layer_is_found() {
        let lower = LayerTar::new()
            .file("usr/a", "")
            .hard_link("usr/b", "usr/a");
        let upper = LayerTar::new()
            .hard_link("usr/c", "usr/a")
            .hard_link("tmp/d", "usr/a");
        assert_eq!(
            found(&TestImage::new().layer(lower).layer(upper)),
            ["/usr/c is a hard link to /usr/a in another layer"]
        );
    }

    #[test]
    fn links_within_a_layer_are_not() {
        let layer = LayerTar::new()
            .file("usr/a", "")
            .hard_link("usr/b", "usr/a");
        assert_eq!(found(&TestImage::new().layer(layer)), [""; 0]);
    }
}
