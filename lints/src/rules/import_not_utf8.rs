//! # What it does
//! Finds names and link targets that are not UTF-8.
//!
//! # Why it breaks
//! The importer takes names and targets for UTF-8. The first one that is not ends the import with
//! an error, wherever it is. The host keeps its former image.
//!
//! # Example
//! ```dockerfile
//! RUN tar -xf latin1-names.tar -C /usr/share/acme
//! ```
//!
//! # Fix
//! Rename it: `convmv -f latin1 -t utf8 -r --notest /usr/share/acme`. Or remove it.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-not-utf8",
    aliases: &["utf8"],
    severity: Severity::Error,
    summary: "a name or a link's target is no UTF-8",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    let is_text = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok();
    !is_text(entry.name()) || entry.target.is_some_and(|target| !is_text(target))
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "name or target is", "names or targets are");
    RULE.about(
        paths,
        format!("{what} no UTF-8, which stops the import of the image"),
        "rename it (`convmv -f latin1 -t utf8 -r --notest DIRECTORY`), or remove it in the same RUN",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn all_names_and_targets_are_told() {
        let tree = Fixture::new()
            .file_named(b"usr/share/\xff")
            .link("usr/b", "c");
        let tree = tree.link_to("usr/a", b"x\xc3");
        assert_eq!(tree.paths_of(&RULE), ["/usr/a", "/usr/share/\\xff"]);
    }

    #[test]
    fn what_is_below_such_a_directory_is_not_told_again() {
        let tree = Fixture::new().file_named(b"usr/\xff/inside");
        assert_eq!(tree.paths_of(&RULE), ["/usr/\\xff"]);
    }

    #[test]
    fn any_language_is_right() {
        let tree = Fixture::new().file("usr/share/grüße-日本", "");
        assert_eq!(tree.link("usr/x", "grüße").findings_of(&RULE), []);
    }
}
