//! # What it does
//! Finds `L` lines of tmpfiles.d for a path where the image has a directory.
//!
//! # Why it breaks
//! `L` makes a link only where nothing is. Here it silently does nothing, and programs see the
//! directory.
//!
//! # Example
//! ```dockerfile
//! RUN mkdir -p /var/lib/acme && \
//!     echo 'L /var/lib/acme - - - - /usr/share/acme' > /usr/lib/tmpfiles.d/acme.conf
//! ```
//!
//! # Fix
//! Remove the directory from the image. Or replace it at each boot, with all that is in it:
//! ```text
//! L+ /var/lib/acme - - - - /usr/share/acme
//! ```

use super::tmpfiles_rejected::path_of;
use super::{Check, Rule, absolute};
use crate::tree::Kind;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "tmpfiles-link-cannot-replace",
    severity: Severity::Warning,
    summary: "a line L of tmpfiles.d cannot replace a directory of the image",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Empty at each boot, whatever the image has there.
const TRANSIENT: [&[u8]; 4] = [b"/dev/", b"/run/", b"/tmp/", b"/var/run/"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let lines = image.tmpfiles().makers(|_| true).into_iter();
    lines
        .filter(|line| line.kind == b'L' && !line.modifiers.contains(&b'+'))
        .filter(|line| !TRANSIENT.iter().any(|top| line.path.starts_with(top)))
        .filter_map(|line| {
            let place = &line.path[1..];
            let found = image.tree.look(place).ok().flatten()?;
            if found.kind != Kind::Directory {
                return None;
            }
            let (path, file) = (absolute(place), path_of(image, &line.file));
            Some(RULE.finding(
                format!(
                    "`L` of {file}:{} does nothing: {path} is a directory in the image",
                    line.number
                ),
                format!("remove {path} in the RUN that makes it, or write `L+ {path}`"),
                vec![path],
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    const CONF: &str = "usr/lib/tmpfiles.d/a.conf";

    #[test]
    fn a_link_does_not_replace_a_directory() {
        let tree = Fixture::new().file(CONF, "L /var/lib/a - - - - /usr/share/a\n");
        assert_eq!(tree.findings_of(&RULE), []);
        assert_eq!(tree.directory("var/lib/a").paths_of(&RULE), ["/var/lib/a"]);
    }

    #[test]
    fn links_files_and_what_is_replaced_are_right() {
        let lines = "L /etc/a - - - - b\nL+ /var/lib/b - - - - c\nL /run/c - - - - d\n";
        let tree = Fixture::new().file(CONF, lines).link("etc/a", "b");
        let tree = tree.directory("var/lib/b").directory("run/c");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
