//! # What it does
//! Finds device nodes, FIFOs and sockets in the image. It leaves out /dev, /proc, /run, /sys and
//! /tmp, whose content the importer drops.
//!
//! # Why it breaks
//! An ostree repository holds only directories, files and links. The import of the layer ends with
//! an error. The host keeps its former image.
//!
//! # Example
//! ```dockerfile
//! RUN mkfifo /usr/lib/acme/control
//! ```
//!
//! # Fix
//! Have boot make it, with a line of tmpfiles.d: `p` for a FIFO, `c` and `b` for devices. Leave a
//! socket to the program that listens, or to a socket unit.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-special-file",
    severity: Severity::Error,
    summary: "a device node, FIFO or socket stops the import",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    use Kind::{BlockDevice, CharacterDevice, Fifo, Socket};
    // What the importer drops it does not stumble over (ostree-ext, `container/store.rs`).
    let dropped = ["dev", "proc", "run", "sys", "tmp"];
    matches!(
        entry.meta.kind,
        BlockDevice | CharacterDevice | Fifo | Socket
    ) && !dropped.iter().any(|top| entry.below(top).is_some())
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "special file stops", "special files stop");
    RULE.about(
        paths,
        format!("{what} the import of the image"),
        "remove it in the RUN that makes it, and let a tmpfiles.d line (p, c, b) make it at boot",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_fifo_in_usr_is_found_and_one_in_run_is_not() {
        let fixture = Fixture::new().fifo("usr/lib/acme/control").fifo("run/acme");
        assert_eq!(fixture.paths_of(&RULE), ["/usr/lib/acme/control"]);
    }

    #[test]
    fn files_and_links_are_no_special_files() {
        let fixture = Fixture::new().file("usr/bin/a", "").link("usr/bin/b", "a");
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
