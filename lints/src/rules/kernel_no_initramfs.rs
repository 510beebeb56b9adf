//! # What it does
//! Checks that the image's kernel has an initramfs beside it, or is part of a unified kernel image.
//! If /sbin/init is ostree-prepare-root, the image is made to boot without one.
//!
//! # Why it breaks
//! Without an initramfs, nothing finds the root file system of a deployment. The host stops with
//! "unable to mount root fs".
//!
//! # Example
//! ```dockerfile
//! RUN rm /usr/lib/modules/*/initramfs.img && dnf -y upgrade kernel
//! ```
//!
//! # Fix
//! Make one:
//! ```dockerfile
//! RUN dracut --force --no-hostonly --reproducible --add ostree --kver VERSION \
//!     /usr/lib/modules/VERSION/initramfs.img
//! ```

use super::kernel_arguments::has_extension;
use super::kernel_initramfs::remedy;
use super::{Check, Rule};
use crate::image::MODULES;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-no-initramfs",
    severity: Severity::Error,
    summary: "a kernel has no initramfs",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Where bootc looks for unified kernel images, beside the directory of modules.
const UNIFIED: &str = "boot/EFI/Linux";

fn check(image: &Image<'_>) -> Vec<Finding> {
    let has_image = |directory: &str| {
        let names = image.names(directory);
        names.iter().any(|name| has_extension(name, "efi"))
    };
    if has_image(UNIFIED) || boots_without(image) {
        return Vec::new();
    }
    let without = |version: &String| {
        let directory = format!("{MODULES}/{version}");
        let path = format!("{directory}/initramfs.img");
        (!image.exists(&path) && !has_image(&directory)).then(|| {
            RULE.finding(
                format!("the kernel {version} has no initramfs: there is no /{path}"),
                remedy(version),
                vec![format!("/{path}")],
            )
        })
    };
    image.kernels().iter().filter_map(without).collect()
}

/// Whether the kernel is to start ostree-prepare-root itself (`ostree-prepare-root(1)`, static builds).
fn boots_without(image: &Image<'_>) -> bool {
    let target = image
        .target("usr/sbin/init")
        .or_else(|| image.target("sbin/init"));
    target.is_some_and(|target| target.ends_with(b"/ostree-prepare-root"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_kernel_alone_is_told() {
        let tree = Fixture::new().file("usr/lib/modules/6.12/vmlinuz", "");
        let path = "/usr/lib/modules/6.12/initramfs.img";
        assert_eq!(tree.paths_of(&RULE), [path]);
    }

    #[test]
    fn an_initramfs_and_a_unified_kernel_image_are_right() {
        let kernel = || Fixture::new().file("usr/lib/modules/6.12/vmlinuz", "");
        for path in [
            "usr/lib/modules/6.12/initramfs.img",
            "usr/lib/modules/6.12/6.12.efi",
            "boot/EFI/Linux/6.12.efi",
        ] {
            assert_eq!(kernel().file(path, "").findings_of(&RULE), [], "{path}");
        }
        let init = kernel().link("usr/sbin/init", "../lib/ostree/ostree-prepare-root");
        assert_eq!(init.findings_of(&RULE), []);
        assert_eq!(Fixture::new().findings_of(&RULE), []);
    }
}
