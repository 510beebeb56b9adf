//! # What it does
//! Tells of suppressions, in osderive.toml or in a comment of the Containerfile, that no finding needs.
//!
//! # Why it breaks
//! Nothing, today: but the next finding of that rule at that place is silenced by a decision about another one.
//!
//! # Example
//! ```toml
//! [[allow]]
//! rule = "import-special-file"
//! path = "/usr/lib/a-file-that-is-gone"
//! reason = "the vendor makes it"
//! ```
//!
//! # Fix
//! Remove the suppression, or correct its path.

use super::Rule;
use crate::policy::{Pattern, Suppression};
use crate::{Finding, Origin, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "unused-suppression",
    severity: Severity::Warning,
    summary: "a suppression that no finding needs",
    ..Rule::IMAGE
};

/// The finding about one of them.
pub fn finding(unused: &Suppression) -> Finding {
    let (place, rule) = (&unused.place, unused.rule.name);
    let path = unused.path.as_ref().map(Pattern::as_str);
    let at = path.map_or_else(String::new, |path| format!(" at {path}"));
    let mut finding = RULE.finding(
        format!(
            "{}:{} allows {rule}{at}, which nothing needs",
            place.file, place.line
        ),
        "remove it, or correct its path".to_owned(),
        Vec::new(),
    );
    finding.origin = unused.lines.map(|_| Origin {
        lines: Some((place.line, place.line)),
        ..Origin::default()
    });
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Place;

    #[test]
    fn the_finding_names_the_line_and_what_it_allows() {
        let unused = Suppression {
            rule: &crate::rules::kernel_count::RULE,
            path: Pattern::parse("/usr/lib/modules"),
            reason: "two are wanted".to_owned(),
            place: Place {
                file: "Containerfile".to_owned(),
                line: 7,
            },
            lines: Some((8, 9)),
        };
        let finding = finding(&unused);
        assert_eq!(
            finding.message,
            "Containerfile:7 allows kernel-count at /usr/lib/modules, which nothing needs"
        );
        assert_eq!(finding.origin.expect("an origin").lines, Some((7, 7)));
    }
}
