//! # What it does
//! Finds units that the image enables, while its presets disable them. Also finds the reverse. The
//! presets count on the first boot of a newly installed host. If /etc/machine-id exists and does
//! not say "uninitialized", there is nothing to find. Then the boot is no first boot to systemd.
//!
//! # Why it breaks
//! On a first boot systemd applies the presets of all units. It enables units again that the build
//! disabled. If systemd was built to apply presets in full, as in Fedora, it also disables units
//! that the build enabled. Upgraded hosts keep what the image says.
//!
//! # Example
//! ```dockerfile
//! RUN systemctl enable acme.service    # and 99-default-disable.preset says `disable *`
//! ```
//!
//! # Fix
//! Say it in a preset of the image, too:
//! ```ini
//! # /usr/lib/systemd/system-preset/10-acme.preset
//! enable acme.service
//! ```

use super::{Check, Rule};
use crate::model::presets::{Line, PresetAction, first_match, parse};
use crate::units::State;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unit-preset-contradicts",
    severity: Severity::Warning,
    summary: "a preset undoes at the first boot what the image has enabled or disabled",
    check: Check::Image(check),
    ..Rule::IMAGE
};

const DIRECTORIES: [&str; 3] = [
    "etc/systemd/system-preset",
    "usr/local/lib/systemd/system-preset",
    "usr/lib/systemd/system-preset",
];

fn check(image: &Image<'_>) -> Vec<Finding> {
    if !is_first_boot(image) {
        return Vec::new();
    }
    let files = image.files(&DIRECTORIES, ".preset");
    let lines: Vec<Line> = files.iter().flat_map(|file| parse(&file.content)).collect();
    let disables_too = applies_in_full(image);
    let units = image.units();
    let mut findings = Vec::new();
    for unit in units.installable(image) {
        if units.state(&unit.name) != State::There {
            continue;
        }
        let Some(line) = first_match(&lines, &unit.name) else {
            continue;
        };
        let name = unit.name.as_str();
        let preset = String::from_utf8_lossy(line.pattern.text()).into_owned();
        let enabling = units.enabled_in_etc(&unit.name);
        if line.action == PresetAction::Disable && !enabling.is_empty() && disables_too {
            findings.push(RULE.finding(
                format!(
                    "the image enables {name}, but `disable {preset}` disables it at the first boot"
                ),
                format!(
                    "write `enable {name}` into /usr/lib/systemd/system-preset/10-image.preset"
                ),
                enabling.iter().map(|path| format!("/{path}")).collect(),
            ));
        } else if line.action == PresetAction::Enable
            && enabling.is_empty()
            && !preset.contains('*')
        {
            let path = unit.files.first().map(|file| format!("/{file}"));
            let finding = RULE.finding(
                format!(
                    "the image does not enable {name}, but `enable {preset}` does at the first boot"
                ),
                format!(
                    "if it must not run: `systemctl mask {name}`, or write `disable {name}` into \
                     /usr/lib/systemd/system-preset/10-image.preset"
                ),
                path.into_iter().collect(),
            );
            // Boot may be meant to do it.
            let severity = Severity::Info;
            findings.push(Finding {
                severity,
                ..finding
            });
        }
    }
    findings
}

/// Whether systemd takes a fresh machine's boot for its first (machine-id(5), "First Boot
/// Semantics"): not where the file is there and empty, which is common in images.
fn is_first_boot(image: &Image<'_>) -> bool {
    let id = image.content("etc/machine-id");
    id.is_none_or(|id| id.trim_ascii() == b"uninitialized")
}

/// Whether systemd was built with `first-boot-full-preset`: Fedora does since 37 and what is made
/// of it since version 10; others enable only.
fn applies_in_full(image: &Image<'_>) -> bool {
    let release = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|path| image.content(path))
        .unwrap_or_default();
    let value = |key: &str| {
        let mut lines = release.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
        let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        text.trim().trim_matches(['"', '\'']).to_owned()
    };
    let version = value("VERSION_ID");
    let major: u32 = version
        .split('.')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0);
    let like = format!("{} {}", value("ID"), value("ID_LIKE"));
    let mut families = like.split(' ');
    match families.next() {
        Some("fedora") => major >= 37,
        Some("rhel" | "centos" | "almalinux" | "rocky") => major >= 10,
        // What is derived from Fedora has its version numbers.
        _ => families.next() == Some("fedora") && major >= 37,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn image(release: &str, preset: &str) -> Fixture {
        let unit = "[Service]\nExecStart=/x\n[Install]\nWantedBy=multi-user.target\n";
        Fixture::new()
            .file("usr/lib/os-release", release)
            .file("usr/lib/systemd/system-preset/90-a.preset", preset)
            .file("usr/lib/systemd/system/on.service", unit)
            .file("usr/lib/systemd/system/off.service", unit)
            .file(
                "usr/lib/systemd/system/static.service",
                "[Service]\nExecStart=/x\n",
            )
            .link(
                "etc/systemd/system/multi-user.target.wants/on.service",
                "/x",
            )
    }

    fn messages(fixture: &Fixture) -> Vec<String> {
        fixture.messages_of(&RULE)
    }

    const FEDORA: &str = "ID=fedora\nVERSION_ID=42\n";

    #[test]
    fn what_the_first_boot_changes_is_found() {
        let fixture = image(FEDORA, "enable off.service\ndisable *\n");
        assert_eq!(
            messages(&fixture),
            [
                "the image does not enable off.service, but `enable off.service` does at the first boot",
                "the image enables on.service, but `disable *` disables it at the first boot",
            ]
        );
        assert_eq!(
            fixture.paths_of(&RULE),
            [
                "/usr/lib/systemd/system/off.service",
                "/etc/systemd/system/multi-user.target.wants/on.service",
            ]
        );
        let uninitialized = fixture.file("etc/machine-id", "uninitialized\n");
        assert_eq!(messages(&uninitialized).len(), 2);
        let derived = "ID=silver\nID_LIKE=\"fedora\"\nVERSION_ID=\"42\"\n";
        assert_eq!(messages(&image(derived, "disable *")).len(), 1);
    }

    #[test]
    fn presets_that_agree_or_are_not_applied_are_right() {
        let agrees = image(FEDORA, "enable on.service\ndisable *\n");
        assert_eq!(messages(&agrees), [""; 0]);
        let no_first_boot = image(FEDORA, "disable *\n").file("etc/machine-id", "");
        assert_eq!(messages(&no_first_boot), [""; 0]);
        // Debian's systemd enables only.
        assert_eq!(
            messages(&image("ID=debian\nVERSION_ID=13\n", "disable *\n")),
            [""; 0]
        );
        let masked = image(FEDORA, "enable off.service\n");
        let masked = masked.link("etc/systemd/system/off.service", "/dev/null");
        assert_eq!(messages(&masked), [""; 0]);
    }
}
