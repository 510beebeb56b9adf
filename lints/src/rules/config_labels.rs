//! # What it does
//! Checks that the image's configuration has the label `containers.bootc` or `ostree.bootable`.
//!
//! # Why it breaks
//! These labels tell bootc and ostree that a host can run the image. Without one, they refuse to
//! install the image or to upgrade to it.
//!
//! # Example
//! ```dockerfile
//! FROM scratch
//! COPY --from=build /rootfs /
//! ```
//!
//! # Fix
//! Add the labels:
//! ```dockerfile
//! LABEL containers.bootc=1 ostree.bootable=1
//! ```

use super::{Check, Need, Rule};
use crate::{Finding, Image, ImageConfig, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "config-labels",
    severity: Severity::Error,
    summary: "no label says that the image is bootable",
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    image.config.and_then(finding).into_iter().collect()
}

/// What there is to say of a configuration.
pub(crate) fn finding(config: &ImageConfig) -> Option<Finding> {
    if config.is_bootable() {
        return None;
    }
    Some(RULE.finding(
        "the image has neither the label containers.bootc nor ostree.bootable".to_owned(),
        "`LABEL containers.bootc=1 ostree.bootable=1`".to_owned(),
        Vec::new(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::{Fixture, config_with_labels};

    #[test]
    fn one_of_the_labels_is_enough() {
        for label in ["containers.bootc", "ostree.bootable"] {
            let config = config_with_labels(&[(label, "1")]);
            let tree = Fixture::new().config(config);
            assert_eq!(tree.findings_of(&RULE), []);
        }
    }

    #[test]
    fn none_is_told_and_an_unknown_configuration_is_not() {
        let config = config_with_labels(&[("version", "1")]);
        let found = Fixture::new().config(config).findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(Fixture::new().findings_of(&RULE), []);
    }
}
