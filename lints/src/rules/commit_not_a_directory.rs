//! # What it does
//! Finds /run, /tmp, /var, /var/tmp or /var/cache if it is not a directory. In its place is a
//! symbolic link to an unexpected place, or a file.
//!
//! # Why it breaks
//! The commit follows no link, so it removed nothing behind it. At boot, the host mounts over /run
//! and /tmp, and fills /var by tmpfiles.d. If a link or a file stands there, that fails or writes
//! somewhere else.
//!
//! # Example
//! ```dockerfile
//! RUN rm -rf /var/cache && ln -s /mnt/cache /var/cache
//! ```
//!
//! # Fix
//! Leave a real directory there. To keep downloads out of the image, use
//! `RUN --mount=type=cache,target=/var/cache/…`.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "commit-not-a-directory",
    severity: Severity::Warning,
    summary: "/run, /tmp, /var/tmp or /var/cache is not a directory",
    ..Rule::STEP
};

/// The finding about one path; `found` says what stands there ("a symbolic link to /mnt").
pub fn finding(path: &str, found: &str) -> Finding {
    RULE.finding(
        format!("{path} is {found}, not a directory: it was left as it is"),
        format!(
            "make {path} a directory; to keep downloads out of the image use \
             RUN --mount=type=cache,target={path}/NAME"
        ),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_stands_there() {
        assert_eq!(
            finding("/var/cache", "a symbolic link to /mnt").message,
            "/var/cache is a symbolic link to /mnt, not a directory: it was left as it is"
        );
    }
}
