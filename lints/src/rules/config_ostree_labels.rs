//! # What it does
//! Checks that the label `ostree.final-diffid` names a layer that the image has.
//!
//! # Why it breaks
//! The label says where the ostree commit of the base image ends and derived layers begin. If that
//! layer is gone, the import ends with "Missing ostree.final-diffid".
//!
//! # Example
//! ```sh
//! podman build --squash-all -t acme .
//! ```
//!
//! # Fix
//! Leave out `--squash-all`, to keep the layers of the base image. Or drop the labels together with
//! the layers:
//! ```sh
//! podman build --squash-all --unsetlabel ostree.final-diffid --unsetlabel ostree.commit -t acme .
//! ```

use super::{Check, Need, Rule, Scope};
use crate::{Finding, Image, ImageConfig, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "config-ostree-labels",
    severity: Severity::Error,
    summary: "the label ostree.final-diffid names a layer that is not there",
    scope: Scope::Import,
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    image.config.and_then(finding).into_iter().collect()
}

/// The label that names a layer.
pub(crate) const LABEL: &str = "ostree.final-diffid";

/// What there is to say of a configuration.
pub(crate) fn finding(config: &ImageConfig) -> Option<Finding> {
    let wanted = config.config.labels.get(LABEL);
    let missing = wanted.filter(|wanted| !config.rootfs.diff_ids.contains(wanted));
    missing.map(|missing| {
        RULE.finding(
            format!("the label ostree.final-diffid names {missing}, and the image has no such layer"),
            "keep the base's layers, or drop the labels ostree.final-diffid and ostree.commit with \
             them (`podman build --unsetlabel`)"
                .to_owned(),
            Vec::new(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::{Fixture, config_with_labels};

    #[test]
    fn a_layer_that_is_gone_is_told() {
        let mut config = config_with_labels(&[("ostree.final-diffid", "sha256:2")]);
        config.rootfs.diff_ids = vec!["sha256:1".to_owned()];
        let found = Fixture::new().config(config.clone()).findings_of(&RULE);
        assert!(found[0].message.contains("names sha256:2,"));
        config.rootfs.diff_ids.push("sha256:2".to_owned());
        assert_eq!(Fixture::new().config(config).findings_of(&RULE), []);
    }

    #[test]
    fn an_image_without_a_commit_is_right() {
        let config = config_with_labels(&[("ostree.bootable", "1")]);
        assert_eq!(Fixture::new().config(config).findings_of(&RULE), []);
    }
}
