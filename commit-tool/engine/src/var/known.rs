//! What is known by name below /var: what package managers leave behind, what a machine makes by
//! itself, and the databases that packages need again. Never by guess.

use std::{
    cell::LazyCell,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Entries that are not kept; paths are relative to /var.
struct Leftover {
    /// `*` stands for any part of one name, `**` at the end for all that is below.
    pattern: &'static str,
    /// How many bytes stand before the first `*`.
    literal: usize,
    reason: &'static str,
}

const LISTS: &str = "package lists, downloaded again when they are needed";
const LOCK: &str = "a lock of a package manager";
const BACKUP: &str = "a backup of dpkg";
const HISTORY: &str = "the history of the build's package manager";
const OWN: &str = "each machine makes its own";

/// Files, links and special files; directories are kept.
const LEFTOVERS: &[Leftover] = &[
    leftover("lib/apt/lists/**", LISTS),
    leftover("lib/apt/daily_lock", LOCK),
    leftover("lib/apt/periodic/*", HISTORY),
    leftover("lib/dnf/*.pid", LOCK),
    leftover("lib/yum/history/**", HISTORY),
    leftover("lib/pacman/sync/**", LISTS),
    leftover("lib/pacman/db.lck", LOCK),
    leftover("lib/dpkg/lock*", LOCK),
    leftover("lib/dpkg/triggers/Lock", LOCK),
    leftover("lib/dpkg/*-old", BACKUP),
    leftover("lib/rpm/.rpm.lock", LOCK),
    leftover("lib/dbus/machine-id", OWN),
    // systemd-random-seed.service, systemd-journal-catalog-update.service.
    leftover("lib/systemd/random-seed", OWN),
    leftover("lib/systemd/catalog/database", OWN),
    // rabbitmq-server makes both when it starts (rabbit_nodes, mnesia).
    leftover("lib/rabbitmq/.erlang.cookie", OWN),
    leftover("lib/rabbitmq/mnesia/**", OWN),
    // NetworkManager(8): a secret that tells one machine from another.
    leftover("lib/NetworkManager/secret_key", OWN),
];

const fn leftover(pattern: &'static str, reason: &'static str) -> Leftover {
    let bytes = pattern.as_bytes();
    let mut literal = 0;
    while literal < bytes.len() && bytes[literal] != b'*' {
        literal += 1;
    }
    Leftover {
        pattern,
        literal,
        reason,
    }
}

const TRANSACTION: &str = "what scriptlets of one transaction tell each other";

/// Of these, directories go as well.
const SCRATCH: &[Leftover] = &[
    // Without a history in it; dnf makes it again.
    leftover("lib/dnf", HISTORY),
    // What a plugin copies there of what was installed.
    leftover("lib/dnf/plugins", HISTORY),
    leftover("lib/dnf/plugins/**", HISTORY),
    // When repositories last counted the machine.
    leftover("lib/dnf/repos", HISTORY),
    leftover("lib/dnf/repos/**", HISTORY),
    leftover("lib/rpm-state", TRANSACTION),
    leftover("lib/rpm-state/**", TRANSACTION),
];

/// Why an entry other than a directory, given by its path relative to the root, is not kept.
pub(super) fn leftover_reason(path: &Path) -> Option<&'static str> {
    known_reason(LEFTOVERS, path).or_else(|| scratch_reason(path))
}

/// Why an entry, were it a directory, is not kept.
pub(super) fn scratch_reason(path: &Path) -> Option<&'static str> {
    known_reason(SCRATCH, path)
}

fn known_reason(known: &[Leftover], path: &Path) -> Option<&'static str> {
    let below = path.as_os_str().as_bytes().strip_prefix(b"var/")?;
    // Most paths differ before any `*`, and this is asked of each.
    let starts =
        |leftover: &Leftover| below.starts_with(&leftover.pattern.as_bytes()[..leftover.literal]);
    let mut known = known.iter().filter(|leftover| starts(leftover));
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

/// A database that a package manager needs again in a later step and that describes /usr, so it
/// travels with it: a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Database {
    /// Relative to the root.
    pub(super) path: &'static str,
    /// Where it goes, relative to the root.
    pub(super) home: &'static str,
    /// Where it goes instead if an image has this directory.
    pub(super) other_home: Option<&'static str>,
}

pub(super) const DATABASES: &[Database] = &[
    // debconf keeps its database in a cache, of all places, which every commit empties.
    database("var/cache/debconf", "usr/lib/sysimage/debconf"),
    Database {
        // Of chkconfig 1.30 and newer, which looks there only where the old directory is missing.
        other_home: Some("etc/alternatives-admindir"),
        ..database("var/lib/alternatives", "usr/lib/sysimage/alternatives")
    },
    // dnf 4: what it installed, and why.
    database("var/lib/dnf", "usr/lib/sysimage/dnf"),
    database("var/lib/dpkg", "usr/lib/sysimage/dpkg"),
    database("var/lib/pacman", "usr/lib/sysimage/pacman"),
    database("var/lib/pam", "usr/lib/sysimage/pam"),
    database("var/lib/rpm", "usr/lib/sysimage/rpm"),
    // Which units Debian's packages have enabled, masked and so on.
    database(
        "var/lib/systemd/deb-systemd-helper-enabled",
        "usr/lib/sysimage/deb-systemd-helper-enabled",
    ),
    database(
        "var/lib/systemd/deb-systemd-helper-masked",
        "usr/lib/sysimage/deb-systemd-helper-masked",
    ),
    database(
        "var/lib/systemd/deb-systemd-user-helper-enabled",
        "usr/lib/sysimage/deb-systemd-user-helper-enabled",
    ),
    database("var/lib/ucf", "usr/lib/sysimage/ucf"),
    // zypper: what it installed as a dependency, and the repositories' services.
    database("var/lib/zypp", "usr/lib/sysimage/zypp"),
];

const fn database(path: &'static str, home: &'static str) -> Database {
    Database {
        path,
        home,
        other_home: None,
    }
}

impl Database {
    /// Where the link in its place points to if it is at this home.
    pub(super) fn link_target(&self, home: &str) -> Vec<u8> {
        let depth = Path::new(self.path).components().count() - 1;
        ("../".repeat(depth) + home).into_bytes()
    }
}

/// Caches of package managers, which make them again whenever they run: no line is needed for their directories.
const PACKAGE_MANAGERS: [&str; 8] = [
    "var/cache/apt",
    // What dpkg-preconfigure(8) unpacks; debconf's database is a matter of its own.
    "var/cache/debconf",
    "var/cache/dnf",
    "var/cache/libdnf5",
    "var/cache/pacman",
    "var/cache/rpm-ostree",
    "var/cache/yum",
    "var/cache/zypp",
];

/// Whether a path is of the cache of a package manager.
pub(super) fn is_package_cache(path: &Path) -> bool {
    let mut caches = PACKAGE_MANAGERS.iter();
    path.starts_with(CACHE) && caches.any(|cache| path.starts_with(cache))
}

/// apt's package lists.
pub(super) const APT_LISTS: &str = "var/lib/apt/lists";

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

    #[test]
    fn databases_are_linked_to_where_they_went() {
        assert_eq!(
            DATABASES[0].link_target(DATABASES[0].home),
            b"../../usr/lib/sysimage/debconf"
        );
        let helper = DATABASES
            .iter()
            .find(|known| known.path.ends_with("r-enabled"));
        let helper = helper.expect("one");
        let target = helper.link_target(helper.home);
        assert!(target.starts_with(b"../../../usr/lib/sysimage/deb-systemd-"));
    }
}
