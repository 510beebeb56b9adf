//! # What it does
//! Looks for services that name a directory which nothing makes by the time they start: to run in
//! (`WorkingDirectory=`, `RootDirectory=`), to see (`ReadWritePaths=`, `BindPaths=` and the like
//! without `-`), to write their output to (`StandardOutput=append:…`).
//!
//! # Why it breaks
//! systemd does not start the service: 200/CHDIR, 226/NAMESPACE or 209/STDOUT. /var is empty on a
//! fresh machine but for what the image declares, and on an upgraded one it is what it was before.
//!
//! # Example
//! ```dockerfile
//! RUN mkdir /var/lib/acme    # and the service has ReadWritePaths=/var/lib/acme
//! ```
//!
//! # Fix
//! Have the service make it, with `StateDirectory=acme` in a drop-in, or boot:
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
        let fixture = Fixture::new()
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
            );
        fixture.messages_of(&RULE)
    }

    #[test]
    fn a_directory_that_nothing_makes_is_found() {
        let found = |text: &str, message: &str| assert_eq!(messages(text), [message], "{text}");
        found(
            "WorkingDirectory=/var/lib/acme",
            "acme.service fails on every machine (200/CHDIR): there is no directory /var/lib/acme",
        );
        found(
            "ReadWritePaths=/srv/made -/srv/a /srv/b",
            "acme.service fails on every machine (226/NAMESPACE): there is no /srv/b, which \
             ReadWritePaths= names",
        );
        found(
            "BindPaths=/var/lib/built:/x",
            "acme.service fails on machines upgraded to the image (226/NAMESPACE): there is no \
             /var/lib/built, which BindPaths= names",
        );
        found(
            "StandardOutput=append:/var/log/acme/log",
            "acme.service fails on every machine (209/STDOUT): there is no directory for \
             /var/log/acme/log",
        );
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
