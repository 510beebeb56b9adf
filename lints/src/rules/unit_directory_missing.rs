//! # What it does
//! Finds services that need a directory, but nothing creates it before they start. They need it:
//!
//! - to run in (`WorkingDirectory=`, `RootDirectory=`)
//! - to see (`ReadWritePaths=`, `BindPaths=` and the like without `-`)
//! - to write their output to (`StandardOutput=append:…`)
//!
//! A path below another one of the same setting, or of `ProtectSystem=`, adds nothing. systemd does
//! not look for it.
//!
//! It is an error only if the path leads into /usr, because nothing changes /usr on a host.
//! Elsewhere, as in /var or /etc, it is a warning. A program may create the directory at boot, and
//! an upgraded host keeps what it had. A unit that its package ships like this gets a warning only.
//! It fails on ordinary systems too.
//!
//! # Why it breaks
//! systemd does not start the service: 200/CHDIR, 226/NAMESPACE or 209/STDOUT. On a newly installed
//! host /var is empty but for what the image declares. On an upgraded host it is what it was
//! before.
//!
//! # Example
//! ```dockerfile
//! RUN mkdir /var/lib/acme    # and the service has ReadWritePaths=/var/lib/acme
//! ```
//!
//! # Fix
//! Have the service create it: `StateDirectory=acme` in a drop-in. Or have boot create it:
//! ```ini
//! # /usr/lib/tmpfiles.d/acme.conf
//! d /var/lib/acme 0750 acme acme
//! ```

