//! # What it does
//! Checks that the initramfs beside a new kernel has `ostree-prepare-root`, which makes the root of
//! a deployment. If the image has dracut, the commit of a step makes the initramfs itself. If it
//! could not, this rule reports why.
//!
//! # Why it breaks
//! Without `ostree-prepare-root`, the host waits for a root file system that never comes. It drops
//! to an emergency shell.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y initramfs-tools linux-image-amd64
//! ```
//!
//! # Fix
//! Install dracut and its module `ostree` in the image (Debian's `ostree-boot`). Or make the
//! initramfs yourself:
//! ```dockerfile
//! RUN dracut --force --no-hostonly --reproducible --add ostree --kver VERSION \
//!     /usr/lib/modules/VERSION/initramfs.img
//! ```

use super::{Check, Rule};
use crate::model::initramfs::Ostree;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-initramfs",
    severity: Severity::Error,
    summary: "a kernel has no initramfs that can boot an ostree deployment",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// What bootc's own way to boot (composefs without an ostree repository) has in its place.
const OTHER_WAY: &str = "usr/lib/bootc/initramfs-setup";

fn check(image: &Image<'_>) -> Vec<Finding> {
    if image.exists(OTHER_WAY) && !image.exists("usr/lib/ostree/ostree-prepare-root") {
        return Vec::new();
    }
    let lacking = |(version, found): &(String, Ostree)| {
        let path = format!("/usr/lib/modules/{version}/initramfs.img");
        (*found == Ostree::Missing).then(|| {
            RULE.finding(
                format!("{path} has no ostree-prepare-root"),
                remedy(version),
                vec![path],
            )
        })
    };
    image.initramfs().iter().filter_map(lacking).collect()
}

/// The finding about the initramfs of a kernel; `problem` says what is wrong with it, `unmade` why
/// the commit did not make one.
pub fn finding(version: &str, problem: &str, unmade: &str) -> Finding {
    RULE.finding(
        format!("the kernel {version} {problem}, and {unmade}"),
        remedy(version),
        vec![format!("/usr/lib/modules/{version}/initramfs.img")],
    )
}

pub(super) fn remedy(version: &str) -> String {
    format!(
        "install dracut and its ostree module (Debian's ostree-boot), and run in the image: dracut --force --no-hostonly --reproducible --add ostree --kver {version} \
         /usr/lib/modules/{version}/initramfs.img"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::initramfs::tests::cpio;
    use crate::rules::fixture::Fixture;

    fn kernel(names: &[&str]) -> Fixture {
        let tree = Fixture::new().file("usr/lib/modules/6.12/vmlinuz", "");
        tree.file("usr/lib/modules/6.12/initramfs.img", cpio(names))
    }

    #[test]
    fn an_initramfs_without_ostree_is_told() {
        let path = "/usr/lib/modules/6.12/initramfs.img";
        assert_eq!(kernel(&["init"]).paths_of(&RULE), [path]);
        let right = kernel(&["usr/lib/ostree/ostree-prepare-root"]);
        assert_eq!(right.findings_of(&RULE), []);
        let other = kernel(&["init"]).program(OTHER_WAY);
        assert_eq!(other.findings_of(&RULE), []);
    }

    #[test]
    fn it_says_what_to_run() {
        let finding = finding("6.12", "has no initramfs", "the image has no dracut");
        assert_eq!(
            finding.message,
            "the kernel 6.12 has no initramfs, and the image has no dracut"
        );
        assert!(
            finding
                .help
                .ends_with("/usr/lib/modules/6.12/initramfs.img")
        );
    }
}
