//! # What it does
//! Looks for software in /opt or /usr/local that belongs to an account other than root as a whole,
//! and for single files in it that such an account may write.
//!
//! # Why it breaks
//! On the machine they are part of the read-only image. Directories that are written at run time are
//! told by their names (`log`, `cache`, `data` …) or their owner and kept in /var; this cannot be
//! done when all of the software has that owner, nor for single files.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system acme && cp -r /src /opt/acme && chown -R acme /opt/acme
//! ```
//!
//! # Fix
//! Leave what is not written to root. Name the directories that are, in the syntax line of the
//! Containerfile, `--writable=/opt/acme/uploads`; or say that none is, `--read-only=/opt/acme`.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "opt-read-only",
    severity: Severity::Warning,
    summary: "what an account may write in /opt or /usr/local is read-only on the machine",
    ..Rule::STEP
};

/// The finding about one entry, an absolute path as users know it, and who may write it.
pub fn finding(path: &str, writer: &str) -> Finding {
    RULE.finding(
        format!("{writer} may write {path}, which is read-only on the machine"),
        "name the directories in it that are written at run time, `--writable=PATH`, or say that \
         it is not written, `--read-only=PATH`"
            .to_owned(),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_named() {
        let finding = finding("/opt/acme", "acme");
        assert_eq!(
            finding.message,
            "acme may write /opt/acme, which is read-only on the machine"
        );
    }
}
