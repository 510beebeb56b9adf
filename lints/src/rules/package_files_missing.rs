//! # What it does
//! Looks for files of packages in /opt, /usr/local and /var that the RUN which installed them has not left: a mount stood
//! there, or the command emptied the directories around them.
//!
//! # Why it breaks
//! The package is installed as its manager knows it, and its files are nowhere. What it runs from /opt is missing on every
//! machine. Directories of /var that such a package owns are declared, so that machines have them.
//!
//! # Example
//! ```dockerfile
//! RUN dnf -y install acme && rm -rf /var/*
//! ```
//! On bootable images /opt is a link to /var/opt, so that this removes `/opt/acme` as well.
//!
//! # Fix
//! Leave the directory out of what is mounted or emptied; /var needs no emptying with osderive. Where the files are not
//! wanted, remove them alone.

use super::{MAX_NAMED, Rule, counted};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "package-files-missing",
    severity: Severity::Warning,
    summary: "files of an installed package are not in the image",
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
        format!("{first}{others} of the package {package}: installed in this RUN, and not in the image"),
        "no mount may stand there, and the command may not empty the directory: leave it out of `rm -rf`".to_owned(),
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
