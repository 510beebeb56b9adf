//! # What it does
//! Looks for accounts that the image makes with a password, or with none at all.
//!
//! # Why it breaks
//! Every machine of the image has the same password, and whoever can pull the image can guess at
//! its hash. An empty password field lets anybody in.
//!
//! # Example
//! ```dockerfile
//! RUN echo root:secret | chpasswd
//! ```
//!
//! # Fix
//! Set passwords or ssh keys on the machine (an installer, cloud-init, systemd's credentials), and
//! lock the account in the image with `passwd --lock`.

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
