//! # What it does
//! Looks for what package managers have downloaded: package lists, packages, caches of dnf, zypper,
//! pip and npm.
//!
//! # Why it breaks
//! Nothing breaks, but each machine downloads it with the image and has no use for it.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get update && apt-get install -y nginx
//! ```
//!
//! # Fix
//! Remove them in the same RUN (in a later one they stay in the layer), or keep them in a cache mount:
//! ```dockerfile
//! RUN --mount=type=cache,target=/var/cache/dnf --mount=type=cache,target=/root/.cache \
//!     dnf -y install nginx
//! ```

use super::{Check, EntryCheck, Rule, counted};
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

const CACHES: [&str; 14] = [
    "root/.cache",
    "root/.npm/_cacache",
    "var/cache/apt",
    "var/cache/dnf",
    "var/cache/libdnf5",
    "var/cache/pacman/pkg",
    "var/cache/rpm-ostree",
    "var/cache/yum",
    "var/cache/zypp",
    "var/lib/apt/lists",
    "var/lib/pacman/sync",
    "var/roothome/.cache",
    "var/roothome/.npm/_cacache",
    "usr/lib/sysimage/cache/libdnf5",
];

/// Bytes from which on a file is worth a word: locks and marks are smaller.
const MIN_BYTES: u64 = 4096;

fn holds(entry: &Entry<'_>) -> bool {
    let meta = entry.meta;
    let is_large = meta.kind == Kind::File && meta.size >= MIN_BYTES;
    is_large && CACHES.iter().any(|cache| entry.below(cache).is_some())
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
