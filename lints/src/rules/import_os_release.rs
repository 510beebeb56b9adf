//! # What it does
//! Checks that os-release names the system, by `PRETTY_NAME` or `ID`.
//!
//! # Why it breaks
//! For the boot menu, ostree takes the name from os-release. Without it no deployment is made:
//! `No PRETTY_NAME or ID in /etc/os-release`. The host keeps its former image.
//!
//! # Example
//! ```dockerfile
//! RUN echo 'VARIANT=acme' > /usr/lib/os-release
//! ```
//!
//! # Fix
//! Add the lines:
//! ```dockerfile
//! RUN printf 'ID=acme\nPRETTY_NAME="Acme OS 1"\n' >> /usr/lib/os-release
//! ```

use super::layout_composefs::first_of;
use super::{Check, Rule, Scope};
use crate::model::os_release;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-os-release",
    severity: Severity::Error,
    summary: "os-release does not name the system",
    scope: Scope::Import,
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let (path, message) = match first_of(image, &os_release::PATHS) {
        Some((_, content)) if os_release::names_system(&content) => return Vec::new(),
        Some((path, _)) => (path, format!("/{path} has neither PRETTY_NAME nor ID")),
        None => (
            os_release::PATHS[0],
            "there is no /usr/lib/os-release".to_owned(),
        ),
    };
    let help = format!("add lines `ID=NAME` and `PRETTY_NAME=\"NAME\"` to /{path}");
    vec![RULE.finding(message, help, vec![format!("/{path}")])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn the_file_in_usr_counts() {
        let named = Fixture::new().file("usr/lib/os-release", "ID=acme\n");
        let named = named.link("etc/os-release", "../usr/lib/os-release");
        assert_eq!(named.findings_of(&RULE), []);
        let etc = Fixture::new().file("etc/os-release", "PRETTY_NAME='A'\n");
        assert_eq!(etc.findings_of(&RULE), []);
        let found = etc.file("usr/lib/os-release", "NAME=x\n").paths_of(&RULE);
        assert_eq!(found, ["/usr/lib/os-release"]);
    }

    #[test]
    fn none_at_all_is_told() {
        let found = Fixture::new().findings_of(&RULE);
        assert_eq!(found[0].message, "there is no /usr/lib/os-release");
    }
}
