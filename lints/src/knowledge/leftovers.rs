//! What programs leave in /var during a build and no machine needs.

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

/// Package lists.
pub const LISTS: &str = "package lists, downloaded again when they are needed";
/// A lock.
pub const LOCK: &str = "a lock of a package manager";
/// dpkg's backups.
pub const BACKUP: &str = "a backup of dpkg";
const HISTORY: &str = "the history of the build's package manager";
const OWN: &str = "each machine makes its own";
const TRANSACTION: &str = "what scriptlets of one transaction tell each other";

/// All that is known.
pub const LEFTOVERS: [Leftover; 24] = [
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
        "lib/dbus/machine-id",
        OWN,
        read("dbus-uuidgen(1)", NOVEMBER),
    ),
    entries(
        "lib/systemd/random-seed",
        OWN,
        read("systemd-random-seed.service(8)", NOVEMBER),
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
    entries(
        "lib/NetworkManager/secret_key",
        OWN,
        read("NetworkManager(8), secret_key", NOVEMBER),
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

/// Beginnings of paths below which is a cache, a log or a lock: nothing that a machine needs from the image.
pub const TRANSIENT: [(&str, Source); 7] = [
    (
        "var/cache/",
        read("file-hierarchy(7), /var/cache/", NOVEMBER),
    ),
    (
        "var/lib/apt/lists/",
        read("apt.conf(5), Dir::State::lists", NOVEMBER),
    ),
    ("var/lib/dnf/", read("dnf.conf(5), persistdir", NOVEMBER)),
    (
        "var/lib/systemd/catalog/",
        read("journalctl(1), --update-catalog", NOVEMBER),
    ),
    (
        "var/lib/systemd/random-seed",
        read("systemd-random-seed.service(8)", NOVEMBER),
    ),
    ("var/log/", read("file-hierarchy(7), /var/log/", NOVEMBER)),
    ("var/tmp/", read("file-hierarchy(7), /var/tmp/", NOVEMBER)),
];
