//! # What it does
//! Finds units that start at boot and require a unit that does not exist or is masked. They require
//! it with `Requires=`, `BindsTo=`, `Requisite=` or a link in a `.requires` directory.
//!
//! Units that a generator makes from files of the image count as existing. Such files are Quadlet
//! files, crypttab, fstab, scripts in /etc/init.d and so on.
//!
//! It is an error if a target of the boot requires the missing unit. For any other unit, and for a
//! unit as its package ships it, it is a warning. Such a unit does not start on an ordinary system
//! either, and everything else does.
//!
//! # Why it breaks
//! systemd refuses to start the unit: "Unit … not found". If a target of the boot requires it,
//! nothing after that target starts. A host that counts its boots falls back to the former image. A
//! generator may create the missing unit after all. That generator may be unknown to osderive, or
//! read what only a host has.
//!
//! # Example
//! ```dockerfile
//! RUN dnf remove -y acme-wait    # acme.service says Requires=acme-wait.service
//! ```
//!
//! # Fix
//! Bring the unit back, or remove the link. Or say that it is only wanted: `Wants=`.

use super::{Check, Rule};
use crate::predict::{Prediction, Reason};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-requires-missing",
    severity: Severity::Error,
    summary: "a unit requires one that does not exist or is masked",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let of_fact = |prediction: &Prediction| {
        if prediction.unit.ends_with(".target") {
            RULE.severity
        } else {
            Severity::Warning
        }
    };
    RULE.predicted_as(image, of_fact, |prediction| match &prediction.reason {
        Reason::Requires { unit, masked } => {
            let what = if *masked {
                "is masked"
            } else {
                "does not exist"
            };
            Some((
                format!("it requires {unit}, which {what}"),
                format!(
                    "bring {unit} back, or make {} want it only",
                    prediction.unit
                ),
            ))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn messages(fixture: &Fixture) -> Vec<String> {
        fixture.messages_of(&RULE)
    }

    fn service(unit: &str) -> Fixture {
        let text = format!("[Unit]\n{unit}\n[Service]\nExecStart=/usr/bin/true\n");
        Fixture::new()
            .program("usr/bin/true")
            .program("bin/sh")
            .service("acme", &text)
    }

    /// A system whose boot is a target like this.
    fn boot(unit: &str) -> Fixture {
        let target = "usr/lib/systemd/system/default.target";
        Fixture::new().file(target, format!("[Unit]\n{unit}\n"))
    }

    #[test]
    fn what_is_required_and_missing_or_masked_is_found() {
        let missing = "acme.service fails on every machine: it requires gone.service, which does \
                       not exist";
        for unit in ["Requires=gone.service", "BindsTo=acme.service gone.service"] {
            assert_eq!(messages(&service(unit)), [missing], "{unit}");
        }
        let link = "etc/systemd/system/acme.service.requires/gone.service";
        assert_eq!(
            messages(&service("").link(link, "../gone.service")),
            [missing]
        );
        let masked =
            service("Requires=m.service").link("etc/systemd/system/m.service", "/dev/null");
        let message = "acme.service fails on every machine: it requires m.service, which is masked";
        assert_eq!(messages(&masked), [message]);
    }

    #[test]
    fn it_fails_a_build_only_where_the_boot_stops_there() {
        let severity = |fixture: &Fixture| {
            let found = fixture.findings_of(&RULE);
            found.iter().map(|one| one.severity).collect::<Vec<_>>()
        };
        let service = service("Requires=gone.service");
        assert_eq!(severity(&service), [Severity::Warning]);
        assert_eq!(severity(&boot("Requires=gone.service")), [Severity::Error]);
    }

    #[test]
    fn what_is_merely_wanted_or_made_at_run_time_may_be_missing() {
        for unit in [
            "Wants=gone.service",
            "After=gone.service",
            "Requires=dev-sda.device srv.mount system-acme.slice",
            "Requires=gone.service\nRequires=",
        ] {
            assert_eq!(messages(&service(unit)), [""; 0], "{unit}");
        }
        let alias = service("Requires=other.service");
        let alias = alias.link(
            "etc/systemd/system/other.service",
            "/usr/lib/systemd/system/acme.service",
        );
        assert_eq!(messages(&alias), [""; 0]);
    }

    const GENERATORS: &str = "usr/lib/systemd/system-generators";

    #[test]
    fn what_generators_make_of_the_images_files_is_there() {
        let zram = "[zram0]\nzram-size = ram\n[zram1]\nmount-point = /var/fast\n";
        let fstab = "# none\nLABEL=data /srv/my\\040data ext4 x-systemd.growfs 0 2\n\
                     /dev/vdb none swap sw 0 0\n";
        let script =
            "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: other $network\n### END INIT INFO\n";
        for (generator, path, content, units) in [
            (
                "systemd-cryptsetup-generator",
                "etc/crypttab",
                "# a\ndata-1 UUID=1 none luks\n",
                &[r"systemd-cryptsetup@data\x2d1.service"][..],
            ),
            (
                "systemd-veritysetup-generator",
                "etc/veritytab",
                "usr /dev/a /dev/b 00\n",
                &["systemd-veritysetup@usr.service"],
            ),
            (
                "systemd-integritysetup-generator",
                "etc/integritytab",
                "home PARTLABEL=home\n",
                &["systemd-integritysetup@home.service"],
            ),
            (
                "systemd-fstab-generator",
                "etc/fstab",
                fstab,
                &[
                    r"systemd-growfs@srv-my\x20data.service",
                    r"systemd-fsck@dev-disk-by\x2dlabel-data.service",
                ],
            ),
            (
                "zram-generator",
                "usr/lib/systemd/zram-generator.conf",
                zram,
                &[
                    "systemd-zram-setup@zram0.service",
                    "systemd-zram-setup@zram1.service",
                ],
            ),
            (
                "rpc-pipefs-generator",
                "etc/nfs.conf",
                "",
                &["rpc_pipefs.target"],
            ),
            (
                "podman-system-generator",
                "etc/containers/systemd/web.container",
                "[Container]\n",
                &["web.service"],
            ),
            (
                "systemd-sysv-generator",
                "etc/init.d/legacy.sh",
                script,
                &["legacy.service", "other.service"],
            ),
        ] {
            for unit in units {
                let fixture = || {
                    boot(&format!("Requires={unit}")).program(&format!("{GENERATORS}/{generator}"))
                };
                let with_input = fixture().file_with(path, content, 0o755);
                assert_eq!(messages(&with_input), [""; 0], "{unit}");
                let masked = boot(&format!("Requires={unit}"))
                    .file_with(path, content, 0o755)
                    .link(
                        &format!("etc/systemd/system-generators/{generator}"),
                        "/dev/null",
                    );
                let found = masked.findings_of(&RULE);
                assert_eq!(found.len(), 1, "{unit}");
                assert_eq!(found[0].severity, Severity::Error, "{unit}");
            }
        }
    }

    #[test]
    fn what_a_generator_may_make_on_a_machine_fails_no_build() {
        let found = |generator: &str, unit: &str| {
            let fixture = boot(&format!("Requires={unit}"));
            let fixture = fixture.program(&format!("{GENERATORS}/{generator}"));
            let finding = fixture.findings_of(&RULE).remove(0);
            (finding.severity, finding.message)
        };
        let luks = "systemd-cryptsetup@root.service";
        let (severity, message) = found("systemd-cryptsetup-generator", luks);
        assert_eq!(severity, Severity::Warning);
        let end = "unless /usr/lib/systemd/system-generators/systemd-cryptsetup-generator makes it";
        assert!(message.ends_with(end), "{message}");
        assert_eq!(found("acme-generator", "gone.service").0, Severity::Warning);
        assert_eq!(
            found("systemd-new-generator", "gone.service").0,
            Severity::Warning
        );
        assert_eq!(
            found("systemd-cryptsetup-generator", "gone.service").0,
            Severity::Error
        );
        assert_eq!(
            found("systemd-sysv-generator", "gone.service").0,
            Severity::Error
        );
    }

    #[test]
    fn the_line_or_link_that_requires_is_named() {
        let by_link = "etc/systemd/system/acme.service.requires/gone.service";
        let fixture = service("").link(by_link, "../gone.service");
        assert_eq!(fixture.paths_of(&RULE), [format!("/{by_link}")]);
        let drop_in = "etc/systemd/system/acme.service.d/a.conf";
        let fixture = service("").file(drop_in, "[Unit]\nRequires=gone.service\n");
        assert_eq!(fixture.paths_of(&RULE), [format!("/{drop_in}")]);
    }
}
