//! # What it does
//! Finds links in /etc/alternatives to something in /var that is missing at boot. Also finds
//! records of alternatives in /var that are missing at boot.
//!
//! # Why it breaks
//! The command is missing on the host. Without the records, the next build step or package that
//! touches the alternative starts from nothing. It may choose another one.
//!
//! # Example
//! ```dockerfile
//! RUN update-alternatives --install /usr/bin/acme acme /opt/acme/bin/acme 10
//! ```
//!
//! # Fix
//! Install the program below /usr. Keep the records in /usr and have boot link to them:
//! ```ini
//! # /usr/lib/tmpfiles.d/alternatives.conf
//! L /var/lib/alternatives - - - - ../../usr/lib/alternatives
//! ```

use super::{Check, MAX_NAMED, Rule, counted};
use crate::machine::{History, Machine};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "alternatives-into-var",
    severity: Severity::Warning,
    summary: "an alternative or its record is in /var and gone at boot",
    check: Check::Image(check),
    ..Rule::IMAGE
};

const LINKS: &str = "etc/alternatives";

/// Where the records are: Debian's and Fedora's tools.
const RECORDS: [&str; 2] = ["var/lib/dpkg/alternatives", "var/lib/alternatives"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let names = image.names(LINKS);
    if names.is_empty() {
        return Vec::new();
    }
    let machine = Machine::boot(image, History::Upgraded);
    let is_lost = |path: &str| image.exists(path) && machine.lacks(format!("/{path}").as_bytes());
    let mut findings = Vec::new();
    let lost: Vec<String> = (names.iter())
        .map(|name| format!("{LINKS}/{name}"))
        .filter(|path| is_lost(path))
        .map(|path| format!("/{path}"))
        .collect();
    if !lost.is_empty() {
        let what = counted(lost.len(), "alternative leads", "alternatives lead");
        findings.push(
            RULE.finding(
                format!("{what} into /var, where nothing is at boot"),
                "install the program below /usr, or have tmpfiles.d make what the link leads to"
                    .to_owned(),
                lost.into_iter().take(MAX_NAMED).collect(),
            ),
        );
    }
    for records in RECORDS {
        let count = image.names(records).len();
        if count > 0 && is_lost(records) {
            let what = counted(count, "alternative is", "alternatives are");
            let finding = RULE.finding(
                format!("the records of {what} in /{records} and gone at boot"),
                format!("move /{records} below /usr/lib and link to it, with a line of tmpfiles.d for boot"),
                vec![format!("/{records}")],
            );
            // Only who installs packages on the machine or in a later build misses them.
            let severity = Severity::Info;
            findings.push(Finding {
                severity,
                ..finding
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn links_and_records_that_are_gone_at_boot_are_found() {
        let fixture = Fixture::new()
            .link("opt", "var/opt")
            .program("var/opt/acme/acme")
            .link("etc/alternatives/acme", "/opt/acme/acme")
            .file("var/lib/dpkg/alternatives/acme", "auto\n");
        let found = fixture.findings_of(&RULE);
        assert_eq!(found[0].paths, ["/etc/alternatives/acme"]);
        assert_eq!(
            found[0].message,
            "1 alternative leads into /var, where nothing is at boot"
        );
        assert_eq!(found[1].paths, ["/var/lib/dpkg/alternatives"]);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn links_to_what_stays_are_right() {
        let fixture = Fixture::new()
            .link("opt", "var/opt")
            .program("usr/lib/opt/acme/acme")
            .program("usr/bin/vim.basic")
            .link("etc/alternatives/vi", "/usr/bin/vim.basic")
            .link("var/opt/acme", "../../usr/lib/opt/acme")
            .link("etc/alternatives/acme", "/opt/acme/acme")
            // A manual page that was left out is not lost at boot.
            .link("etc/alternatives/vi.1.gz", "/usr/share/man/man1/vim.1.gz")
            .link("var/lib/dpkg", "../../usr/lib/sysimage/dpkg")
            .file("usr/lib/sysimage/dpkg/alternatives/vi", "auto\n")
            .file(
                "usr/lib/tmpfiles.d/a.conf",
                "L /var/lib/dpkg - - - - ../../usr/lib/sysimage/dpkg\n\
                 L+ /opt/acme - - - - ../../usr/lib/opt/acme\n",
            );
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
