//! # What it does
//! Finds files that stand where programs expect a configuration directory:
//!
//! - bootc's kargs.d
//! - systemd's tmpfiles.d, sysusers.d and presets
//! - directories of drop-ins, `.wants` and `.requires`
//! - directories of other programs in /etc
//!
//! `COPY` creates such a file if the directory does not exist and the destination does not end in a
//! slash.
//!
//! # Why it breaks
//! Each bootc installation and each bootc upgrade stops at such a file. If systemd looks for the
//! directory, it ignores the file: the unit is not enabled, the account not created. For
//! directories of other programs this is a warning. Perhaps no program reads them.
//!
//! # Example
//! ```dockerfile
//! COPY 10-console.toml /usr/lib/bootc/kargs.d
//! ```
//!
//! # Fix
//! End the destination in a slash:
//! ```dockerfile
//! COPY 10-console.toml /usr/lib/bootc/kargs.d/
//! ```

use std::path::Path;

use super::{Check, Rule};
use crate::model::unit_name::UnitName;
use crate::tree::Kind;
use crate::units;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-directory-is-file",
    severity: Severity::Error,
    summary: "a file stands where programs expect a configuration directory",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// What comes of a file in the place of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Its reader ends with an error.
    Stops(&'static str),
    /// Its reader goes on without it.
    Ignored,
    /// Nobody may read it.
    Unknown,
}

/// Directories of bootc, which it opens without asking what they are.
const OF_BOOTC: [&str; 3] = [
    "usr/lib/bootc/bound-images.d",
    "usr/lib/bootc/install",
    "usr/lib/bootc/kargs.d",
];

/// Where systemd's and the kernel's tools have their configuration.
const TOPS: [&str; 3] = ["etc", "usr/lib", "usr/local/lib"];

/// Directories in each of them (`CONF_PATHS` of systemd and of kmod; systemd-udevd, kernel-install).
const OF_SYSTEMD: [&str; 30] = [
    "binfmt.d",
    "credstore",
    "credstore.encrypted",
    "depmod.d",
    "environment.d",
    "extension-release.d",
    "kernel/install.d",
    "modprobe.d",
    "modules-load.d",
    "repart.d",
    "sysctl.d",
    "systemd/dnssd",
    "systemd/network",
    "systemd/nspawn",
    "systemd/ntp-units.d",
    "systemd/sysext",
    "systemd/system",
    "systemd/system-environment-generators",
    "systemd/system-generators",
    "systemd/system-preset",
    "systemd/system-shutdown",
    "systemd/system-sleep",
    "systemd/user",
    "systemd/user-environment-generators",
    "systemd/user-generators",
    "systemd/user-preset",
    "sysusers.d",
    "tmpfiles.d",
    "udev/hwdb.d",
    "udev/rules.d",
];

/// Directories of other programs.
const OF_OTHERS: [&str; 36] = [
    "etc/NetworkManager/conf.d",
    "etc/NetworkManager/dispatcher.d",
    "etc/NetworkManager/system-connections",
    "etc/X11/xorg.conf.d",
    "etc/apt/apt.conf.d",
    "etc/apt/keyrings",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg.d",
    "etc/audit/rules.d",
    "etc/chrony/conf.d",
    "etc/chrony/sources.d",
    "etc/containers/containers.conf.d",
    "etc/containers/registries.conf.d",
    "etc/containers/registries.d",
    "etc/containers/systemd",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/dbus-1/system.d",
    "etc/dconf/db/local.d",
    "etc/dracut.conf.d",
    "etc/ld.so.conf.d",
    "etc/logrotate.d",
    "etc/pam.d",
    "etc/pki/ca-trust/source/anchors",
    "etc/pki/rpm-gpg",
    "etc/polkit-1/rules.d",
    "etc/profile.d",
    "etc/rsyslog.d",
    "etc/security/limits.d",
    "etc/skel",
    "etc/ssh/ssh_config.d",
    "etc/ssh/sshd_config.d",
    "etc/sudoers.d",
    "etc/xdg/autostart",
    "etc/yum.repos.d",
];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let of_bootc = OF_BOOTC.map(|path| (path.to_owned(), Effect::Stops("bootc")));
    let of_systemd = TOPS.iter().flat_map(|top| {
        let own = OF_SYSTEMD.iter();
        own.map(move |path| (format!("{top}/{path}"), Effect::Ignored))
    });
    let of_others = OF_OTHERS.map(|path| (path.to_owned(), Effect::Unknown));
    let beside_units = beside_units(image).into_iter();
    let in_a_unit_directory = beside_units.map(|path| (path, Effect::Ignored));
    (of_bootc.into_iter())
        .chain(of_systemd)
        .chain(of_others)
        .chain(in_a_unit_directory)
        .filter_map(|(path, effect)| finding(image, &path, effect))
        .collect()
}

