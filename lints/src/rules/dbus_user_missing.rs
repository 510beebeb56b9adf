//! # What it does
//! Finds services and policies of the system bus that name a user or group the host does not have.
//! It looks at `User=` in /usr/share/dbus-1/system-services, and at `user=` and `group=` in
//! system.d.
//!
//! # Why it breaks
//! D-Bus cannot start the service. Parts of a policy for an unknown account do not hold. Then the
//! service may not own its name: "Connection is not allowed to own the service".
//!
//! # Example
//! ```dockerfile
//! RUN useradd --system acme    # and acme.conf says <policy user="acme">
//! ```
//!
//! # Fix
//! Declare the account in sysusers.d: `u acme 950`. Then upgraded hosts have it as well.

use super::{Check, Rule, absolute};
use crate::machine::History;
use crate::machine::accounts::Accounts;
use crate::model::units::parse;
use crate::units::BUS_SERVICES;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "dbus-user-missing",
    severity: Severity::Warning,
    summary: "a D-Bus service or policy names an account that the machine lacks",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// The policies (dbus-daemon(1)).
const POLICIES: [&str; 2] = ["etc/dbus-1/system.d", "usr/share/dbus-1/system.d"];

/// Bytes of a policy at most that are looked through.
const MAX_POLICY_BYTES: usize = 256 << 10;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let fresh = image.accounts(History::Fresh);
    let upgraded = image.accounts(History::Upgraded);
    let mut findings = Vec::new();
    let mut ask = |file: &str, name: &[u8], is_user: bool| {
        let has = |accounts: &Accounts| {
            name == b"*"
                || if is_user {
                    accounts.has_user(name)
                } else {
                    accounts.has_group(name)
                }
        };
        let on = match (has(fresh), has(upgraded)) {
            (true, true) => return,
            (true, false) => "a machine upgraded to the image",
            // Policies are written for the groups of several distributions.
            _ if !is_user => return,
            _ => "no machine",
        };
        let (what, letter) = if is_user {
            ("user", 'u')
        } else {
            ("group", 'g')
        };
        let name = crate::escape_path(name);
        let is_missing = match on {
            "no machine" => "no machine has".to_owned(),
            on => format!("{on} does not have"),
        };
        findings.push(RULE.finding(
            format!("/{file} names the {what} {name}, which {is_missing}"),
            format!("declare it in sysusers.d: `{letter} {name} ID`"),
            vec![absolute(file.as_bytes())],
        ));
    };
    for name in image.names(BUS_SERVICES) {
        let path = format!("{BUS_SERVICES}/{name}");
        let content = image.content(&path).unwrap_or_default();
        for one in parse(&content).assignments {
            if one.key == b"User" {
                ask(&path, &one.value, true);
            }
        }
    }
    for file in image.files(&POLICIES, ".conf") {
        for (attribute, name) in policies(&file.content) {
            ask(&file.path, &name, attribute == "user");
        }
    }
    findings
}

/// The accounts that the `policy` elements of a policy file are for. What stands in a comment does
/// not count.
fn policies(file: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let text = String::from_utf8_lossy(&file[..file.len().min(MAX_POLICY_BYTES)]);
    let outside = text
        .split("<!--")
        .enumerate()
        .map(|(index, part)| match index {
            0 => part,
            _ => part.split_once("-->").map_or("", |(_, rest)| rest),
        });
    let mut found = Vec::new();
    for part in outside {
        for element in part.split("<policy").skip(1) {
            let attributes = element.split('>').next().unwrap_or_default();
            for name in ["user", "group"] {
                if let Some(value) = attribute(attributes, name) {
                    found.push((name, value.as_bytes().to_vec()));
                }
            }
        }
    }
    found
}

/// The value of an attribute of an element.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (before, after) = attributes.split_once(name)?;
    let after = after.trim_start().strip_prefix('=')?.trim_start();
    let quote = after
        .chars()
        .next()
        .filter(|first| "\"'".contains(*first))?;
    let is_whole = before.ends_with(char::is_whitespace);
    let (value, _) = after[1..].split_once(quote)?;
    (is_whole && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn unknown_accounts_of_services_and_policies_are_found() {
        let fixture = Fixture::new()
            .file("etc/passwd", "local:x:950:950::/:/bin/sh\n")
            .file(
                "usr/share/dbus-1/system-services/a.service",
                "[D-BUS Service]\nName=a\nExec=/x\nUser=gone\n",
            )
            .file(
                "usr/share/dbus-1/system.d/a.conf",
                "<busconfig><!-- <policy user=\"comment\"> -->\n<policy\n user = 'local'>\n\
                 <policy context=\"default\"/><policy group=\"gone\">",
            );
        let found = fixture.findings_of(&RULE).into_iter();
        let messages: Vec<_> = found.map(|finding| finding.message).collect();
        assert_eq!(
            messages,
            [
                "/usr/share/dbus-1/system-services/a.service names the user gone, which no machine \
                 has",
                "/usr/share/dbus-1/system.d/a.conf names the user local, which a machine upgraded \
                 to the image does not have",
            ]
        );
    }

    #[test]
    fn declared_accounts_and_all_of_them_are_right() {
        let fixture = Fixture::new()
            .file("usr/lib/sysusers.d/a.conf", "u bus 81\n")
            .file(
                "usr/share/dbus-1/system-services/a.service",
                "[D-BUS Service]\nUser=root\n",
            )
            .file(
                "etc/dbus-1/system.d/a.conf",
                "<policy user=\"bus\"/><policy user=\"*\"/><policy superuser=\"x\"/>",
            );
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
