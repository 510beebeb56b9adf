//! # What it does
//! Looks for keys that each machine should make for itself (ssh host keys, Debian's "snakeoil" TLS
//! certificate) where nothing in the image could make them anew, so that they were not removed.
//!
//! # Why it breaks
//! All machines of the image have the same private key, and whoever can pull the image has it too:
//! they can pose as any of the machines.
//!
//! # Example
//! ```dockerfile
//! RUN ssh-keygen -A && rm /usr/bin/ssh-keygen
//! ```
//!
//! # Fix
//! Remove them in the step that made them, and have them made at boot, by a unit of yours or by the
//! program that makes them (`ssh-keygen`, `make-ssl-cert`), which is then used.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "identity-shared",
    severity: Severity::Warning,
    summary: "a key that each machine should make for itself is part of the image",
    ..Rule::STEP
};

/// The finding about keys that stay because `missing` is not in the image.
pub fn finding(what: &str, missing: &str, paths: Vec<String>) -> Finding {
    RULE.finding(
        format!("{what} is the same on every machine: the image has no {missing} to make it anew"),
        format!("install {missing}, or remove the key and make it at boot with a unit of yours"),
        paths,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_missing() {
        let paths = vec!["/etc/ssh/ssh_host_rsa_key".to_owned()];
        let finding = finding("the ssh host key", "/usr/bin/ssh-keygen", paths);
        assert!((finding.message).ends_with("has no /usr/bin/ssh-keygen to make it anew"));
        assert!(finding.help.starts_with("install /usr/bin/ssh-keygen"));
    }
}
