//! # What it does
//! Reports what was not read because reading it takes too long for the size of the image:
//!
//! - an archive of some kilobytes that unpacks to terabytes
//! - thousands of links that lead on for thousands of names
//! - an initramfs of a million parts
//!
//! # Why it breaks
//! What was not read is not checked, and no other rule reports that. Engines and hosts that unpack
//! such an image need as long. They may run out of memory or disk.
//!
//! # Example
//! ```dockerfile
//! RUN head -c 4T /dev/zero | zstd > /usr/lib/modules/6.1/initramfs.img
//! ```
//!
//! # Fix
//! Leave out what nobody needs. The limit is 1100 bytes of content for each stored byte of the
//! image, and 2 GiB. An image that a distribution's tools made stays below a hundredth of it.

use std::collections::BTreeSet;

use super::{Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "input-over-budget",
    severity: Severity::Warning,
    summary: "something is not read, because that takes too long for the size of the image",
    ..Rule::IMAGE
};

/// The finding about what was not read: escaped paths and names of layers; none if that is nothing.
pub(crate) fn finding(unread: &BTreeSet<String>) -> Option<Finding> {
    // Layers first: all that is in them is not checked.
    let first = unread.iter().min_by_key(|what| what.starts_with('/'))?;
    let others = match unread.len() {
        1 => String::new(),
        count => format!(" and {}", counted(count - 1, "other", "others")),
    };
    let paths = unread.iter().filter(|what| what.starts_with('/'));
    Some(RULE.finding(
        format!(
            "{first}{others}: not read and not checked: it takes too long for the image's size"
        ),
        "leave out files that unpack to far more than their stored size".to_owned(),
        paths.cloned().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_names_what_was_not_read() {
        let unread = ["/usr/x", "layer 2 of 3"].map(str::to_owned);
        let finding = finding(&unread.into()).expect("a finding");
        assert!(
            finding
                .message
                .starts_with("layer 2 of 3 and 1 other: not read")
        );
        assert_eq!(finding.paths, ["/usr/x"]);
        assert_eq!(super::finding(&BTreeSet::new()), None);
    }
}
