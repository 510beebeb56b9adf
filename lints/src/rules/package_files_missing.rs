//! # What it does
//! Finds files of packages that are missing in /opt, /usr/local or /var after the RUN that
//! installed them. A mount stood there, or the command emptied the directories around them.
//!
//! # Why it breaks
//! To the package manager the package is installed, but its files are nowhere. What the package
//! runs from /opt is missing on every host. Directories of the package in /var are declared, so
//! that hosts have them.
//!
//! # Example
//! ```dockerfile
//! RUN dnf -y install acme && rm -rf /var/*
//! ```
//! On bootable images /opt is a link to /var/opt. So this removes `/opt/acme` as well.
//!
//! # Fix
//! Do not mount over the directory, and leave it out of `rm -rf`. With osderive you need not empty
//! /var. If you do not want the files, remove only them.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "package-files-missing",
    severity: Severity::Warning,
    summary: "files of an installed package are not in the image",
    since: "0.2.0",
    ..Rule::STEP
};

/// The finding about escaped paths of a package, as it names them; none without one.
pub fn finding(package: &str, paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let others = match paths.len() - 1 {
        0 => String::new(),
        more => format!(" and {}", counted(more, "other file", "other files")),
    };
    Some(RULE.finding(
        format!(
            "{first}{others} of the package {package}: installed in this RUN, and not in the image"
        ),
        "leave the directory out of `rm -rf`, and mount nothing over it in this RUN".to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_finding_names_the_package_and_counts_its_files() {
        assert_eq!(finding("acme", &[]), None);
        let paths = ["/opt/a".to_owned(), "/opt/b".to_owned()];
        let found = finding("acme", &paths).expect("a finding");
        assert!(
            found
                .message
                .starts_with("/opt/a and 1 other file of the package acme")
        );
        assert_eq!(found.paths, paths);
    }
}