/// What stands beside units and is to be a directory of drop-ins or of links, and in /etc/systemd what its name
/// says so of (`journald.conf.d`).
fn beside_units(image: &Image<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for directory in units::DIRECTORIES {
        for name in image.names(directory) {
            let Some((of, end)) = name.rsplit_once('.') else {
                continue;
            };
            let is_directory = match end {
                "wants" | "requires" | "upholds" => UnitName::parse(of).is_some(),
                // `service.d` is of all services.
                "d" => {
                    UnitName::parse(of).is_some() || UnitName::parse(&format!("a.{of}")).is_some()
                }
                _ => false,
            };
            if is_directory {
                paths.push(format!("{directory}/{name}"));
            }
        }
    }
    for top in TOPS {
        let names = image.names(&format!("{top}/systemd")).into_iter();
        let drop_ins = names.filter(|name| name.ends_with(".conf.d"));
        paths.extend(drop_ins.map(|name| format!("{top}/systemd/{name}")));
    }
    paths
}

fn finding(image: &Image<'_>, path: &str, effect: Effect) -> Option<Finding> {
    let meta = image.tree.follow(path.as_bytes()).ok().flatten()?;
    if meta.kind != Kind::File {
        return None;
    }
    // An empty file says nothing that could be ignored.
    let (what, severity) = match effect {
        Effect::Stops(who) => (
            format!("stops each {who} install and upgrade"),
            RULE.severity,
        ),
        _ if meta.size == 0 => return None,
        Effect::Ignored => ("is ignored".to_owned(), RULE.severity),
        Effect::Unknown => (
            "is not what programs look for".to_owned(),
            Severity::Warning,
        ),
    };
    let path = format!("/{}", escape_path(path.as_bytes()));
    let name = Path::new(&path).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let finding = RULE.finding(
        format!("{path} is a file, not a directory, and {what}"),
        format!("end the destination in a slash: `COPY FILE {path}/` puts the file into {name}"),
        vec![path],
    );
    Some(Finding {
        severity,
        ..finding
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn severities(path: &str) -> Vec<Severity> {
        let found = Fixture::new().file(path, "x\n").findings_of(&RULE);
        found.iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn a_file_that_copy_made_in_the_place_of_a_directory_is_told() {
        let fixture = Fixture::new().file("usr/lib/bootc/kargs.d", "kargs = [\"quiet\"]\n");
        let found = fixture.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "/usr/lib/bootc/kargs.d is a file, not a directory, and stops each bootc install and upgrade"
        );
        assert_eq!(
            found[0].help,
            "end the destination in a slash: `COPY FILE /usr/lib/bootc/kargs.d/` puts the file into kargs.d"
        );
        assert_eq!(found[0].paths, ["/usr/lib/bootc/kargs.d"]);
        let unreadable = &super::super::input_unreadable::RULE;
        assert_eq!(fixture.findings_of(unreadable), []);
    }

    #[test]
    fn what_systemd_surely_ignores_fails_a_build() {
        for path in [
            "usr/lib/systemd/system-preset",
            "etc/systemd/user-preset",
            "usr/lib/tmpfiles.d",
            "etc/sysusers.d",
            "etc/modules-load.d",
            "usr/lib/sysctl.d",
            "etc/udev/rules.d",
            "etc/systemd/journald.conf.d",
            "etc/systemd/system/acme.service.d",
            "etc/systemd/system/service.d",
            "etc/systemd/system/multi-user.target.wants",
            "usr/lib/systemd/system/acme@.service.requires",
        ] {
            assert_eq!(severities(path), [Severity::Error], "{path}");
        }
    }

    #[test]
    fn what_other_programs_may_not_read_warns() {
        for path in ["etc/sudoers.d", "etc/containers/systemd", "etc/cron.d"] {
            assert_eq!(severities(path), [Severity::Warning], "{path}");
        }
    }

    #[test]
    fn directories_links_to_them_and_other_names_are_right() {
        let fixture = Fixture::new()
            .file("usr/lib/bootc/kargs.d/a.toml", "kargs = []\n")
            .file("usr/share/acme/system-preset", "")
            .link("etc/sysctl.d", "../usr/share/acme")
            .link("etc/tmpfiles.d", "/gone")
            .file("etc/systemd/system/acme.service", "[Service]\n")
            .file("etc/systemd/system/README.d", "not of a unit")
            .file("etc/modules-load.d", "");
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
