//! # What it does
//! Finds link targets of more than 1024 bytes, and paths of 4096 bytes and more.
//!
//! # Why it breaks
//! XFS is the usual file system on hosts with Fedora or RHEL. It cannot store a longer target, so
//! the deployment ends with an error there. No program can open a longer path by its name.
//!
//! # Example
//! ```dockerfile
//! RUN ln -s "$(printf '../%.0s' $(seq 400))usr/bin/env" /usr/bin/acme-env
//! ```
//!
//! # Fix
//! Make the target absolute, or as short as it can be: `ln -sr`. Keep directories less deep.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-name-too-long",
    severity: Severity::Warning,
    summary: "a path or a link's target is too long for a machine's file system",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

/// `XFS_SYMLINK_MAXLEN` (the kernel's `fs/xfs/libxfs/xfs_format.h`), in bytes.
const MAX_TARGET: usize = 1024;

/// `PATH_MAX` (the kernel's `include/uapi/linux/limits.h`) with the slash before and the NUL behind.
const MAX_PATH: usize = 4096 - 2;

/// Of a directory that is too deep, only the first entry that is.
fn holds(entry: &Entry<'_>) -> bool {
    let parent = entry.path.len() - entry.name().len();
    (entry.path.len() > MAX_PATH && parent <= MAX_PATH + 1)
        || entry.target.is_some_and(|target| target.len() > MAX_TARGET)
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(
        paths.count,
        "path or link target is",
        "paths or link targets are",
    );
    RULE.about(
        paths,
        format!("{what} too long for a machine (paths: 4095 bytes, targets on XFS: 1024)"),
        "shorten it: `ln -sr` makes the shortest relative target",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn only_longer_targets_than_xfs_stores_are_told() {
        let target = "a".repeat(MAX_TARGET);
        let tree = Fixture::new().link("usr/a", &target);
        assert_eq!(tree.findings_of(&RULE), []);
        let tree = tree.link("usr/b", &format!("{target}a"));
        assert_eq!(tree.paths_of(&RULE), ["/usr/b"]);
    }

    #[test]
    fn the_first_entry_that_is_too_deep_is_told() {
        let holds = |path: String| {
            let meta = crate::tree::Meta {
                kind: crate::tree::Kind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                size: 0,
                links: 2,
                inode: 1,
                device: (0, 0),
            };
            let (path, meta) = (path.as_bytes(), &meta);
            let target = None;
            super::holds(&Entry { path, meta, target })
        };
        let deep = "abc/".repeat(1024);
        assert!(!holds(deep[..MAX_PATH].to_owned()));
        assert!(holds(deep[..4095].to_owned()));
        assert!(!holds(format!("{deep}abc")));
    }
}
