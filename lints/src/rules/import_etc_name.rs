//! # What it does
//! Finds paths in /etc that are not ASCII, or longer than 100 bytes.
//!
//! # Why it breaks
//! Layers carry such a path in a PAX record of its own. Older importers move /etc to /usr/etc and
//! leave that record as it was. The file stays in /etc, and no deployment is made: "Tree contains
//! both /etc and /usr/etc". The host keeps its former image. The importers of bootc 1.1.3 (2024) to
//! 1.14 do so. So does ostree-ext 0.15.3, the last one published. From bootc 1.15 (March 2026) on,
//! importers do it right, so this is a warning.
//!
//! # Example
//! ```dockerfile
//! COPY certificates/Főtanúsítvány.pem /etc/ssl/certs/
//! ```
//!
//! # Fix
//! Choose a shorter name of ASCII letters. Or update bootc on all hosts before they get the image.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-etc-name",
    severity: Severity::Warning,
    summary: "a path in /etc that is not ASCII, or is long, stops older importers",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

/// Bytes of a path in a tar header without extensions.
const MAX_NAME: usize = 100;

/// Go's archive/tar, which writes the layers of all engines, makes a PAX record `path` of these; a directory's name
/// has a slash at its end. What is no UTF-8 stops all importers, and another rule tells it.
fn holds(entry: &Entry<'_>) -> bool {
    let Some(below) = entry.below("etc") else {
        return false;
    };
    let slash = usize::from(entry.meta.kind == Kind::Directory);
    let is_long = entry.path.len() + slash > MAX_NAME;
    (is_long || !below.is_ascii()) && std::str::from_utf8(below).is_ok()
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "path in /etc is", "paths in /etc are");
    RULE.about(
        paths,
        format!(
            "{what} not ASCII or longer than {MAX_NAME} bytes: importers of bootc 1.1.3 to 1.14 and of ostree-ext 0.15.3 cannot deploy the image"
        ),
        "give it a shorter name of ASCII letters, or update bootc on the machines first",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn names_in_etc_of_other_letters_are_told() {
        let tree = Fixture::new()
            .file("etc/ssl/certs/Főtanúsítvány.pem", "")
            .file("etc/grüße/a", "");
        let found = tree.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "3 paths in /etc are not ASCII or longer than 100 bytes: importers of bootc 1.1.3 to 1.14 and of ostree-ext 0.15.3 cannot deploy the image"
        );
        let paths = [
            "/etc/grüße",
            "/etc/grüße/a",
            "/etc/ssl/certs/Főtanúsítvány.pem",
        ];
        assert_eq!(found[0].paths, paths);
    }

    #[test]
    fn long_paths_in_etc_are_told() {
        let longest = format!("etc/{}", "a".repeat(96));
        let tree = Fixture::new().file(&longest, "");
        assert_eq!(tree.findings_of(&RULE), []);
        let longer = format!("etc/{}", "b".repeat(97));
        assert_eq!(
            tree.file(&longer, "").paths_of(&RULE),
            [format!("/{longer}")]
        );
        let directory = Fixture::new().directory(&longest);
        assert_eq!(directory.paths_of(&RULE), [format!("/{longest}")]);
    }

    #[test]
    fn names_elsewhere_targets_and_what_no_importer_takes_are_right() {
        let tree = Fixture::new()
            .file("usr/share/grüße", "")
            .link("etc/link", "grüße")
            .file_named(b"etc/\xff");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
