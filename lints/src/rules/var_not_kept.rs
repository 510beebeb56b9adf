//! # What it does
//! Finds entries that a step left below /var and that cannot be declared. They stay in the layer.
//!
//! # Why it breaks
//! Content of the image's own /var reaches a host once, when it is installed. Upgraded hosts never
//! see it. A device node, a socket or a name that is not UTF-8 stops an ostree import altogether.
//! BuildKit and Docker drop access control lists and attributes of `user.*` from layers. Where a
//! list is dropped, the group gets what the mask of the list allows.
//!
//! # Example
//! ```dockerfile
//! RUN mknod /var/lib/app/null c 1 3
//! ```
//!
//! # Fix
//! Have the service make the entry when it starts, or give it a name without line breaks. In other
//! cases:
//!
//! - For access control lists, use a systemd that can set them: `systemd-tmpfiles --version` shows
//!   `+ACL`.
//! - Give capabilities to files in /usr.
//! - Take `chattr +i` back in the same RUN.

use super::{MAX_NAMED, Rule};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "var-not-kept",
    severity: Severity::Warning,
    summary: "an entry of /var cannot be declared and stays in the layer",
    ..Rule::STEP
};

/// The finding about entries that stay, each an escaped path and why; none if there is none.
pub fn finding(entries: &[(String, String)]) -> Option<Finding> {
    let (path, why) = entries.first()?;
    let others = match entries.len() - 1 {
        0 => String::new(),
        more => format!(
            " (and {})",
            super::counted(more, "other entry", "other entries")
        ),
    };
    Some(
        RULE.finding(
            format!("{path} stays in the layer and never reaches upgraded machines: {why}{others}"),
            "let the service make it when it starts, or remove it in the same RUN".to_owned(),
            (entries.iter().take(MAX_NAMED))
                .map(|(path, _)| path.clone())
                .collect(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_names_the_first_and_counts_the_others() {
        let entry = |path: &str| (path.to_owned(), "a device node".to_owned());
        let finding = finding(&[entry("/var/a"), entry("/var/b")]).expect("a finding");
        assert!(finding.message.starts_with("/var/a stays in the layer"));
        assert!(
            finding
                .message
                .ends_with("a device node (and 1 other entry)")
        );
        assert_eq!(finding.paths, ["/var/a", "/var/b"]);
    }
}
