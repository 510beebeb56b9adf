//! # What it does
//! Finds services whose file of variables is missing at boot (`EnvironmentFile=` without `-`).
//!
//! It is an error if the file would be in /usr, because nothing changes /usr on a host. Elsewhere
//! it is a warning, because a program may create the file at boot. A unit that its package ships
//! like this gets a warning only. It fails on ordinary systems too.
//!
//! # Why it breaks
//! systemd does not start the service: "Failed to load environment files".
//!
//! # Example
//! ```dockerfile
//! RUN rm /etc/default/acme    # and the service has EnvironmentFile=/etc/default/acme
//! ```
//!
//! # Fix
//! Ship the file, or allow that it is missing:
//! ```ini
//! # /usr/lib/systemd/system/acme.service.d/10-environment.conf
//! [Service]
//! EnvironmentFile=
//! EnvironmentFile=-/etc/default/acme
//! ```

use super::{Check, Rule};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-environment-missing",
    severity: Severity::Error,
    summary: "a service's EnvironmentFile= is missing at boot",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    RULE.predicted(image, |prediction| match &prediction.reason {
        Reason::Environment(path) => Some((
            format!("there is no {path}, which EnvironmentFile= names"),
            format!("ship {path}, or write `EnvironmentFile=-{path}` into a drop-in of the unit"),
        )),
        _ => None,
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
            .file("etc/default/there", "")
            .service(
                "acme",
                &format!("[Service]\nExecStart=/usr/bin/true\n{text}"),
            );
        fixture.messages_of(&RULE)
    }

    #[test]
    fn a_missing_file_is_found() {
        let message = "acme.service fails on every machine: there is no /etc/default/gone, which \
                       EnvironmentFile= names, unless something makes it first";
        assert_eq!(messages("EnvironmentFile=/etc/default/gone"), [message]);
        let message = "acme.service fails on every machine: there is no /usr/lib/gone, which \
                       EnvironmentFile= names";
        assert_eq!(messages("EnvironmentFile=/usr/lib/gone"), [message]);
    }

    #[test]
    fn files_that_are_there_may_be_missing_or_come_at_run_time_are_not_found() {
        for text in [
            "EnvironmentFile=/etc/default/there",
            "EnvironmentFile=-/etc/default/gone",
            "EnvironmentFile=/etc/acme/*.conf",
            "EnvironmentFile=/run/acme/env",
            "EnvironmentFile=/etc/gone\nEnvironmentFile=",
        ] {
            assert_eq!(messages(text), [""; 0], "{text}");
        }
    }
}