use super::{Check, Rule};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-directory-missing",
    severity: Severity::Error,
    summary: "a service names a directory that nothing makes",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    RULE.predicted(image, |prediction| {
        let (message, path) = match &prediction.reason {
            Reason::WorkingDirectory(path) => (format!("there is no directory {path}"), path),
            Reason::Namespace { key, path } => {
                (format!("there is no {path}, which {key}= names"), path)
            }
            Reason::Output(path) => (format!("there is no directory for {path}"), path),
            _ => return None,
        };
        let mut directory = path.as_str();
        if matches!(prediction.reason, Reason::Output(_)) {
            directory = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        }
        let help = match directory.strip_prefix("/var/lib/") {
            Some(name) => format!(
                "add StateDirectory={name} to the unit, or a line to tmpfiles.d: `d {directory} \
                 0755 USER GROUP`"
            ),
            None => format!("add a line to tmpfiles.d: `d {directory} 0755 USER GROUP`"),
        };
        Some((message, help))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn messages(text: &str) -> Vec<String> {
        fixture(text).messages_of(&RULE)
    }

    fn fixture(text: &str) -> Fixture {
        Fixture::new()
            .program("usr/bin/true")
            .program("bin/sh")
            .directory("usr/share/acme")
            .directory("var/lib/built")
            .link("srv", "var/srv")
            .file(
                "usr/lib/tmpfiles.d/a.conf",
                "d /srv/made\nd /var/lib/made/deep\n",
            )
            .file(
                "etc/fstab",
                "# device\n/dev/sdb /srv/disk ext4 defaults 0 0\n",
            )
            .service(
                "acme",
                &format!("[Service]\nExecStart=/usr/bin/true\n{text}"),
            )
    }

    #[test]
    fn a_directory_that_nothing_makes_is_found() {
        let found = |text: &str, message: &str| assert_eq!(messages(text), [message], "{text}");
        found(
            "WorkingDirectory=/var/lib/acme",
            "acme.service fails on every machine (200/CHDIR): there is no directory /var/lib/acme, \
             unless something makes it first",
        );
        found(
            "ReadWritePaths=/srv/made -/srv/a /srv/b",
            "acme.service fails on every machine (226/NAMESPACE): there is no /srv/b, which \
             ReadWritePaths= names, unless something makes it first",
        );
        found(
            "BindPaths=/var/lib/built:/x",
            "acme.service fails on machines upgraded to the image (226/NAMESPACE): there is no \
             /var/lib/built, which BindPaths= names, unless something makes it first",
        );
        found(
            "StandardOutput=append:/var/log/acme/log",
            "acme.service fails on every machine (209/STDOUT): there is no directory for \
             /var/log/acme/log, unless something makes it first",
        );
        found(
            "ReadOnlyPaths=/usr/share/gone",
            "acme.service fails on every machine (226/NAMESPACE): there is no /usr/share/gone, \
             which ReadOnlyPaths= names",
        );
    }

    #[test]
    fn only_what_is_missing_in_usr_is_surely_missing() {
        let severity = |text: &str| {
            let found = fixture(text).findings_of(&RULE);
            found.first().map(|finding| finding.severity)
        };
        let error = Some(Severity::Error);
        assert_eq!(severity("WorkingDirectory=/usr/share/gone"), error);
        let warning = Some(Severity::Warning);
        for unknown in [
            "WorkingDirectory=/var/lib/acme",
            "WorkingDirectory=/etc/acme",
            "WorkingDirectory=/usr/share/gone\nExecCondition=/usr/bin/true",
            "WorkingDirectory=/usr/share/gone\n[Unit]\nConditionSecurity=selinux",
        ] {
            assert_eq!(severity(unknown), warning, "{unknown}");
        }
        let extended = fixture("WorkingDirectory=/usr/share/gone").file("etc/extensions/a.raw", "");
        assert_eq!(extended.findings_of(&RULE)[0].severity, Severity::Warning);
    }

    /// accounts-daemon.service of Debian 13, on machines that have no wtmp.
    #[test]
    fn a_path_that_adds_nothing_to_what_stands_above_it_may_be_missing() {
        for text in [
            "ProtectSystem=strict\nReadWritePaths=-/var/log/lastlog /etc\nReadOnlyPaths=/var/log/wtmp",
            "DynamicUser=yes\nReadOnlyPaths=/var/log/wtmp",
            "ReadOnlyPaths=/var /var/log/wtmp",
            "ProtectHome=yes\nReadWritePaths=/root/gone",
            "InaccessiblePaths=/usr/share\nReadWritePaths=/usr/share/gone",
            "ProtectSystem=strict\nStateDirectory=acme\nReadWritePaths=/var/lib/acme/gone",
            "TemporaryFileSystem=/var\nReadWritePaths=/var/gone",
        ] {
            assert_eq!(messages(text), [""; 0], "{text}");
        }
        for text in [
            "ProtectSystem=strict\nReadWritePaths=/var/log/wtmp",
            "ProtectSystem=strict\nReadWritePaths=/var\nReadOnlyPaths=/var/log/wtmp",
            "ProtectSystem=full\nReadOnlyPaths=/var/log/wtmp",
            "ProtectSystem=strict\nInaccessiblePaths=/var/log/wtmp",
            "ProtectSystem=strict\nBindReadOnlyPaths=/var/log/wtmp",
        ] {
            assert_eq!(messages(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn directories_that_are_made_or_may_be_missing_are_not_found() {
        for text in [
            "WorkingDirectory=-/var/lib/acme",
            "WorkingDirectory=~",
            "WorkingDirectory=/srv/made",
            "WorkingDirectory=/srv/disk/data",
            "WorkingDirectory=/run/acme",
            "WorkingDirectory=/var/lib/%m",
            "WorkingDirectory=/var/lib/acme/x\nStateDirectory=acme/x",
            "ReadWritePaths=/var/lib/made /var/lib/made/deep /usr/share/acme /tmp -/var/x",
            "ReadWritePaths=-+/var/x\nLogsDirectory=acme\nReadOnlyPaths=/var/log/acme",
            "StandardOutput=journal\nStandardError=file:/srv/made/log",
        ] {
            assert_eq!(messages(text), [""; 0], "{text}");
        }
    }
}
