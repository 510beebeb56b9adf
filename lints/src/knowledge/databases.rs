//! Databases in /var that describe /usr, so that they travel with it.

use super::{NOVEMBER, Source, read};

/// A database that a package manager needs again in a later step: a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// Relative to the root.
    pub path: &'static str,
    /// Where it goes, relative to the root.
    pub home: &'static str,
    /// Where it goes instead if an image has this directory.
    pub other_home: Option<&'static str>,
    /// Where this is from.
    pub source: Source,
}

impl Database {
    /// Where the link in its place points to if it is at this home.
    pub fn link_target(&self, home: &str) -> Vec<u8> {
        let depth = self.path.split('/').count() - 1;
        ("../".repeat(depth) + home).into_bytes()
    }
}

/// All that are known.
pub const DATABASES: [Database; 12] = [
    // debconf keeps its database in a cache, of all places, which every commit empties.
    database(
        "var/cache/debconf",
        "usr/lib/sysimage/debconf",
        read("debconf.conf(5)", NOVEMBER),
    ),
    Database {
        other_home: Some("etc/alternatives-admindir"),
        ..database(
            "var/lib/alternatives",
            "usr/lib/sysimage/alternatives",
            // The other one only where the old directory is missing.
            read("chkconfig 1.30, alternatives.c", NOVEMBER),
        )
    },
    // What it installed, and why.
    database(
        "var/lib/dnf",
        "usr/lib/sysimage/dnf",
        read("dnf.conf(5), persistdir", NOVEMBER),
    ),
    database(
        "var/lib/dpkg",
        "usr/lib/sysimage/dpkg",
        read("dpkg(1), --admindir", NOVEMBER),
    ),
    database(
        "var/lib/pacman",
        "usr/lib/sysimage/pacman",
        read("pacman.conf(5), DBPath", NOVEMBER),
    ),
    database(
        "var/lib/pam",
        "usr/lib/sysimage/pam",
        read("pam-auth-update(8)", NOVEMBER),
    ),
    database(
        "var/lib/rpm",
        "usr/lib/sysimage/rpm",
        read("rpm, macros.in, _dbpath", NOVEMBER),
    ),
    // Which units Debian's packages have enabled, masked and so on.
    database(
        "var/lib/systemd/deb-systemd-helper-enabled",
        "usr/lib/sysimage/deb-systemd-helper-enabled",
        read("deb-systemd-helper(1p)", NOVEMBER),
    ),
    database(
        "var/lib/systemd/deb-systemd-helper-masked",
        "usr/lib/sysimage/deb-systemd-helper-masked",
        read("deb-systemd-helper(1p)", NOVEMBER),
    ),
    database(
        "var/lib/systemd/deb-systemd-user-helper-enabled",
        "usr/lib/sysimage/deb-systemd-user-helper-enabled",
        read("deb-systemd-helper(1p)", NOVEMBER),
    ),
    database(
        "var/lib/ucf",
        "usr/lib/sysimage/ucf",
        read("ucf(1), --state-dir", NOVEMBER),
    ),
    // What it installed as a dependency, and the repositories' services.
    database(
        "var/lib/zypp",
        "usr/lib/sysimage/zypp",
        read("libzypp, AutoInstalled in /var/lib/zypp", NOVEMBER),
    ),
];

const fn database(path: &'static str, home: &'static str, source: Source) -> Database {
    Database {
        path,
        home,
        other_home: None,
        source,
    }
}

/// dnf's histories, which are databases of SQLite: dnf5's, and that of dnf 4 where it is and where it moves to.
pub const HISTORIES: [(&str, Source); 3] = [
    (
        "usr/lib/sysimage/libdnf5/transaction_history.sqlite",
        read("dnf5.conf(5), system_state_dir", NOVEMBER),
    ),
    (
        "usr/lib/sysimage/dnf/history.sqlite",
        read("our row of var/lib/dnf", NOVEMBER),
    ),
    (
        "var/lib/dnf/history.sqlite",
        read("dnf 4, dnf/db/history.py", NOVEMBER),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

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
