//! # What it does
//! Finds an initramfs in a format that osderive does not read. It reads plain, gzip and zstd
//! archives. Nobody knows whether this one can boot an ostree deployment.
//!
//! # Why it breaks
//! Without `ostree-prepare-root` in it, the host does not boot. Nothing says that it is missing.
//!
//! # Example
//! ```dockerfile
//! RUN dracut --xz --force --kver "$KVER" "/usr/lib/modules/$KVER/initramfs.img"
//! ```
//!
//! # Fix
//! Look yourself: `lsinitrd FILE | grep ostree-prepare-root`. Or pack it with zstd or gzip.

use super::{Check, Rule};
use crate::model::initramfs::Ostree;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-initramfs-unread",
    severity: Severity::Info,
    summary: "an initramfs cannot be read, so it may lack what boots an ostree deployment",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let unread = |(version, found): &(String, Ostree)| match found {
        Ostree::Unreadable(reason) => {
            let path = format!("/usr/lib/modules/{version}/initramfs.img");
            Some(finding(path, reason))
        }
        Ostree::Present | Ostree::Missing => None,
    };
    image.initramfs().iter().filter_map(unread).collect()
}

/// The finding about the file at `path`, with the reason as a sentence.
pub fn finding(path: String, reason: &str) -> Finding {
    RULE.finding(
        format!("cannot look into {path}: {reason}"),
        format!(
            "check that `lsinitrd {path}` lists ostree-prepare-root, or pack it with zstd or gzip"
        ),
        vec![path],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_packing_that_is_not_read_is_told() {
        let tree = Fixture::new().file("usr/lib/modules/6/vmlinuz", "");
        assert_eq!(tree.findings_of(&RULE), []);
        let tree = tree.file("usr/lib/modules/6/initramfs.img", b"\xfd7zXZ\0rest");
        assert_eq!(tree.paths_of(&RULE), ["/usr/lib/modules/6/initramfs.img"]);
    }

    #[test]
    fn it_says_why() {
        let finding = finding(
            "/usr/lib/modules/6/initramfs.img".to_owned(),
            "its compression is xz",
        );
        assert!(
            finding
                .message
                .ends_with("initramfs.img: its compression is xz")
        );
    }
}
