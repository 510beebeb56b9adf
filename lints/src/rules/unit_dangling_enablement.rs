//! # What it does
//! Finds links that enable a unit that does not exist. They stand in `.wants` and `.requires`
//! directories, or are aliases that lead nowhere. Units that generators make from files of the
//! image count as existing, for example Quadlet's services.
//!
//! If boot starts a unit that requires the missing one, `unit-requires-missing` reports it instead.
//! Otherwise this is a warning: nothing is broken unless something starts the unit.
//!
//! # Why it breaks
//! The unit is not started, and nothing says so. If a target *requires* it, the target fails. With
//! boot-complete.target, each boot of an updated host counts as failed. The host falls back to the
//! former image, while newly installed hosts seem well.
//!
//! # Example
//! ```dockerfile
//! RUN systemctl enable acme.service && apt-get remove -y acme
//! ```
//!
//! # Fix
//! Remove the link before the unit's file goes: `systemctl disable acme.service`.

use super::{Check, Rule};
use crate::units::{Dependency, Link, State};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-dangling-enablement",
    severity: Severity::Warning,
    summary: "a link enables a unit that does not exist",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let units = image.units();
    // Only what stands in /etc did somebody enable: packages ship links to units of other packages.
    let in_etc = |path: &str| path.starts_with("etc/");
    let is_told_elsewhere =
        |link: &Link| link.dependency == Dependency::Requires && units.is_started(&link.from);
    let links = units.links().iter().filter(|link| {
        (in_etc(&link.path) || link.dependency == Dependency::Requires)
            && matches!(units.state(&link.to), State::Missing | State::Uncertain)
            && !is_told_elsewhere(link)
    });
    let mut findings: Vec<Finding> = links
        .map(|link| {
            let (from, to) = (link.from.as_str(), link.to.as_str());
            let path = format!("/{}", link.path);
            let verb = match link.dependency {
                Dependency::Wants => "wants",
                Dependency::Requires => "requires",
            };
            let unless = units.may_be_made_by(&link.to);
            let unless = unless.map_or(String::new(), |path| format!(" unless /{path} makes it"));
            let message = format!("{from} {verb} {to}, which does not exist{unless}");
            RULE.finding(message, format!("remove the link: `rm {path}`"), vec![path])
        })
        .collect();
    findings.extend(units.dangling().filter(|path| in_etc(path)).map(|path| {
        let path = format!("/{path}");
        let message = format!("{path} leads nowhere: there is no unit of that name");
        RULE.finding(message, format!("remove the link: `rm {path}`"), vec![path])
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    const ETC: &str = "etc/systemd/system";

    #[test]
    fn links_to_what_does_not_exist_are_found() {
        let wanted = format!("{ETC}/multi-user.target.wants/gone.service");
        let required = format!("{ETC}/boot-complete.target.requires/gone@x.service");
        let alias = format!("{ETC}/alias.service");
        let fixture = Fixture::new()
            .link(&wanted, "/usr/lib/systemd/system/gone.service")
            .link(&required, "/usr/lib/systemd/system/gone@.service")
            .link(&alias, "/usr/lib/systemd/system/gone.service");
        let found = fixture.findings_of(&RULE);
        let told: Vec<_> = (found.iter())
            .map(|finding| (finding.severity, finding.message.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    Severity::Warning,
                    "boot-complete.target requires gone@x.service, which does not exist"
                ),
                (
                    Severity::Warning,
                    "multi-user.target wants gone.service, which does not exist"
                ),
                (
                    Severity::Warning,
                    "/etc/systemd/system/alias.service leads nowhere: there is no unit of that name"
                ),
            ]
        );
    }

    #[test]
    fn what_boot_starts_is_told_of_by_another_rule() {
        let link = format!("{ETC}/acme.service.requires/gone.service");
        let started = Fixture::new()
            .service("acme", "[Service]\nExecStart=/x\n")
            .link(&link, "../gone.service");
        assert_eq!(started.findings_of(&RULE), []);
        let of_requires = started.findings_of(&super::super::unit_requires_missing::RULE);
        assert_eq!(of_requires.len(), 1);
    }

    #[test]
    fn the_services_of_quadlet_files_are_there() {
        let link = format!("{ETC}/multi-user.target.wants/web.service");
        let fixture = || Fixture::new().link(&link, "/run/systemd/generator/web.service");
        let quadlet = "etc/containers/systemd/web.container";
        let generator = "usr/lib/systemd/system-generators/podman-system-generator";
        let made = fixture()
            .file(quadlet, "[Container]\nImage=x\n")
            .program(generator);
        assert_eq!(made.findings_of(&RULE), []);
        assert_eq!(fixture().program(generator).findings_of(&RULE).len(), 1);
        let unknown = "usr/lib/systemd/system-generators/acme-generator";
        let message = &fixture().program(unknown).findings_of(&RULE)[0].message;
        assert!(
            message.ends_with("unless /usr/lib/systemd/system-generators/acme-generator makes it"),
            "{message}"
        );
    }

    #[test]
    fn links_to_units_templates_and_masked_units_are_right() {
        let fixture = Fixture::new()
            .file("usr/lib/systemd/system/a@.service", "[Service]\n")
            .file("usr/lib/systemd/system/b.service", "[Service]\n")
            .link(&format!("{ETC}/masked.service"), "/dev/null")
            // Where the link leads does not count, only its name does.
            .link(
                &format!("{ETC}/x.target.wants/b.service"),
                "/lib/systemd/system/b.service",
            )
            .link(
                &format!("{ETC}/x.target.wants/a@1.service"),
                "../a@.service",
            )
            .link(&format!("{ETC}/x.target.wants/masked.service"), "/gone")
            .link(&format!("{ETC}/c.service"), "/lib/systemd/system/b.service")
            .link(&format!("{ETC}/x.target.wants/c.service"), "../c.service")
            .link(
                "usr/lib/systemd/system/x.target.wants/other.service",
                "../other.service",
            );
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
