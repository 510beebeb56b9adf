//! # What it does
//! Finds keys that each host should make for itself: ssh host keys, and Debian's "snakeoil" TLS
//! key.
//!
//! # Why it breaks
//! All hosts with the image have the same private key. Whoever can pull the image has it too, and
//! can pose as any of the hosts.
//!
//! # Example
//! ```dockerfile
//! RUN ssh-keygen -A
//! ```
//!
//! # Fix
//! Remove the keys in the step that made them:
//! ```dockerfile
//! RUN rm -f /etc/ssh/ssh_host_*_key*
//! ```
//! Have them made at boot. Fedora's sshd-keygen units do that. On Debian, add a unit with
//! `ExecStart=/usr/bin/ssh-keygen -A`.

use super::{Check, EntryCheck, Rule, counted};
use crate::knowledge::machine::{SNAKEOIL_KEY, SSH_KEYS_BEGIN};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "identity-host-keys",
    severity: Severity::Warning,
    summary: "all machines of the image have the same private keys",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    let is_key = entry.path.strip_prefix(b"etc/").is_some_and(|path| {
        let host_key = path.strip_prefix(SSH_KEYS_BEGIN.as_bytes());
        let is_host_key = |name: &[u8]| name.ends_with(b"_key") && !name.contains(&b'/');
        host_key.is_some_and(is_host_key) || path == SNAKEOIL_KEY.as_bytes()
    });
    is_key && entry.meta.kind == Kind::File && entry.meta.size > 0
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "private key is", "private keys are");
    RULE.about(
        paths,
        format!("{what} the same on all machines of the image"),
        "remove it in the RUN that made it (`rm -f /etc/ssh/ssh_host_*_key*`), and have it made at \
         boot",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn private_halves_are_told() {
        let tree = Fixture::new().file("etc/ssh/ssh_host_ed25519_key", "x");
        let tree = tree.file("etc/ssh/ssh_host_ed25519_key.pub", "x");
        let tree = tree.file("etc/ssl/private/ssl-cert-snakeoil.key", "x");
        let found = [
            "/etc/ssh/ssh_host_ed25519_key",
            "/etc/ssl/private/ssl-cert-snakeoil.key",
        ];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn configuration_is_right() {
        let tree = Fixture::new().file("etc/ssh/sshd_config", "x");
        let tree = tree.file("etc/ssh/ssh_host_rsa_key", "");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
