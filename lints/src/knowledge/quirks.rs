//! What boots have shown of single packages, that nothing in an image tells: the only place where a
//! prediction knows packages by their names. A prediction can be made without them
//! ([`crate::Image::without_quirks`]), to tell what it is worth for packages that nobody has looked at.

use super::{NOVEMBER, Source, read};

/// What is known of one package.
struct Quirk {
    package: &'static str,
    /// A directory, or a user's name.
    what: &'static [u8],
    kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "it is for who reads the table"))]
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A directory that the package's services do not start without, though no configuration names it; of
    /// another package in the end.
    Indispensable,
    /// A directory that is configured and done without.
    Dispensable,
    /// A user that the package makes for what its service may be set up to do, and starts without.
    OptionalUser,
}

const BOOT_LIST: Source = read("boot-rate, list of packages, Debian 13", NOVEMBER);
const NSPAWN: Source = read("a boot without that user, Debian 13", NOVEMBER);

/// All of them.
const QUIRKS: [Quirk; 11] = [
    indispensable("anacron", b"/var/spool/anacron"),
    indispensable("at", b"/var/spool/cron/atspool"),
    indispensable("nfs-kernel-server", b"/var/lib/nfs"),
    indispensable("samba", b"/var/lib/samba"),
    indispensable("squid", b"/var/log/squid"),
    indispensable("winbind", b"/var/lib/samba"),
    dispensable("rsyslog", b"/var/spool/rsyslog"),
    dispensable("sysstat", b"/var/log/sysstat"),
    optional_user("lightdm", b"lightdm"),
    optional_user("vsftpd", b"ftp"),
    optional_user("xrdp", b"xrdp"),
];

const fn indispensable(package: &'static str, directory: &'static [u8]) -> Quirk {
    Quirk {
        package,
        what: directory,
        kind: Kind::Indispensable,
        source: BOOT_LIST,
    }
}

const fn dispensable(package: &'static str, directory: &'static [u8]) -> Quirk {
    Quirk {
        kind: Kind::Dispensable,
        ..indispensable(package, directory)
    }
}

const fn optional_user(package: &'static str, user: &'static [u8]) -> Quirk {
    Quirk {
        package,
        what: user,
        kind: Kind::OptionalUser,
        source: NSPAWN,
    }
}

#[cfg(test)]
pub(super) fn rows() -> Vec<(String, Source)> {
    let row = |quirk: &Quirk| (quirk.package.to_owned(), quirk.source);
    QUIRKS.iter().map(row).collect()
}

/// The quirks that a prediction takes into account: all, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Quirks {
    /// All.
    #[default]
    Known,
    /// None.
    Ignored,
}

impl Quirks {
    fn of(self, kind: Kind) -> impl Iterator<Item = &'static Quirk> {
        let is_known = self == Self::Known;
        QUIRKS
            .iter()
            .filter(move |quirk| is_known && quirk.kind == kind)
    }

    fn has(self, kind: Kind, package: &str, what: &[u8]) -> bool {
        let mut all = self.of(kind);
        all.any(|quirk| quirk.package == package && quirk.what == what)
    }

    /// The directories that a package's services do not start without.
    pub(crate) fn indispensable(self, package: &str) -> impl Iterator<Item = &'static [u8]> {
        let all = self.of(Kind::Indispensable);
        all.filter(move |quirk| quirk.package == package)
            .map(|quirk| quirk.what)
    }

    /// Whether a package's services do not start without a directory.
    pub(crate) fn is_indispensable(self, package: &str, directory: &[u8]) -> bool {
        self.has(Kind::Indispensable, package, directory)
    }

    /// Whether they start without one that is configured.
    pub(crate) fn is_dispensable(self, package: &str, directory: &[u8]) -> bool {
        self.has(Kind::Dispensable, package, directory)
    }

    /// Whether they start without a user that the package makes.
    pub(crate) fn is_optional_user(self, package: &str, user: &[u8]) -> bool {
        self.has(Kind::OptionalUser, package, user)
    }
}
