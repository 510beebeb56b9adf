//! What the tables of the lints know by name below /var, as the commit asks for it.

use std::{
    cell::LazyCell,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::knowledge::{
    caches::{APT_LISTS, CACHES},
    leftovers::{LEFTOVERS, Leftover},
};

/// Why an entry other than a directory, given by its path relative to the root, is not kept.
pub(super) fn leftover_reason(path: &Path) -> Option<&'static str> {
    known_reason(path, |_| true)
}

/// Why an entry, were it a directory, is not kept.
pub(super) fn scratch_reason(path: &Path) -> Option<&'static str> {
    known_reason(path, |leftover| leftover.with_directories)
}

fn known_reason(path: &Path, counts: fn(&Leftover) -> bool) -> Option<&'static str> {
    let below = path.as_os_str().as_bytes().strip_prefix(b"var/")?;
    // Most paths differ before any `*`, and this is asked of each.
    let starts =
        |leftover: &Leftover| below.starts_with(&leftover.pattern.as_bytes()[..leftover.literal]);
    let mut known = LEFTOVERS
        .iter()
        .filter(|leftover| starts(leftover) && counts(leftover));
    let below = LazyCell::new(|| str::from_utf8(below).ok());
    let known = known.find(|leftover| below.is_some_and(|below| matches(leftover.pattern, below)));
    known.map(|leftover| leftover.reason)
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    for part in pattern.split('/') {
        match (part, names.next()) {
            ("**", Some(_)) => return true,
            (part, Some(name)) if name_matches(part, name) => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
    }
}

/// Whether a path is of the cache of a package manager, which makes it again whenever it runs.
pub(super) fn is_package_cache(path: &Path) -> bool {
    let mut caches = CACHES.iter().filter(|cache| cache.is_made_again);
    path.starts_with(CACHE) && caches.any(|cache| path.starts_with(cache.path))
}

/// What other parts of the commit settle: where /opt and /usr/local are, and /var/tmp.
const OTHERS: [&str; 3] = ["var/opt", "var/usrlocal", "var/tmp"];

/// Where files are removed by the commit as a whole.
pub(super) const CACHE: &str = "var/cache";

pub(super) const LOG: &str = "var/log";

pub(super) fn is_of_others(path: &Path) -> bool {
    OTHERS.iter().any(|other| path.starts_with(other)) || path == Path::new(CACHE)
}

/// Whether many parties have their own in a directory: it never is one party's tree. Where apt's
/// lists are, they may stay for a later step.
pub(super) fn is_shared(path: &Path) -> bool {
    path.parent() == Some(&PathBuf::from("var")) || Path::new(APT_LISTS).starts_with(path)
}

#[cfg(test)]
mod tests {
    use osderive_lints::knowledge::leftovers::{BACKUP, LISTS, LOCK};

    use super::*;

    #[test]
    fn leftovers_are_known_by_their_whole_path() {
        let reason = |path| leftover_reason(Path::new(path));
        assert_eq!(
            reason("var/lib/apt/lists/deb.debian.org_InRelease"),
            Some(LISTS)
        );
        assert_eq!(reason("var/lib/apt/lists/auxfiles/x"), Some(LISTS));
        assert_eq!(reason("var/lib/dpkg/lock-frontend"), Some(LOCK));
        assert_eq!(reason("var/lib/dpkg/status-old"), Some(BACKUP));
        assert!(reason("var/lib/rpm-state/a/b").is_some());
        for kept in [
            "var/lib/apt/lists",
            "var/lib/apt/extended_states",
            "var/lib/dpkg/status",
            "var/lib/dpkg/info/lock",
            "var/lib/app/lib/apt/lists/x",
            "var/lib/dnf/history.sqlite",
            "var/lib/rpm-states",
            "etc/lib/apt/lists/x",
        ] {
            assert_eq!(reason(kept), None, "{kept}");
        }
        let directory = |path| scratch_reason(Path::new(path));
        assert!(
            directory("var/lib/rpm-state").is_some() && directory("var/lib/dnf/repos/x").is_some()
        );
        assert_eq!(directory("var/lib/apt/lists/auxfiles"), None);
    }
}
