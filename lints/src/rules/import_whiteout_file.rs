//! # What it does
//! Finds files whose names begin with `.wh.`.
//!
//! # Why it breaks
//! In a layer, such a name says that another file is deleted. The file itself does not arrive on
//! the host. A file of the same name without `.wh.` is taken away from parent layers.
//!
//! # Example
//! ```dockerfile
//! RUN tar -xf layer.tar -C /usr/share/acme
//! ```
//!
//! # Fix
//! Remove it in the same RUN: `find / -xdev -name '.wh.*' -delete`. To unpack a layer, use a tool
//! that knows such names: `umoci unpack`, `podman export`.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-whiteout-file",
    severity: Severity::Warning,
    summary: "a file named .wh.* deletes another one when the layer is unpacked",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    entry.name().starts_with(b".wh.")
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "entry is", "entries are");
    RULE.about(
        paths,
        format!("{what} named .wh.*, which deletes files of lower layers"),
        "remove it in the same RUN (`find DIRECTORY -name '.wh.*' -delete`)",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn whiteouts_are_told() {
        let tree = Fixture::new().file("etc/.wh.passwd", "");
        let tree = tree.file("usr/lib/.wh..wh..opq", "");
        let found = ["/etc/.wh.passwd", "/usr/lib/.wh..wh..opq"];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn other_hidden_files_are_right() {
        let tree = Fixture::new().file("etc/.white", "").file("etc/a.wh.b", "");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
