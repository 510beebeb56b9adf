//! # What it does
//! Finds accounts that the image makes with a password, or with none at all.
//!
//! # Why it breaks
//! Every host with the image has the same password. Whoever can pull the image can guess at its
//! hash. An empty password field lets anybody in.
//!
//! # Example
//! ```dockerfile
//! RUN echo root:secret | chpasswd
//! ```
//!
//! # Fix
//! Lock the account in the image: `passwd --lock root`. Set passwords or ssh keys on the host, with
//! an installer, cloud-init or systemd's credentials.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-usable-password",
    severity: Severity::Warning,
    summary: "an account of the image can be logged in to on every machine",
    ..Rule::STEP
};

/// The finding about one account that has a password; `path` is the file with its hash.
pub fn with_password(name: &str, path: &str) -> Finding {
    finding(
        format!("the account {name} has a password, the same on every machine"),
        name,
        path,
    )
}

/// The finding about one account that needs no password; `path` is the file that says so.
pub fn without_password(name: &str, path: &str) -> Finding {
    finding(
        format!("the account {name} needs no password: its field is empty"),
        name,
        path,
    )
}

fn finding(message: String, name: &str, path: &str) -> Finding {
    RULE.finding(
        message,
        format!("lock it with `passwd --lock {name}` and set a password or keys on the machine"),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_field_is_told_from_a_password() {
        let path = "/etc/shadow";
        assert!(
            with_password("root", path)
                .message
                .contains("has a password")
        );
        assert!(
            without_password("root", path)
                .message
                .contains("needs no password")
        );
    }
}
