//! # What it does
//! Finds a machine id in the image: in /etc/machine-id, or in a file of D-Bus's own.
//!
//! # Why it breaks
//! All hosts with the image have the same id. DHCP gives them one address, and their journals mix.
//! What is derived from the id (MAC addresses, keys) is the same everywhere.
//!
//! # Example
//! ```dockerfile
//! RUN systemd-machine-id-setup
//! ```
//!
//! # Fix
//! Empty the file, and remove D-Bus's own:
//! ```dockerfile
//! RUN truncate -s 0 /etc/machine-id && rm -f /var/lib/dbus/machine-id
//! ```
//! Write `uninitialized` instead of nothing if the first boot should count as one
//! (`ConditionFirstBoot=`).

use super::{Check, Rule};
use crate::tree::Kind;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "identity-machine-id",
    severity: Severity::Warning,
    summary: "all machines of the image have the same machine id",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Bytes of a file with an id at most.
const MAX_BYTES: u64 = 4096;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let holds = |path: &&&str| {
        let content = image.tree.read(path.as_bytes(), MAX_BYTES);
        let content = content.ok().flatten().unwrap_or_default();
        let id = content.trim_ascii();
        image.kind(path) == Some(Kind::File)
            && id.len() == 32
            && id.iter().all(u8::is_ascii_hexdigit)
    };
    (["etc/machine-id", "var/lib/dbus/machine-id"].iter())
        .filter(holds)
        .map(|path| {
            let help = match *path {
                "etc/machine-id" => "`RUN truncate -s 0 /etc/machine-id`",
                _ => "`RUN rm /var/lib/dbus/machine-id`; D-Bus reads /etc/machine-id",
            };
            RULE.finding(
                format!("/{path} holds an id, which all machines of the image have"),
                help.to_owned(),
                vec![format!("/{path}")],
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    const ID: &str = "0123456789abcdef0123456789abcdef\n";

    #[test]
    fn an_id_is_told() {
        let tree = Fixture::new().file("etc/machine-id", ID);
        let tree = tree.link("var/lib/dbus/machine-id", "/etc/machine-id");
        assert_eq!(tree.paths_of(&RULE), ["/etc/machine-id"]);
        let tree = Fixture::new().file("var/lib/dbus/machine-id", ID);
        assert_eq!(tree.paths_of(&RULE), ["/var/lib/dbus/machine-id"]);
    }

    #[test]
    fn an_empty_file_none_and_a_first_boot_are_right() {
        assert_eq!(Fixture::new().findings_of(&RULE), []);
        for content in ["", "\n", "uninitialized\n"] {
            let tree = Fixture::new().file("etc/machine-id", content);
            assert_eq!(tree.findings_of(&RULE), []);
        }
    }
}
