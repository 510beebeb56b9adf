//! # What it does
//! Finds software in /opt or /usr/local that belongs as a whole to an account other than root. Also
//! finds single files there that such an account may write.
//!
//! # Why it breaks
//! On the host these files are part of the read-only image. A commit keeps a directory in /var if
//! its name (`log`, `cache`, `data` …) or its owner tells that programs write there. This does not
//! work if the account owns all of the software, nor for single files.
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system acme && cp -r /src /opt/acme && chown -R acme /opt/acme
//! ```
//!
//! # Fix
//! Let root own what no program writes. Name the other directories in the syntax line of the
//! Containerfile: `--writable=/opt/acme/uploads`. If there are none, say so:
//! `--read-only=/opt/acme`.

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
        "name the directories that it writes at run time, `--writable=PATH`; if it writes none, \
         `--read-only=PATH`"
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
