//! # What it does
//! Finds content of /var that lines of tmpfiles.d adjust or clean, and that no line creates. These
//! lines have the types `z`, `Z`, `m`, `a`, `A`, `t`, `T`, `h`, `H` and `e`.
//!
//! # Why it breaks
//! Such a line changes what is there. On an upgraded host there is nothing, so nothing is created.
//! The service that needs it does not start.
//!
//! # Example
//! ```text
//! z /var/lib/acme 0750 acme acme -
//! ```
//!
//! # Fix
//! Use a type that creates the entry. For files that is `C`. For a directory it is `d`, which sets
//! mode and owner too:
//! ```text
//! d /var/lib/acme 0750 acme acme -
//! ```

use std::collections::BTreeMap;

use super::{Check, Rule, absolute};
use crate::model::tmpfiles::Line;
use crate::var_state::{lost, place};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-only-adjusts",
    severity: Severity::Warning,
    summary: "a tmpfiles.d line adjusts an entry of /var that no line makes",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// The lines that only adjust or clean, by the path that they name as it stands.
pub(super) fn adjusting<'a>(image: &'a Image<'_>) -> BTreeMap<Vec<u8>, &'a Line> {
    let lines = image.tmpfiles().lines.iter();
    lines
        .filter(|line| b"zZmaAtThHe".contains(&line.kind))
        .map(|line| (place(image, line), line))
        .collect()
}

fn check(image: &Image<'_>) -> Vec<Finding> {
    let adjusting = adjusting(image);
    let lost = lost(image).into_iter();
    lost.filter_map(|lost| {
        let line = adjusting.get(lost.path)?;
        let (path, kind) = (absolute(lost.path), char::from(line.kind));
        let place = format!("{}:{}", escape_path(&line.file), line.number);
        let (mode, owner) = (lost.meta.mode, lost.owner(image));
        Some(RULE.finding(
            format!("`{kind}` of {place} makes no {path}, and no other line does"),
            format!("make it: `d {path} {mode:04o} {owner} -` in place of `{kind}`"),
            vec![path],
        ))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;
    use crate::rules::var_not_declared;

    #[test]
    fn an_adjusting_line_makes_nothing() {
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", "\nz /var/lib/acme 0750\n");
        let tree = tree.directory("var/lib/acme");
        let tree = tree.file("usr/lib/tmpfiles.d/var.conf", "d /var/lib 0755\n");
        let found = tree.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "`z` of a.conf:2 makes no /var/lib/acme, and no other line does"
        );
        assert_eq!(tree.findings_of(&var_not_declared::RULE), []);
    }

    #[test]
    fn with_a_line_that_makes_it_or_without_content_it_is_right() {
        let lines = "z /var/lib/a 0750\nd /var/lib/a 0750\nz /var/log/journal 2755\n";
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", lines);
        assert_eq!(tree.directory("var/lib/a").findings_of(&RULE), []);
    }
}
