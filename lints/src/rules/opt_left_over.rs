//! # What it does
//! Finds software of earlier steps in /usr/lib/opt or /usr/lib/usrlocal that a step seems to have
//! removed or replaced. The step took away the link in /opt or /usr/local, but not what it leads
//! to.
//!
//! # Why it breaks
//! Nothing breaks. The files stay in the image. Programs still find them under the old path, unless
//! a new entry hides them.
//!
//! # Example
//! ```dockerfile
//! RUN apt-get install -y ./acme.deb
//! RUN rm -rf /opt/acme
//! ```
//!
//! # Fix
//! Remove what the link leads to as well. In the example: `rm -rf /usr/lib/opt/acme`.

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "opt-left-over",
    severity: Severity::Warning,
    summary: "files of earlier steps stay although their link in /opt or /usr/local is gone",
    ..Rule::STEP
};

/// The finding about one link; both paths are absolute.
pub fn finding(link: &str, content: &str) -> Finding {
    RULE.finding(
        format!("{link} was removed or replaced, and {content} still has files of earlier steps"),
        "remove them, too, if they are not needed: `rm -rf` with the path that is named".to_owned(),
        vec![content.to_owned()],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_named() {
        let finding = finding("/var/opt/acme", "/usr/lib/opt/acme");
        assert_eq!(finding.paths, ["/usr/lib/opt/acme"]);
    }
}
