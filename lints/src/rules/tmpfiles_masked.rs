//! # What it does
//! Finds content of /var that a tmpfiles.d file declares and that nothing creates. Another file of
//! the same name overrides or masks that file.
//!
//! # Why it breaks
//! Of files with the same name, only the one in /etc counts. An upgraded host does not get the
//! content. The service that needs it does not start there.
//!
//! # Example
//! ```dockerfile
//! RUN ln -s /dev/null /etc/tmpfiles.d/acme.conf
//! ```
//!
//! # Fix
//! Remove the file that hides the other. Or declare in it what you still need.

use super::{Check, Rule, absolute};
use crate::var_state::{hidden, lost};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-masked",
    severity: Severity::Warning,
    summary: "a file hides the tmpfiles.d file that declares an entry of /var",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let hidden = hidden(image);
    let lost = lost(image).into_iter();
    lost.filter_map(|lost| {
        let (file, hider) = hidden.get(lost.path)?;
        let path = absolute(lost.path);
        Some(RULE.finding(
            format!("nothing makes {path}: /{hider} hides /{file}"),
            format!("remove /{hider}, or declare {path} in it"),
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
    fn what_a_masked_file_declares_is_told() {
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/a.conf", "d /var/lib/a 0755\n");
        let tree = tree.file("usr/lib/tmpfiles.d/var.conf", "d /var/lib 0755\n");
        let tree = tree.directory("var/lib/a");
        assert_eq!(tree.findings_of(&RULE), []);
        let tree = tree.link("etc/tmpfiles.d/a.conf", "/dev/null");
        let found = tree.findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "nothing makes /var/lib/a: /etc/tmpfiles.d/a.conf hides /usr/lib/tmpfiles.d/a.conf"
        );
        assert_eq!(tree.findings_of(&var_not_declared::RULE), []);
    }

    #[test]
    fn a_masked_file_whose_content_nobody_has_is_right() {
        let tree = Fixture::new().file("usr/lib/tmpfiles.d/home.conf", "d /srv 0755\n");
        let tree = tree.link("etc/tmpfiles.d/home.conf", "/dev/null");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
