//! # What it does
//! Finds lines in sysusers.d that systemd-sysusers ignores with an error.
//!
//! # Why it breaks
//! The account is not created. systemd-sysusers.service still counts as started, so nothing tells
//! you.
//!
//! # Example
//! ```dockerfile
//! RUN echo 'u web.app 950' >/usr/lib/sysusers.d/web.conf
//! ```
//!
//! # Fix
//! Write the line as sysusers.d(5) has it:
//!
//! - a name of letters, digits, `_` and `-`
//! - a valid id
//! - quotes in pairs
//! - at most six fields for `u`, and three for others

use super::{Check, Rule};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "sysusers-rejected",
    severity: Severity::Warning,
    summary: "systemd-sysusers ignores a line of sysusers.d",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let files = image.sysusers().iter();
    let problems = files.flat_map(|(file, parsed)| {
        (parsed.problems.iter()).map(move |problem| (file.path.as_str(), problem))
    });
    problems
        .map(|(path, problem)| {
            let (number, message) = (problem.number, problem.message);
            RULE.finding(
                format!("systemd-sysusers ignores line {number} of /{path}: {message}"),
                "write it as sysusers.d(5) has it, for example `u NAME ID \"TEXT\" HOME SHELL`"
                    .to_owned(),
                vec![format!("/{path}")],
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_line_that_systemd_ignores_is_found() {
        let fixture = Fixture::new().file("usr/lib/sysusers.d/a.conf", "# a\nu web.app 950\n");
        let found = fixture.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "systemd-sysusers ignores line 2 of /usr/lib/sysusers.d/a.conf: a name is not valid"
        );
    }

    #[test]
    fn good_lines_and_masked_files_are_right() {
        let fixture = Fixture::new()
            .file(
                "usr/lib/sysusers.d/a.conf",
                "u web 950\n\n; c\n".replace("; c\n", "# c\n"),
            )
            .file("usr/lib/sysusers.d/b.conf", "nonsense\n")
            .link("etc/sysusers.d/b.conf", "/dev/null")
            .file("usr/lib/sysusers.d/README", "nonsense\n");
        assert_eq!(fixture.findings_of(&RULE), []);
    }
}
