//! # What it does
//! Finds locks and backups of the account files: /etc/.pwd.lock, /etc/passwd.lock, /etc/shadow- and
//! so on.
//!
//! # Why it breaks
//! A lock of shadow's tools names a process. If a process with that id runs on the host, `useradd`
//! stops there. Backups show old passwords. All these files differ from build to build.
//!
//! # Example
//! ```dockerfile
//! RUN useradd acme
//! ```
//!
//! # Fix
//! Remove them in the same RUN:
//! ```dockerfile
//! RUN rm -f /etc/.pwd.lock /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- \
//!     /etc/subuid- /etc/subgid-
//! ```

use super::{Check, EntryCheck, Rule, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-lock-file",
    severity: Severity::Info,
    summary: "a lock or a backup of an account file is in the image",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

const ACCOUNT_FILES: [&[u8]; 6] = [
    b"group", b"gshadow", b"passwd", b"shadow", b"subgid", b"subuid",
];

fn holds(entry: &Entry<'_>) -> bool {
    let Some(name) = entry.below("etc") else {
        return false;
    };
    let of_account_file =
        |end: &[u8]| (name.strip_suffix(end)).is_some_and(|name| ACCOUNT_FILES.contains(&name));
    entry.meta.kind == Kind::File
        && (name == b".pwd.lock" || of_account_file(b"-") || of_account_file(b".lock"))
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "lock or backup", "locks or backups");
    RULE.about(
        paths,
        format!("{what} of the account files in the image"),
        "`rm -f /etc/.pwd.lock /etc/passwd- /etc/shadow- /etc/group- /etc/gshadow-` in the same RUN",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn locks_and_backups_are_told() {
        let tree = Fixture::new().file("etc/.pwd.lock", "");
        let tree = tree.file("etc/shadow-", "").file("etc/group.lock", "1");
        let found = ["/etc/.pwd.lock", "/etc/group.lock", "/etc/shadow-"];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn the_files_themselves_are_right() {
        let tree = Fixture::new().file("etc/shadow", "").file("etc/acme-", "");
        assert_eq!(tree.file("usr/etc/x.lock", "").findings_of(&RULE), []);
    }
}
