//! What the tables of the lints know by name below /var, as the commit asks for it.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::knowledge::{
    caches::{APT_LISTS, CACHES},
    leftovers,
};

/// Why an entry other than a directory, given by its path relative to the root, is not kept.
pub(super) fn leftover_reason(path: &Path) -> Option<&'static str> {
    leftovers::reason(path.as_os_str().as_bytes())
}

/// Why an entry, were it a directory, is not kept.
pub(super) fn scratch_reason(path: &Path) -> Option<&'static str> {
    leftovers::reason_of_directory(path.as_os_str().as_bytes())
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
