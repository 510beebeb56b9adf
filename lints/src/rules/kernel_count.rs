//! # What it does
//! Checks that there is exactly one kernel in /usr/lib/modules, after a step and in an image.
//!
//! # Why it breaks
//! An image is deployed with the one kernel that is in it. With two, ostree and bootc refuse the
//! image or take either kernel. With none, no host can boot.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y linux-image-rt-amd64
//! ```
//!
//! # Fix
//! Remove the other kernel in the step that brings the new one:
//! ```dockerfile
//! RUN apt-get install -y linux-image-rt-amd64 && apt-get purge -y '^linux-image-.*cloud-amd64$'
//! ```

use super::{Check, MAX_NAMED, Rule};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-count",
    severity: Severity::Error,
    summary: "the image has no kernel, or more than one",
    aliases: &["kernel"],
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let versions = image.kernels();
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    finding(&versions).into_iter().collect()
}

/// The finding about several kernels, or about the last one that is gone; none about exactly one.
pub fn finding(versions: &[&str]) -> Option<Finding> {
    let paths = versions.iter().take(MAX_NAMED);
    let paths = paths
        .map(|version| format!("/usr/lib/modules/{version}"))
        .collect();
    match versions {
        [] => Some(RULE.finding(
            "there is no kernel: no /usr/lib/modules/VERSION/vmlinuz".to_owned(),
            "install one in the same RUN (`apt-get install linux-image-amd64`, `dnf install \
             kernel`)"
                .to_owned(),
            paths,
        )),
        [_] => None,
        several => Some(RULE.finding(
            format!("there are {} kernels: {}", several.len(), several.join(", ")),
            "remove all but one in the RUN that brings it (`apt-get purge linux-image-VERSION`, \
             `dnf remove kernel-core-VERSION`)"
                .to_owned(),
            paths,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn kernels_of_an_image_are_counted() {
        let one = Fixture::new().file("usr/lib/modules/6.12/vmlinuz", "");
        let one = one.file("usr/lib/modules/6.13/modules.dep", "");
        assert_eq!(one.findings_of(&RULE), []);
        let two = one.file("usr/lib/modules/6.13/vmlinuz", "");
        let paths = ["/usr/lib/modules/6.12", "/usr/lib/modules/6.13"];
        assert_eq!(two.paths_of(&RULE), paths);
    }

    #[test]
    fn exactly_one_is_right() {
        assert_eq!(finding(&["6.12"]), None);
        let two = finding(&["6.12", "6.13"]).expect("a finding");
        assert_eq!(two.message, "there are 2 kernels: 6.12, 6.13");
        assert!(
            finding(&[])
                .expect("a finding")
                .message
                .contains("no kernel")
        );
    }
}
