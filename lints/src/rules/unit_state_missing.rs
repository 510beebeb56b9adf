//! # What it does
//! Finds services that start at boot although nothing makes their directories in /var. Such a
//! directory comes with the service's package, as dpkg's file lists tell. Or a script of the
//! service names it.
//!
//! # Why it breaks
//! Most services fail without the directories of their package: nginx without /var/lib/nginx, redis
//! without /var/lib/redis. Others make them or do without. An upgraded host gets nothing of what
//! the image has in /var.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y nginx && rm -rf /var/lib/nginx /var/log/nginx
//! ```
//!
//! # Fix
//! Have boot make them, with the owners that they have:
//! ```ini
//! # /usr/lib/tmpfiles.d/nginx.conf
//! d /var/lib/nginx 0755 root root
//! d /var/log/nginx 0755 root adm
//! ```

use std::collections::BTreeMap;

use super::{Check, MAX_NAMED, Rule};
use crate::Certainty;
use crate::predict::{Doubt, FailsOn, Reason};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-state-missing",
    severity: Severity::Warning,
    summary: "a service's directories in /var are not made at boot",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// One finding for each unit: a package may bring many directories.
fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut by_unit: BTreeMap<(&str, bool), Missing<'_>> = BTreeMap::new();
    for prediction in image.predictions() {
        if let Reason::State { path, package, .. } = &prediction.reason {
            let is_early = prediction.doubts.contains(&Doubt::BeforeTmpfiles);
            let unit = by_unit.entry((&prediction.unit, is_early));
            let missing = unit.or_default();
            missing.fails_on.fresh |= prediction.fails_on.fresh;
            missing.fails_on.upgraded |= prediction.fails_on.upgraded;
            missing.is_likely |= prediction.certainty() == Certainty::Likely;
            missing.file = &prediction.place.file;
            if missing.package.is_empty() {
                missing.package = package;
            }
            missing.paths.push(path);
        }
    }
    (by_unit.into_iter())
        .filter_map(|((unit, is_early), missing)| missing.finding(unit, is_early))
        .collect()
}

/// What one unit misses.
#[derive(Default)]
struct Missing<'a> {
    fails_on: FailsOn,
    is_likely: bool,
    /// The unit's file, which the instruction brought that is to blame.
    file: &'a str,
    package: &'a str,
    paths: Vec<&'a str>,
}

