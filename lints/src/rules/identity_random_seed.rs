//! # What it does
//! Finds seeds of random numbers, and secrets that a host makes for itself. These are systemd's
//! random-seed and credential.secret, and what `NetworkManager` has in `secret_key`.
//!
//! # Why it breaks
//! All hosts with the image begin with the same seed or secret. Whoever can pull the image knows
//! it. What is encrypted with it, or derived from it, is no secret.
//!
//! # Example
//! ```dockerfile
//! RUN systemd-creds setup
//! ```
//!
//! # Fix
//! Remove it in the step that made it: `rm /var/lib/systemd/credential.secret`. Each host makes its
//! own if there is none.

use super::{Check, EntryCheck, Rule, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "identity-random-seed",
    severity: Severity::Warning,
    summary: "all machines of the image begin with the same seed or secret",
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

const OWN: [&[u8]; 6] = [
    b"boot/efi/loader/random-seed",
    b"boot/loader/random-seed",
    b"var/lib/NetworkManager/secret_key",
    b"var/lib/random-seed",
    b"var/lib/systemd/credential.secret",
    b"var/lib/systemd/random-seed",
];

fn holds(entry: &Entry<'_>) -> bool {
    OWN.contains(&entry.path) && entry.meta.kind == Kind::File && entry.meta.size > 0
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "seed or secret is", "seeds or secrets are");
    RULE.about(
        paths,
        format!("{what} the same on all machines of the image"),
        "remove it in the RUN that made it: each machine makes its own",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_seed_is_told() {
        let tree = Fixture::new().file("var/lib/systemd/random-seed", "x");
        assert_eq!(tree.paths_of(&RULE), ["/var/lib/systemd/random-seed"]);
    }

    #[test]
    fn an_empty_one_is_right() {
        let tree = Fixture::new().file("var/lib/systemd/random-seed", "");
        let tree = tree.file("usr/lib/systemd/random-seed", "x");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
