//! # What it does
//! Finds files and directories that could not be read:
//!
//! - a FIFO where a configuration file belongs
//! - a passwd of gigabytes
//! - a directory that the user of the lint may not read
//!
//! An rpm database in another format than sqlite is reported as information. So is a database of
//! pacman. Nothing is wrong with the image then.
//!
//! # Why it breaks
//! What stands there is not checked. A program that reads such a file at boot fails or waits for
//! ever.
//!
//! # Example
//! ```dockerfile
//! RUN rm -f /etc/passwd && mkfifo /etc/passwd
//! ```
//!
//! # Fix
//! Put a regular file there. Or run the lint as root, if only permissions are in the way.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "input-unreadable",
    severity: Severity::Warning,
    summary: "a file or directory cannot be read as what it should be",
    ..Rule::IMAGE
};

/// The finding about one path, absolute and escaped.
pub fn finding(path: &str, why: &str) -> Finding {
    RULE.finding(
        format!("{path} cannot be read: {why}"),
        "put a readable regular file there, or run the lint as root".to_owned(),
        vec![path.to_owned()],
    )
}

/// The finding about a database of packages in a format that is not read: its path, and a message that says so.
pub fn other_format(path: &str, message: String) -> Finding {
    let finding = RULE.finding(
        message,
        "no action needed; what packages need in /var is not checked".to_owned(),
        vec![format!("/{path}")],
    );
    Finding {
        severity: Severity::Info,
        ..finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_names_the_path_and_the_reason() {
        let finding = finding("/etc/passwd", "it is a FIFO, not a file");
        assert_eq!(
            finding.message,
            "/etc/passwd cannot be read: it is a FIFO, not a file"
        );
        assert_eq!(finding.paths, ["/etc/passwd"]);
    }
}