impl Missing<'_> {
    fn finding(&self, unit: &str, is_early: bool) -> Option<Finding> {
        let first = self.paths.first()?;
        let more = match self.paths.len() - 1 {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let of = match self.package {
            "" => String::new(),
            package => format!(" of package {package}"),
        };
        let (fails, severity, confidence) = if self.is_likely {
            ("probably fails", Severity::Warning, Certainty::Likely)
        } else {
            ("may fail", Severity::Info, Certainty::Possible)
        };
        let (why, help) = if is_early {
            (
                "it may start before systemd-tmpfiles makes",
                "write `After=systemd-tmpfiles-setup.service` into a drop-in of the unit"
                    .to_owned(),
            )
        } else {
            (
                "nothing makes",
                format!("add a line to tmpfiles.d: `d {first} MODE USER GROUP`"),
            )
        };
        let on = self.fails_on.text();
        let finding = RULE.finding(
            format!("{unit} {fails} {on}: {why} {first}{of}{more}"),
            help,
            std::iter::once(&self.file)
                .chain(self.paths.iter().take(MAX_NAMED))
                .map(|path| (*path).to_owned())
                .collect(),
        );
        Some(Finding {
            severity,
            confidence: Some(confidence),
            ..finding
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn packaged(list: &str) -> Fixture {
        let text = "[Service]\nExecStart=/usr/sbin/nginx\n";
        Fixture::new()
            .program("usr/sbin/nginx")
            .program("bin/sh")
            .service("nginx", text)
            .file("var/lib/dpkg/info/nginx:amd64.list", list)
    }

    const LIST: &str = "/.\n/var\n/var/lib\n/var/lib/nginx\n/var/log/nginx\n\
                        /lib/systemd/system/nginx.service\n";

    #[test]
    fn directories_of_the_package_that_nothing_makes_are_found() {
        let found = packaged(LIST).findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "nginx.service may fail on every machine: nothing makes /var/lib/nginx of \
             package nginx and 1 more"
        );
        let unit = "/usr/lib/systemd/system/nginx.service";
        assert_eq!(found[0].paths, [unit, "/var/lib/nginx", "/var/log/nginx"]);
        let kept = packaged(LIST)
            .directory("var/lib/nginx")
            .directory("var/log/nginx");
        let message = &kept.findings_of(&RULE)[0].message;
        assert!(
            message.contains("on machines upgraded to the image"),
            "{message}"
        );
    }

    #[test]
    fn what_is_not_configured_may_be_dispensable() {
        let list = "/var/lib/nginx\n/etc/nginx/nginx.conf\n/lib/systemd/system/nginx.service\n";
        let severity = |conf: &str| {
            let fixture = packaged(list).file("etc/nginx/nginx.conf", conf);
            fixture.findings_of(&RULE)[0].severity
        };
        assert_eq!(severity("chroot \"/var/lib/nginx\";"), Severity::Warning);
        assert_eq!(
            severity("# chroot /var/lib/nginx\ndb /var/lib/nginx/x"),
            Severity::Info
        );
    }

    #[test]
    fn what_boots_have_shown_needs_no_configuration() {
        let severity = |package: &str, directory: &str| {
            let text = "[Service]\nExecStart=/usr/sbin/nginx\n";
            let list = format!("{directory}\n/usr/lib/systemd/system/a.service\n");
            Fixture::new()
                .program("bin/sh")
                .program("usr/sbin/nginx")
                .service("a", text)
                .file(&format!("var/lib/dpkg/info/{package}.list"), list)
                .findings_of(&RULE)[0]
                .severity
        };
        assert_eq!(severity("anacron", "/var/spool/anacron"), Severity::Warning);
        assert_eq!(severity("cron", "/var/spool/anacron"), Severity::Info);
        assert_eq!(severity("winbind", "/etc/winbind"), Severity::Warning);
    }

    /// As Debian's openvswitch-switch: its script makes the directory that a link in /etc leads into.
    fn linked(unit: &str) -> Fixture {
        let text = format!("[Unit]\n{unit}\n[Service]\nExecStart=/usr/sbin/acme\n");
        let list = "/etc/acme\n/usr/lib/systemd/system/acme.service\n";
        Fixture::new()
            .program("bin/sh")
            .program("usr/sbin/acme")
            .service("acme", &text)
            .service(
                "systemd-tmpfiles-setup",
                "[Service]\nExecStart=/usr/sbin/acme\n",
            )
            .file("var/lib/dpkg/info/acme.list", list)
            .file(
                "var/lib/dpkg/info/acme.postinst",
                "mkdir -p /var/lib/acme /var/lib/other\n",
            )
            .link("etc/acme/conf.db", "/var/lib/acme/conf.db")
    }

    const EARLY: &str = "DefaultDependencies=no";

    #[test]
    fn a_directory_that_a_link_in_etc_leads_into_is_missed() {
        let lost = linked(EARLY)
            .directory("var/lib/acme")
            .directory("var/lib/other");
        let found = lost.findings_of(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].paths[1..], ["/var/lib/acme"]);
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(found[0].confidence, Some(Certainty::Likely));
    }

    #[test]
    fn a_unit_that_nothing_orders_may_start_before_its_directory_is_made() {
        let declared = |unit: &str| {
            let file = "usr/lib/tmpfiles.d/acme.conf";
            linked(unit)
                .file(file, "d /var/lib/acme 0755 root root\n")
                .findings_of(&RULE)
        };
        let found = declared(EARLY);
        assert_eq!(found.len(), 1, "{found:?}");
        let message = "acme.service may fail on every machine: it may start before systemd-tmpfiles makes \
                       /var/lib/acme of package acme";
        assert_eq!(found[0].message, message);
        assert_eq!(found[0].severity, Severity::Info);
        assert_eq!(declared("Description=ordered"), []);
    }

    #[test]
    fn predictions_can_do_without_what_boots_have_shown() {
        let list = "/var/spool/anacron\n/usr/lib/systemd/system/a.service\n";
        let fixture = Fixture::new()
            .program("bin/sh")
            .program("usr/sbin/anacron")
            .service("a", "[Service]\nExecStart=/usr/sbin/anacron\n")
            .file("var/lib/dpkg/info/anacron.list", list)
            .file(
                "var/lib/dpkg/info/at.list",
                "/usr/lib/systemd/system/none.service\n",
            );
        let certainties = |image: &Image<'_>| -> Vec<Certainty> {
            let predictions = image.predictions().iter();
            predictions
                .map(crate::predict::Prediction::certainty)
                .collect()
        };
        assert_eq!(fixture.on_image(certainties), [Certainty::Likely]);
        let without = fixture.of_image(|image| certainties(&image.without_quirks()));
        assert_eq!(without, [Certainty::Possible]);
    }

    #[test]
    fn what_a_mount_is_wanted_for_may_be_missing() {
        let text = "[Unit]\nRequiresMountsFor=/var/lib/gone\n[Service]\nExecStart=/usr/sbin/acme\n";
        let fixture = Fixture::new()
            .program("bin/sh")
            .program("usr/sbin/acme")
            .service("acme", text);
        assert_eq!(fixture.findings_of(&RULE), []);
    }

    #[test]
    fn logs_are_opened_at_the_start() {
        let list = "/var/log/nginx\n/etc/nginx/nginx.conf\n/etc/logrotate.d/nginx\n\
                    /lib/systemd/system/nginx.service\n";
        let severity = |path: &str| {
            let fixture = packaged(list).file(path, "error_log /var/log/nginx/error.log;");
            fixture.findings_of(&RULE)[0].severity
        };
        assert_eq!(severity("etc/nginx/nginx.conf"), Severity::Warning);
        assert_eq!(severity("etc/logrotate.d/nginx"), Severity::Info);
    }

    #[test]
    fn what_a_script_of_the_unit_names_is_missed() {
        let script = "#!/bin/sh\n# /var/lib/none\nmkdir -p /var/lib/made\n\
                      [ -d /var/lib/exim4 ] || exit 1\ncd /var/log/exim4\nls /var/lib/made /run/x/var/lib/other /var/lib/gone\n";
        let text = "[Service]\nExecStart=/usr/sbin/exim\n";
        let mut fixture = Fixture::new()
            .program("bin/sh")
            .file("usr/sbin/exim", script)
            .mode("usr/sbin/exim", 0o755)
            .service("exim", text);
        for name in ["exim4", "made", "none", "other"] {
            fixture = fixture.directory(&format!("var/lib/{name}"));
        }
        fixture = fixture.directory("var/log/exim4");
        let found = fixture.findings_of(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].paths[1..], ["/var/lib/exim4"]);
        assert_eq!(found[0].severity, Severity::Warning);
    }

    #[test]
    fn what_a_shell_of_the_unit_writes_to_is_missed() {
        let paths = |timer: &str, service: &str| {
            let fixture = Fixture::new()
                .program("bin/sh")
                .directory("var/lib/exporter")
                .file(
                    "usr/lib/systemd/system/default.target",
                    "[Unit]\nWants=a.timer\n",
                )
                .file(
                    "usr/lib/systemd/system/a.timer",
                    format!("[Timer]\n{timer}\n"),
                )
                .file(
                    "usr/lib/systemd/system/a.service",
                    format!("[Service]\n{service}\n"),
                );
            let found = fixture.findings_of(&RULE).into_iter();
            let paths = found.flat_map(|finding| finding.paths.into_iter().skip(1));
            paths.collect::<Vec<_>>()
        };
        let writes = "ExecStart=/bin/sh -o pipefail -c \"ps | sponge /var/lib/exporter/a.prom\"";
        assert_eq!(paths("OnBootSec=0", writes), ["/var/lib/exporter"]);
        assert_eq!(paths("OnBootSec=15min", writes), [""; 0]);
        let reads = "ExecStart=/bin/sh /var/lib/exporter/a.prom";
        assert_eq!(paths("OnBootSec=0", reads), [""; 0]);
        let made = format!("ExecStartPre=/bin/mkdir -p /var/lib/exporter\n{writes}");
        assert_eq!(paths("OnStartupSec=1s", &made), [""; 0]);
    }

    #[test]
    fn directories_that_are_made_are_not_found() {
        let lines = "d /var/lib/nginx\nd /var/log/nginx\n";
        let declared = packaged(LIST).file("usr/lib/tmpfiles.d/nginx.conf", lines);
        assert_eq!(declared.findings_of(&RULE), []);
        let drop_in = "[Service]\nStateDirectory=nginx\nExecStartPre=mkdir -p /var/log/nginx\n";
        let own = packaged(LIST)
            .file("etc/systemd/system/nginx.service.d/a.conf", drop_in)
            .program("usr/bin/mkdir");
        assert_eq!(own.findings_of(&RULE), []);
    }

    #[test]
    fn other_packages_and_shared_directories_do_not_count() {
        let other = packaged("/var/lib/nginx\n/usr/sbin/nginx\n");
        assert_eq!(other.findings_of(&RULE), []);
        let shared = packaged("/var/log\n/usr/lib/systemd/system/nginx.service\n");
        assert_eq!(shared.findings_of(&RULE), []);
    }
}
