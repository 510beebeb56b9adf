//! What programs leave in /var during a build and no machine needs.

use std::cell::LazyCell;

use super::machine::MADE_ANEW;
use super::{NOVEMBER, Source, read};

/// Entries that an image does not keep.
#[derive(Clone, Copy, Debug)]
pub struct Leftover {
    /// Relative to /var. `*` stands for any part of one name, `**` at the end for all that is below.
    pub pattern: &'static str,
    /// How many bytes stand before the first `*`.
    pub literal: usize,
    /// Why, for people.
    pub reason: &'static str,
    /// Whether directories go as well, not only files, links and special files.
    pub with_directories: bool,
    /// Where this is from.
    pub source: Source,
}

const LISTS: &str = "package lists, downloaded again when they are needed";
const LOCK: &str = "a lock of a package manager";
const BACKUP: &str = "a backup of dpkg";
const HISTORY: &str = "the history of the build's package manager";
const OWN: &str = "each machine makes its own";
const TRANSACTION: &str = "what scriptlets of one transaction tell each other";

/// All that is known.
pub const LEFTOVERS: [Leftover; 21] = [
    entries(
        "lib/apt/lists/**",
        LISTS,
        read("apt.conf(5), Dir::State::lists", NOVEMBER),
    ),
    entries(
        "lib/apt/daily_lock",
        LOCK,
        read("apt, apt.systemd.daily", NOVEMBER),
    ),
    entries(
        "lib/apt/periodic/*",
        HISTORY,
        read("apt, apt.systemd.daily", NOVEMBER),
    ),
    entries("lib/dnf/*.pid", LOCK, read("dnf 4, dnf/lock.py", NOVEMBER)),
    entries(
        "lib/yum/history/**",
        HISTORY,
        read("yum 3, yum/history.py", NOVEMBER),
    ),
    entries(
        "lib/pacman/sync/**",
        LISTS,
        read("pacman.conf(5), DBPath", NOVEMBER),
    ),
    entries(
        "lib/pacman/db.lck",
        LOCK,
        read("pacman.conf(5), DBPath", NOVEMBER),
    ),
    entries(
        "lib/dpkg/lock*",
        LOCK,
        read("dpkg, dpkg.h, LOCKFILE and FRONTENDLOCKFILE", NOVEMBER),
    ),
    entries(
        "lib/dpkg/triggers/Lock",
        LOCK,
        read("dpkg, TRIGGERSLOCKFILE", NOVEMBER),
    ),
    entries("lib/dpkg/*-old", BACKUP, read("dpkg(1), Files", NOVEMBER)),
    entries(
        "lib/rpm/.rpm.lock",
        LOCK,
        read("rpm, macros.in, _rpmlock_path", NOVEMBER),
    ),
    entries(
        "lib/systemd/catalog/database",
        OWN,
        read("journalctl(1), --update-catalog", NOVEMBER),
    ),
    entries(
        "lib/rabbitmq/.erlang.cookie",
        OWN,
        read("a first start of rabbitmq-server, Debian 13", NOVEMBER),
    ),
    entries(
        "lib/rabbitmq/mnesia/**",
        OWN,
        read("a first start of rabbitmq-server, Debian 13", NOVEMBER),
    ),
    // Without a history in it; dnf makes it again.
    all(
        "lib/dnf",
        HISTORY,
        read("dnf.conf(5), persistdir", NOVEMBER),
    ),
    all(
        "lib/dnf/plugins",
        HISTORY,
        read("builds by dnf 4 on the Fedora-shaped base", NOVEMBER),
    ),
    all(
        "lib/dnf/plugins/**",
        HISTORY,
        read("builds by dnf 4 on the Fedora-shaped base", NOVEMBER),
    ),
    all(
        "lib/dnf/repos",
        HISTORY,
        read("libdnf, repo/Repo.cpp, countme", NOVEMBER),
    ),
    all(
        "lib/dnf/repos/**",
        HISTORY,
        read("libdnf, repo/Repo.cpp, countme", NOVEMBER),
    ),
    all(
        "lib/rpm-state",
        TRANSACTION,
        read("Fedora Packaging Guidelines, Scriptlets", NOVEMBER),
    ),
    all(
        "lib/rpm-state/**",
        TRANSACTION,
        read("Fedora Packaging Guidelines, Scriptlets", NOVEMBER),
    ),
];

const fn entries(pattern: &'static str, reason: &'static str, source: Source) -> Leftover {
    let bytes = pattern.as_bytes();
    let mut literal = 0;
    while literal < bytes.len() && bytes[literal] != b'*' {
        literal += 1;
    }
    Leftover {
        pattern,
        literal,
        reason,
        with_directories: false,
        source,
    }
}

const fn all(pattern: &'static str, reason: &'static str, source: Source) -> Leftover {
    Leftover {
        with_directories: true,
        ..entries(pattern, reason, source)
    }
}

/// Directories, relative to the root, in which all is a cache, a log or a lock.
pub const AREAS: [(&str, Source); 4] = [
    (
        "var/cache",
        read("file-hierarchy(7), /var/cache/", NOVEMBER),
    ),
    ("var/lib/dnf", read("dnf.conf(5), persistdir", NOVEMBER)),
    ("var/log", read("file-hierarchy(7), /var/log/", NOVEMBER)),
    ("var/tmp", read("file-hierarchy(7), /var/tmp/", NOVEMBER)),
];

/// Whether a file, by its path relative to the root, is nothing that a machine needs from the image.
pub fn is_transient(path: &[u8]) -> bool {
    let is_below = |(area, _): &(&str, _)| {
        let rest = path.strip_prefix(area.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    AREAS.iter().any(is_below) || reason(path).is_some()
}

/// Why an entry other than a directory, given by its path relative to the root, is not kept.
pub fn reason(path: &[u8]) -> Option<&'static str> {
    let is_made_anew = || MADE_ANEW.iter().any(|row| row.0.as_bytes() == path);
    known_reason(path, |_| true).or_else(|| is_made_anew().then_some(OWN))
}

/// Why an entry, were it a directory, is not kept.
pub fn reason_of_directory(path: &[u8]) -> Option<&'static str> {
    known_reason(path, |leftover| leftover.with_directories)
}

fn known_reason(path: &[u8], counts: fn(&Leftover) -> bool) -> Option<&'static str> {
    let below = path.strip_prefix(b"var/")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_known_by_their_whole_path() {
        let reason = |path: &str| reason(path.as_bytes());
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
        let directory = |path: &str| reason_of_directory(path.as_bytes());
        assert!(
            directory("var/lib/rpm-state").is_some() && directory("var/lib/dnf/repos/x").is_some()
        );
        assert_eq!(directory("var/lib/apt/lists/auxfiles"), None);
    }
}
