//! # What it does
//! Reports a link of the base image that the build replaced with a directory. /opt and /home are
//! such links. The commit at the end of the build moves the content to where the link leads. Then
//! it restores the link.
//!
//! # Why it breaks
//! Nothing breaks on a host. But later RUNs found only the new directory, and not what the link
//! leads to.
//!
//! # Example
//! ```dockerfile
//! COPY --link app/ /opt/app/
//! ```
//!
//! # Fix
//! Write `COPY` without `--link`. It then follows the links of the base image.

use super::Rule;
use crate::{Finding, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-link-replaced",
    severity: Severity::Warning,
    summary: "a directory stood in the place of a link of the base",
    ..Rule::STEP
};

/// The finding about one link, an absolute path, and where the base has it lead.
pub fn finding(link: &str, target: &[u8]) -> Finding {
    let target = escape_path(target);
    RULE.finding(
        format!(
            "a directory replaced the base's link {link} -> {target}; its content was moved there"
        ),
        "write COPY and ADD without --link, they follow the links of the base".to_owned(),
        vec![link.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_named_with_its_target() {
        let finding = finding("/opt", b"var/opt");
        assert!(finding.message.contains("/opt -> var/opt"), "{finding:?}");
        assert_eq!(finding.paths, ["/opt"]);
    }
}
