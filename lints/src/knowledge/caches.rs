//! Caches of package managers and of the tools that builds call.

use super::{NOVEMBER, Source, read};

/// A directory that holds a cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Relative to the root.
    pub path: &'static str,
    /// Whether a commit empties it after each RUN: it is large, and the package manager fills it again by itself.
    pub is_emptied: bool,
    /// Whether the package manager makes its directories again whenever it runs, so that no line need declare them.
    pub is_made_again: bool,
    /// Whether it holds what was downloaded, which no machine needs.
    pub is_downloaded: bool,
    /// Where this is from.
    pub source: Source,
}

/// All that is known, in path order.
pub const CACHES: [Cache; 15] = [
    downloads(
        "root/.cache",
        read("XDG Base Directory Specification 0.8", NOVEMBER),
    ),
    downloads("root/.npm/_cacache", read("npm-cache(1)", NOVEMBER)),
    manager("var/cache/apt", read("apt.conf(5), Dir::Cache", NOVEMBER)),
    Cache {
        is_emptied: false,
        is_downloaded: false,
        // What dpkg-preconfigure(8) unpacks; debconf's database is a row of `databases`.
        ..manager("var/cache/debconf", read("debconf.conf(5)", NOVEMBER))
    },
    manager("var/cache/dnf", read("dnf.conf(5), cachedir", NOVEMBER)),
    manager(
        "var/cache/libdnf5",
        read("dnf5.conf(5), system_cachedir", NOVEMBER),
    ),
    Cache {
        is_emptied: false,
        is_downloaded: false,
        ..manager(
            "var/cache/pacman",
            read("pacman.conf(5), CacheDir", NOVEMBER),
        )
    },
    manager(
        "var/cache/pacman/pkg",
        read("pacman.conf(5), CacheDir", NOVEMBER),
    ),
    manager(
        "var/cache/rpm-ostree",
        read("rpm-ostree, RPMOSTREE_CORE_CACHEDIR", NOVEMBER),
    ),
    manager("var/cache/yum", read("yum.conf(5), cachedir", NOVEMBER)),
    manager("var/cache/zypp", read("zypp.conf, cachedir", NOVEMBER)),
    downloads(APT_LISTS, read("apt.conf(5), Dir::State::lists", NOVEMBER)),
    downloads(
        "var/lib/pacman/sync",
        read("pacman.conf(5), DBPath", NOVEMBER),
    ),
    downloads(
        "var/roothome/.cache",
        read("XDG Base Directory Specification 0.8", NOVEMBER),
    ),
    downloads("var/roothome/.npm/_cacache", read("npm-cache(1)", NOVEMBER)),
];

/// apt's package lists.
pub const APT_LISTS: &str = "var/lib/apt/lists";

const fn downloads(path: &'static str, source: Source) -> Cache {
    Cache {
        path,
        is_emptied: false,
        is_made_again: false,
        is_downloaded: true,
        source,
    }
}

const fn manager(path: &'static str, source: Source) -> Cache {
    Cache {
        is_emptied: true,
        is_made_again: true,
        ..downloads(path, source)
    }
}
