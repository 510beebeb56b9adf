//! # What it does
//! Finds lines in tmpfiles.d that systemd does not read. They have an unknown type or specifier, an
//! invalid mode, or a path that is not absolute.
//!
//! # Why it breaks
//! The line does nothing. systemd-tmpfiles-setup.service reports a failure at each boot.
//!
//! # Example
//! ```text
//! d var/lib/acme 0755 acme acme -
//! ```
//!
//! # Fix
//! Correct the line (tmpfiles.d(5)):
//! ```text
//! d /var/lib/acme 0755 acme acme -
//! ```
//! To try it: `systemd-tmpfiles --create --root=/some/empty/directory FILE`.

use super::{Check, Rule};
use crate::model::tmpfiles::{DIRECTORIES, SPECIFIER_OF_MACHINE};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-rejected",
    severity: Severity::Warning,
    summary: "systemd does not read a line of tmpfiles.d",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let problems = image.tmpfiles().problems.iter();
    problems
        .filter(|problem| problem.reason != SPECIFIER_OF_MACHINE)
        .map(|problem| {
            let path = path_of(image, &problem.file);
            let (number, reason) = (problem.number, problem.reason);
            RULE.finding(
                format!("{path}:{number} {reason}, so systemd ignores it"),
                "correct the line: `TYPE /PATH MODE USER GROUP AGE ARGUMENT`".to_owned(),
                vec![path],
            )
        })
        .collect()
}

/// The absolute path of the tmpfiles.d file of a name that counts.
pub(super) fn path_of(image: &Image<'_>, name: &[u8]) -> String {
    let name = escape_path(name);
    let paths = DIRECTORIES.map(|directory| format!("{directory}/{name}"));
    let found = paths.iter().find(|path| image.kind(path).is_some());
    format!("/{}", found.unwrap_or(&paths[DIRECTORIES.len() - 1]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn each_line_that_is_not_read_is_told() {
        let lines = "# acme\nd var/lib/acme\nd /var/a 9999\nd /var/%z\nY /var\n";
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/acme.conf", lines);
        let found = tree.findings_of(&RULE);
        let messages: Vec<_> = found.iter().map(|finding| &finding.message).collect();
        let file = "/usr/lib/tmpfiles.d/acme.conf";
        let expected = [
            "2 has no absolute path",
            "3 has no valid mode",
            "4 has an unknown specifier",
            "5 has an unknown type",
        ];
        assert_eq!(
            messages,
            expected
                .map(|what| format!("{file}:{what}, so systemd ignores it"))
                .iter()
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_only_a_machine_knows_and_what_is_masked_is_right() {
        let lines = "d /var/lib/a 0755 root root 10d -\nZ /var/log/journal/%m ~2750\n";
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", lines);
        let tree = tree.file("usr/lib/tmpfiles.d/b.conf", "nonsense");
        let tree = tree.link("etc/tmpfiles.d/b.conf", "/dev/null");
        let tree = tree.file("usr/lib/tmpfiles.d/README", "nonsense");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
