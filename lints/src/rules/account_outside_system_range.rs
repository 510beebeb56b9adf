//! # What it does
//! Finds users and groups that the image makes with ids from the range for people. That is
//! `UID_MIN` to `UID_MAX` of login.defs, 1000 to 60000.
//!
//! # Why it breaks
//! These ids belong to the host: its first own user gets 1000 too. A service account with such an
//! id then gets another one. The files that the image has for it belong to that first user. A host
//! that ever changed its /etc/passwd does not know the image's login accounts.
//!
//! # Example
//! ```dockerfile
//! RUN useradd app
//! ```
//!
//! # Fix
//! Use `useradd --system` and `groupadd --system` for the accounts of services. Create people's
//! accounts on the host, with an installer, cloud-init or systemd's credentials.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "account-outside-system-range",
    severity: Severity::Warning,
    summary: "the image makes an account with an id of the machine's own users",
    ..Rule::STEP
};

/// What kind of account it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// A user that cannot log in.
    Service,
    /// A user with a login shell.
    Login,
    /// A group.
    Group,
}

/// The finding about one account; `min` is the lowest id for people.
pub fn finding(account: Account, name: &str, id: u32, min: u32) -> Finding {
    let (what, path, command, kept) = match account {
        Account::Service => ("user", "/etc/passwd", "useradd", ""),
        Account::Login => (
            "user",
            "/etc/passwd",
            "useradd",
            "; sysusers.d does not declare it, because it has a login shell",
        ),
        Account::Group => ("group", "/etc/group", "groupadd", ""),
    };
    RULE.finding(
        format!("the {what} {name} has the id {id}: ids from {min} on belong to the users of the machine{kept}"),
        format!("make it with `{command} --system` if a service uses it; make people's accounts on the machine"),
        vec![path.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_account_is_told_to_be_left_to_the_machine() {
        let finding = finding(Account::Login, "app", 1000, 1000);
        assert!(finding.message.contains("the user app has the id 1000"));
        assert!(finding.message.ends_with("because it has a login shell"));
        assert!(finding.help.contains("useradd --system"));
    }
}
