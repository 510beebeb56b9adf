//! # What it does
//! Finds keys that each host should make for itself: ssh host keys, and Debian's "snakeoil" TLS
//! certificate. Nothing in the image could make them anew, so the commit did not remove them.
//!
//! # Why it breaks
//! All hosts with the image have the same private key. Whoever can pull the image has it too, and
//! can pose as any of the hosts.
//!
//! # Example
//! ```dockerfile
//! RUN ssh-keygen -A && rm /usr/bin/ssh-keygen
//! ```
//!
//! # Fix
//! Remove the keys in the step that made them: `rm -f /etc/ssh/ssh_host_*_key*`. Have them made at
//! boot, by a unit of your own. Or install the program that makes them (`ssh-keygen`,
//! `make-ssl-cert`). The commit then uses that program.

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
