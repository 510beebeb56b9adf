//! # What it does
//! Finds directories below /usr/lib/modules that have no kernel. They hold modules for a version
//! that the image does not boot, or what a removed kernel left.
//!
//! # Why it breaks
//! The host cannot load the modules, so their driver is missing. Some such directories look like a
//! kernel to ostree and bootc, which then stop.
//!
//! # Example
//! ```dockerfile
//! RUN dkms install nvidia/550 -k "$(uname -r)"
//! ```
//!
//! # Fix
//! Build the modules for the image's kernel (`ls /usr/lib/modules`), not for the one that runs the
//! build. Then remove the directory.

use super::{Check, Rule};
use crate::image::MODULES;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-modules-unused",
    severity: Severity::Warning,
    summary: "a directory of modules belongs to no kernel of the image",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let kernels = image.kernels();
    // Without any kernel kernel-count has said it.
    if kernels.is_empty() {
        return Vec::new();
    }
    let kernels: Vec<&str> = kernels.iter().map(String::as_str).collect();
    let has = |version: &str, name: &str| image.exists(&format!("{MODULES}/{version}/{name}"));
    // RHEL's driver packages keep theirs in `extra` of the kernel that they were built for, and link
    // to them from others.
    let is_whole = |version: &str| has(version, "modules.dep") || has(version, "kernel");
    (image.names(MODULES).iter())
        .filter(|version| !kernels.contains(&version.as_str()) && is_whole(version))
        .map(|version| finding(version, &kernels))
        .collect()
}

/// The finding about the modules of a version; `kernels` are the image's own.
pub fn finding(version: &str, kernels: &[&str]) -> Finding {
    let kernels = match kernels {
        [] => "none".to_owned(),
        kernels => kernels.join(", "),
    };
    RULE.finding(
        format!("/usr/lib/modules/{version} has no vmlinuz; the kernel of the image is {kernels}"),
        "install the modules for the image's kernel, and remove this directory".to_owned(),
        vec![format!("/usr/lib/modules/{version}")],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn modules_without_their_kernel_are_told() {
        let tree = Fixture::new().file("usr/lib/modules/6.1/modules.dep", "");
        assert_eq!(tree.findings_of(&RULE), []);
        let tree = tree.file("usr/lib/modules/6.12/vmlinuz", "");
        assert_eq!(tree.paths_of(&RULE), ["/usr/lib/modules/6.1"]);
    }

    #[test]
    fn drivers_that_other_kernels_link_to_are_right() {
        let tree = Fixture::new().file("usr/lib/modules/5.14/extra/kvdo.ko", "");
        let tree = tree.file("usr/lib/modules/5.15/vmlinuz", "");
        assert_eq!(
            tree.directory("usr/lib/modules/5.15/kernel")
                .findings_of(&RULE),
            []
        );
    }

    #[test]
    fn it_names_the_kernel_that_the_modules_should_be_for() {
        let finding = finding("6.1", &["6.12"]);
        assert!(finding.message.ends_with("the kernel of the image is 6.12"));
    }
}
