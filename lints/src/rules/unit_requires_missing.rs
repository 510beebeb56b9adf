//! # What it does
//! Looks for units that start at boot and cannot do without a unit (`Requires=`, `BindsTo=`,
//! `Requisite=`, a link in a `.requires` directory) which does not exist or is masked.
//!
//! What a package's generator has the name of may be made at boot, and is not missed.
//!
//! # Why it breaks
//! systemd refuses to start the unit, "Unit … not found". If a target of the boot is the one that
//! requires it, nothing after that target starts; a machine that counts its boots falls back to the
//! former image.
//!
//! # Example
//! ```dockerfile
//! RUN dnf remove -y acme-wait    # acme.service says Requires=acme-wait.service
//! ```
//!
//! # Fix
//! Bring the unit back, remove the link, or say that it is merely wanted (`Wants=`).

use super::{Check, Rule};
use crate::predict::Reason;
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
    RULE.predicted(image, |prediction| match &prediction.reason {
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
    fn what_is_merely_wanted_or_made_at_run_time_may_be_missing() {
        for unit in [
            "Wants=gone.service",
            "After=gone.service",
            "Requires=dev-sda.device srv.mount system-acme.slice",
            "Requires=gone.service\nRequires=",
        ] {
            assert_eq!(messages(&service(unit)), [""; 0], "{unit}");
        }
        let generated = |generator: &str| {
            let generator = format!("usr/lib/systemd/system-generators/{generator}");
            messages(
                &service("Requires=pipefs.target").file(&generator, "\x7fELF\0%s/pipefs.targ\0"),
            )
        };
        assert_eq!(generated("rpc-generator"), [""; 0]);
        assert_eq!(generated("systemd-rpc-generator").len(), 1);
        let alias = service("Requires=other.service");
        let alias = alias.link(
            "etc/systemd/system/other.service",
            "/usr/lib/systemd/system/acme.service",
        );
        assert_eq!(messages(&alias), [""; 0]);
    }
}
