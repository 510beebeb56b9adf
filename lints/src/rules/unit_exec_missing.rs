//! # What it does
//! Looks for services whose program is missing at boot, may not be executed, or is a script of which
//! the interpreter is missing.
//!
//! # Why it breaks
//! systemd cannot start the service: 203/EXEC. What a package has put below /opt or /usr/local lies
//! in /var on ostree systems, and machines that are upgraded to the image do not get what it has in
//! /var.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y ./acme.deb    # its service runs /opt/acme/bin/acmed
//! ```
//!
//! # Fix
//! Install the program below /usr, or move it there and have boot make a link:
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
                       no /opt/acme/acmed";
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
