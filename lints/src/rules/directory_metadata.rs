//! # What it does
//! Finds directories of /usr whose mode or owner a RUN changed, although a parent layer has them.
//! It does not matter who made the directory. Two changes are left to `lint` of the finished image
//! (`import-directory-metadata`):
//!
//! - A RUN gives a directory back to root with mode 0755.
//! - COPY or ADD changes a directory.
//!
//! # Why it breaks
//! The importer takes mode and owner from the first layer that has the directory. So the change is
//! lost on the host, where /usr is read-only. In /etc, the commit has systemd-tmpfiles repair it.
//! An access control list that the image's systemd-tmpfiles cannot set is lost there too.
//!
//! # Example
//! ```dockerfile
//! RUN chmod 700 /usr/lib/firmware
//! ```
//!
//! # Fix
//! Make a new directory in the step: `mkdir -m 700 /usr/lib/acme`. Put what you want to protect
//! there.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "directory-metadata",
    severity: Severity::Warning,
    summary: "a changed mode or owner of a directory in /usr is lost on the machine",
    ..Rule::STEP
};

/// The finding about the directories, none if there is none; the paths are escaped.
pub fn finding(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let others = match paths.len() - 1 {
        0 => String::new(),
        more => format!(
            " (and {})",
            counted(more, "other directory", "other directories")
        ),
    };
    Some(RULE.finding(
        format!("the new mode or owner of {first}{others} is lost: a lower layer has another"),
        "make a directory of its own in the step that needs it".to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
}

/// The finding about directories of /etc with an access control list that nothing sets on a machine, none if there is
/// none; the paths are escaped.
pub fn lists_lost(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    Some(RULE.finding(
        format!(
            "the access control list of {first} is lost: a lower layer has another, and nothing tells that the image's \
             systemd-tmpfiles can set one"
        ),
        "use a systemd that was built with support for them (`systemd-tmpfiles --version` shows +ACL)".to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_directory() {
        assert_eq!(finding(&[]), None);
        let finding = finding(&["/usr/lib/firmware".to_owned()]).expect("a finding");
        assert!(
            finding
                .message
                .starts_with("the new mode or owner of /usr/lib/firmware is lost")
        );
    }

    #[test]
    fn a_list_that_is_lost_is_told_by_its_directory() {
        assert_eq!(lists_lost(&[]), None);
        let finding = lists_lost(&["/etc/app".to_owned()]).expect("a finding");
        assert!(finding.message.contains("list of /etc/app is lost"));
    }
}
