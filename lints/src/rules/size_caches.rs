//! # What it does
//! Finds what package managers have downloaded: package lists, packages, and caches of dnf, zypper,
//! pip and npm.
//!
//! # Why it breaks
//! Nothing breaks. But each host downloads these files with the image, and has no use for them.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get update && apt-get install -y nginx
//! ```
//!
//! # Fix
//! Remove them in the same RUN. If a later RUN removes them, they stay in the parent layer. Or keep
//! them in a cache mount:
//! ```dockerfile
//! RUN --mount=type=cache,target=/var/cache/dnf --mount=type=cache,target=/root/.cache \
//!     dnf -y install nginx
//! ```

use super::{Check, EntryCheck, Rule, counted};
use crate::knowledge::caches::CACHES;
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "size-caches",
    severity: Severity::Info,
    summary: "package managers' downloads are in the image",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

/// Bytes from which on a file is worth a word: locks and marks are smaller.
const MIN_BYTES: u64 = 4096;

fn holds(entry: &Entry<'_>) -> bool {
    let meta = entry.meta;
    let is_large = meta.kind == Kind::File && meta.size >= MIN_BYTES;
    let mut downloads = CACHES.iter().filter(|cache| cache.is_downloaded);
    is_large && downloads.any(|cache| entry.below(cache.path).is_some())
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "downloaded file is", "downloaded files are");
    RULE.about(
        paths,
        format!("{what} in the image that no machine needs"),
        "in the same RUN: `apt-get clean && rm -rf /var/lib/apt/lists/*`, `dnf clean all`, `pip \
         --no-cache-dir`; or `RUN --mount=type=cache,target=/var/cache/dnf …`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn lists_and_packages_are_told() {
        let content = "x".repeat(5000);
        let tree = Fixture::new().file("var/lib/apt/lists/a_Packages", &content);
        let tree = tree.file("var/cache/dnf/a/packages/b.rpm", &content);
        let found = [
            "/var/cache/dnf/a/packages/b.rpm",
            "/var/lib/apt/lists/a_Packages",
        ];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn locks_and_other_caches_are_right() {
        let tree = Fixture::new().file("var/lib/apt/lists/lock", "");
        let tree = tree.file("var/cache/ldconfig/aux-cache", "x".repeat(5000));
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
