//! # What it does
//! Finds units that start at boot with a false assertion, such as `AssertPathExists=` of a missing
//! path in /usr. Also finds units that may start too early. With `DefaultDependencies=no` nothing
//! orders them after systemd-tmpfiles-setup.service, which creates the files of /var.
//!
//! # Why it breaks
//! systemd does not start the unit: "Assertion failed". What requires the unit fails with it. On a
//! newly installed host even /var/run is a link that systemd-tmpfiles makes.
//!
//! # Example
//! ```ini
//! # acme.service
//! [Unit]
//! DefaultDependencies=no
//! AssertPathIsReadWrite=/var/run/acme
//! ```
//!
//! # Fix
//! Order the unit, or remove the assertion:
//! ```ini
//! # /usr/lib/systemd/system/acme.service.d/10-order.conf
//! [Unit]
//! After=systemd-tmpfiles-setup.service
//! ```

use super::{Check, Rule};
use crate::predict::Reason;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-assertion-fails",
    severity: Severity::Warning,
    summary: "a unit's assertion fails when it starts",
    check: Check::Image(check),
    since: "0.2.0",
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    RULE.predicted(image, |prediction| match &prediction.reason {
        Reason::Assertion { key, value } => Some((
            format!("{key}={value} does not hold"),
            format!("make it true, or write `{key}=` into a drop-in of the unit"),
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Certainty;
    use crate::rules::fixture::Fixture;

    /// An image whose boot has systemd-tmpfiles make the link /var/run.
    fn fixture(unit: &str) -> Fixture {
        let early = "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/usr/bin/true\n";
        Fixture::new()
            .program("usr/bin/true")
            .program("bin/sh")
            .directory("usr/share/there")
            .file("usr/lib/tmpfiles.d/var.conf", "L /var/run - - - - ../run\n")
            .service("early", early)
            .service("systemd-tmpfiles-setup", early)
            .service(
                "acme",
                &format!("[Unit]\n{unit}\n[Service]\nExecStart=/usr/bin/true\n"),
            )
    }

    const LINK: &str = "AssertPathIsReadWrite=/var/run/acme\n";

    #[test]
    fn what_is_asserted_of_usr_is_known() {
        for (unit, message) in [
            (
                "AssertPathExists=/usr/share/gone",
                "acme.service fails on every machine: AssertPathExists=/usr/share/gone does not hold",
            ),
            (
                "AssertPathExists=!/usr/share/there",
                "acme.service fails on every machine: AssertPathExists=!/usr/share/there does not hold",
            ),
        ] {
            assert_eq!(fixture(unit).messages_of(&RULE), [message], "{unit}");
        }
        for unit in [
            "AssertPathExists=/usr/share/there",
            "AssertPathExists=|/usr/share/gone\nAssertPathExists=|/usr/share/there",
            "AssertPathExists=/usr/share/gone\nAssertPathExists=",
            // It is not even tried.
            "AssertPathExists=/usr/share/gone\nConditionPathExists=/usr/share/gone",
            // Others may make it.
            "AssertPathExists=/var/lib/acme",
            LINK,
        ] {
            assert_eq!(fixture(unit).messages_of(&RULE), [""; 0], "{unit}");
        }
    }

    #[test]
    fn a_unit_that_nothing_orders_may_start_before_var_is_made() {
        let early = format!("DefaultDependencies=no\n{LINK}");
        let message = "acme.service fails on machines installed with the image: \
                       AssertPathIsReadWrite=/var/run/acme does not hold, where it starts before \
                       systemd-tmpfiles-setup.service";
        let found = fixture(&format!("{early}After=early.service gone.service")).findings_of(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].message, message);
        assert_eq!(found[0].severity, Severity::Warning);
        assert!(
            found[0]
                .help
                .contains("After=systemd-tmpfiles-setup.service"),
            "{}",
            found[0].help
        );
        fixture(&early).on_image(|image| {
            let predictions = image.predictions();
            assert_eq!(predictions.len(), 1, "{predictions:?}");
            assert_eq!(predictions[0].certainty(), Certainty::Possible);
        });
    }

    #[test]
    fn a_unit_that_something_orders_does_not() {
        let usual = "[Unit]\nBefore=acme.service\n[Service]\nExecStart=/usr/bin/true\n";
        let early = format!("DefaultDependencies=no\n{LINK}");
        for order in [
            "After=systemd-tmpfiles-setup.service",
            "After=sysinit.target",
            // By what it is ordered after.
            "After=usual.service",
        ] {
            let unit = format!("{early}{order}");
            let fixture = fixture(&unit).service("usual", "[Service]\nExecStart=/usr/bin/true\n");
            assert_eq!(fixture.messages_of(&RULE), [""; 0], "{order}");
        }
        let fixture = fixture(&early).service("usual", usual);
        assert_eq!(fixture.messages_of(&RULE), [""; 0]);
    }
}
