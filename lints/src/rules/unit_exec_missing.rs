//! # What it does
//! Finds services whose program is missing at boot or may not be executed. Also finds scripts whose
//! interpreter is missing.
//!
//! It is an error if the program would be in /usr and the service surely starts. Nothing changes
//! /usr on a host. Elsewhere it is a warning. A program may bring the file at boot, or an upgraded
//! host may have it. A unit that its package ships like this gets a warning only. It fails on
//! ordinary systems too.
//!
//! # Why it breaks
//! systemd cannot start the service: 203/EXEC. On ostree systems, what a package put below /opt or
//! /usr/local lies in /var. Upgraded hosts do not get what the image has in /var.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y ./acme.deb    # its service runs /opt/acme/bin/acmed
//! ```
//!
//! # Fix
//! Install the program below /usr. Or move it there and have boot make a link:
//! ```ini
//! # /usr/lib/tmpfiles.d/acme.conf
//! L+ /opt/acme - - - - ../../usr/lib/opt/acme
//! ```

use super::{Check, Rule};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-exec-missing",
    severity: Severity::Error,
    summary: "a service's program is missing at boot or cannot be executed",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    RULE.predicted(image, |prediction| {
        Some(match &prediction.reason {
            Reason::Program(path) => {
                let in_var = ["/opt/", "/usr/local/", "/var/", "/srv/"];
                let is_in_var = in_var.iter().any(|top| path.starts_with(top));
                let help = if is_in_var {
                    "move it below /usr/lib and link to it with a line of tmpfiles.d: `L+ PATH - - \
                     - - TARGET`"
                } else {
                    "install the program, or disable the unit with `systemctl disable`"
                };
                (format!("there is no {path}"), help.to_owned())
            }
            Reason::NotExecutable(path) => (
                format!("{path} cannot be executed"),
                format!("make it a program: `chmod 755 {path}`"),
            ),
            Reason::Interpreter {
                script,
                interpreter,
            } => (
                format!("there is no {interpreter}, which {script} names in its first line"),
                format!("install {interpreter}, or change the first line of {script}"),
            ),
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn base() -> Fixture {
        Fixture::new().program("usr/bin/there").program("bin/sh")
    }

    fn messages(fixture: Fixture, exec: &str) -> Vec<String> {
        let fixture = fixture.service("acme", &format!("[Service]\n{exec}"));
        fixture.messages_of(&RULE)
    }

    #[test]
    fn a_missing_program_is_found() {
        let message = "acme.service fails on every machine (203/EXEC): there is no /usr/bin/gone";
        for exec in [
            "ExecStart=/usr/bin/gone --x",
            "ExecStart=@/usr/bin/gone gone",
            "ExecStart=+:\"/usr/bin/gone\"",
            "ExecStart=!!/usr/bin/gone",
            "ExecStart=/usr/bin/there ; /usr/bin/gone",
            "ExecStartPre=/usr/bin/gone\nExecStart=/usr/bin/there",
        ] {
            assert_eq!(messages(base(), exec), [message], "{exec}");
        }
        assert_eq!(messages(base(), "ExecStart=gone").len(), 1);
    }

    #[test]
    fn what_cannot_be_executed_is_found() {
        let plain = base().file("usr/bin/plain", "");
        let message = "acme.service fails on every machine (203/EXEC): /usr/bin/plain cannot be \
                       executed";
        assert_eq!(messages(plain, "ExecStart=/usr/bin/plain"), [message]);
        for line in ["#!/usr/bin/gone -x", "#! /usr/bin/env gone"] {
            let env = base().program("usr/bin/env");
            let script = env.file_with("usr/bin/script", line, 0o755);
            assert_eq!(
                messages(script, "ExecStart=/usr/bin/script").len(),
                1,
                "{line}"
            );
        }
    }

    #[test]
    fn only_a_program_of_usr_that_surely_starts_fails_a_build() {
        let severities = |fixture: Fixture, text: &str| {
            let found = fixture.service("acme", text).findings_of(&RULE);
            found
                .iter()
                .map(|finding| finding.severity)
                .collect::<Vec<_>>()
        };
        let gone = "[Service]\nExecStart=/usr/bin/gone\n";
        assert_eq!(severities(base(), gone), [Severity::Error]);
        let plain = || base().file("usr/bin/plain", "");
        let not_executable = "[Service]\nExecStart=/usr/bin/plain\n";
        assert_eq!(severities(plain(), not_executable), [Severity::Error]);
        let local = "[Service]\nExecStart=/usr/local/bin/gone\n";
        assert_eq!(
            severities(base().directory("usr/local"), local),
            [Severity::Error]
        );
        assert_eq!(
            severities(base().link("usr/local", "../var/usrlocal"), local),
            [Severity::Warning]
        );
        let overlaid = base().directory("usr/local").service(
            "ostree-state-overlay@usr-local",
            "[Service]\nExecStart=/usr/bin/there\n",
        );
        assert_eq!(severities(overlaid, local), [Severity::Warning]);
        for condition in [
            "ConditionACPower=true",
            "ConditionArchitecture=arm64",
            "ConditionCPUFeature=rdrand",
            "ConditionCPUs=>2",
            "ConditionCapability=CAP_SYS_ADMIN",
            "ConditionControlGroupController=memory",
            "ConditionCredential=acme",
            "ConditionEnvironment=A=b",
            "ConditionFirmware=uefi",
            "ConditionFirstBoot=no",
            "ConditionHost=acme",
            "ConditionKernelCommandLine=!acme",
            "ConditionKernelModuleLoaded=dummy",
            "ConditionKernelVersion=>5",
            "ConditionMemory=>1G",
            "ConditionNeedsUpdate=|/var",
            "ConditionOSRelease=ID=debian",
            "ConditionPathExists=/sys/class/acme",
            "ConditionPathExistsGlob=/etc/acme/*",
            "ConditionPathIsMountPoint=/usr",
            "ConditionPathIsReadWrite=/usr",
            "ConditionSecurity=selinux",
            "ConditionVirtualization=!container",
            "AssertVirtualization=vm",
        ] {
            let text = format!("[Unit]\n{condition}\n{gone}");
            assert_eq!(
                severities(base(), &text),
                [Severity::Warning],
                "{condition}"
            );
        }
        for holds in [
            "ConditionPathExists=/usr/bin/there",
            "ConditionPathExists=!/usr/bin/gone",
            "ConditionUser=root",
            "ConditionPathExists=|/usr/bin/there\nConditionSecurity=|selinux",
            "ConditionSecurity=selinux\nConditionPathExists=",
        ] {
            let text = format!("[Unit]\n{holds}\n{gone}");
            assert_eq!(severities(base(), &text), [Severity::Error], "{holds}");
        }
        for fails in [
            "ConditionPathExists=/usr/bin/gone",
            "ConditionSecurity=selinux\nConditionPathExists=!/usr/bin/there",
            "AssertPathExists=/usr/bin/gone",
        ] {
            let text = format!("[Unit]\n{fails}\n{gone}");
            assert_eq!(severities(base(), &text), [], "{fails}");
        }
    }

    #[test]
    fn what_only_a_timer_socket_or_a_later_link_starts_is_no_fact() {
        let unit = |name: &str| format!("usr/lib/systemd/system/{name}");
        let by_timer = |timer: &str| {
            let found = base()
                .file(&unit("default.target"), "[Unit]\nWants=a.timer\n")
                .file(&unit("a.timer"), timer)
                .file(&unit("a.service"), "[Service]\nExecStart=/usr/bin/gone\n")
                .findings_of(&RULE);
            (
                found[0].severity,
                found[0].message.contains("once it is started"),
            )
        };
        assert_eq!(by_timer("[Timer]\nOnBootSec=0\n"), (Severity::Error, false));
        let later = "[Timer]\nOnBootSec=1h\n";
        assert_eq!(by_timer(later), (Severity::Warning, true));
        let somewhere = "[Unit]\nConditionVirtualization=vm\n[Timer]\nOnBootSec=0\n";
        assert_eq!(by_timer(somewhere), (Severity::Warning, true));
    }

    #[test]
    fn what_may_fail_is_there_or_is_unknown_is_not_found() {
        for exec in [
            "ExecStart=/usr/bin/there",
            "ExecStart=there",
            "ExecStart=-/usr/bin/gone",
            "ExecStart=/run/acme/made-by-another",
            "ExecStart=/usr/lib/%m/acme",
            "ExecStart=/usr/bin/gone\nExecStart=\nExecStart=/usr/bin/there",
            "RootDirectory=/usr\nExecStart=/bin/gone",
            "ExecStopPost=/usr/bin/gone\nExecStart=/usr/bin/there",
        ] {
            assert_eq!(messages(base(), exec), [""; 0], "{exec}");
        }
    }

    #[test]
    fn a_program_below_opt_is_there_after_an_upgrade_only_by_a_link() {
        let vendor = || {
            base()
                .link("opt", "var/opt")
                .program("var/opt/acme/acmed")
                .program("usr/lib/opt/acme/acmed")
        };
        let exec = "ExecStart=/opt/acme/acmed";
        let message = "acme.service fails on machines upgraded to the image (203/EXEC): there is \
                       no /opt/acme/acmed, unless something makes it first";
        assert_eq!(messages(vendor(), exec), [message]);
        let line = "L+ /opt/acme - - - - ../../usr/lib/opt/acme\n";
        let linked = vendor().file("usr/lib/tmpfiles.d/acme.conf", line);
        assert_eq!(messages(linked, exec), [""; 0]);
        let unknown_owner = "C /var/opt/acme - nobody-knows - - /usr/lib/opt/acme\n";
        let skipped = vendor().file("usr/lib/tmpfiles.d/acme.conf", unknown_owner);
        assert_eq!(messages(skipped, exec), [message]);
        let copied = "C /var/opt/acme - - - - /usr/lib/opt/acme\n";
        let copied = vendor().file("usr/lib/tmpfiles.d/acme.conf", copied);
        assert_eq!(messages(copied, exec), [""; 0]);
    }
}
