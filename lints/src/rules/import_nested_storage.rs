//! # What it does
//! Finds the layers of containers that were pulled or built inside the image. They are in the
//! storage of podman, buildah, docker or containerd in /var.
//!
//! # Why it breaks
//! Such layers hold whiteouts, which are device nodes, and names that no other layer may have. The
//! import ends with an error. Besides, content of /var reaches only newly installed hosts.
//!
//! # Example
//! ```dockerfile
//! RUN podman pull quay.io/acme/agent
//! ```
//!
//! # Fix
//! Let the host pull the image. Write a Quadlet file with `Image=`. With bootc, use a logically
//! bound image (`/usr/lib/bootc/bound-images.d`).

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::knowledge::software::STORAGE;
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-nested-storage",
    severity: Severity::Error,
    summary: "the storage of a container engine cannot be in an image",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

/// `l` holds overlay's short names and is there without any layer.
fn holds(entry: &Entry<'_>) -> bool {
    let name = STORAGE.iter().find_map(|(layers, _)| entry.below(layers));
    entry.meta.kind == Kind::Directory
        && name.is_some_and(|name| name != b"l" && !name.contains(&b'/'))
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "container layer is", "container layers are");
    RULE.about(
        paths,
        format!("{what} in the image, which stops its import"),
        "remove them in the same RUN and let the machine pull the image: a Quadlet file with \
         `Image=`, or a link in /usr/lib/bootc/bound-images.d",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn each_layer_is_told_once() {
        let storage = "var/lib/containers/storage";
        let tree = Fixture::new().file(&format!("{storage}/overlay/0a1b/diff/etc/x"), "");
        let tree = tree.file(&format!("{storage}/overlay/l/SHORT"), "");
        let layer = "/var/lib/containers/storage/overlay/0a1b";
        assert_eq!(tree.paths_of(&RULE), [layer]);
    }

    #[test]
    fn empty_storage_and_a_store_in_usr_are_right() {
        let tree = Fixture::new().directory("var/lib/containers/storage/overlay/l");
        let tree = tree.file("var/lib/containers/storage/storage.lock", "");
        let tree = tree.directory("usr/lib/containers/storage/overlay/0a1b");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
