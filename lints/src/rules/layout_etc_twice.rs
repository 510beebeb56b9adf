//! # What it does
//! Finds images with configuration both in /etc and in /usr/etc.
//!
//! # Why it breaks
//! On a host ostree keeps the image's /etc in /usr/etc, and merges it with the host's own /etc. The
//! published importers put both into one directory. If both have a file of one name, the file of
//! the later layer counts. The lint of bootc itself refuses such an image. Other ways to deploy may
//! refuse it too. The result depends on the way to deploy, so this is a warning.
//!
//! # Example
//! ```dockerfile
//! COPY acme.conf /usr/etc/acme.conf
//! ```
//!
//! # Fix
//! Copy the file into /etc: `COPY acme.conf /etc/acme.conf`. Then remove /usr/etc.

use super::{Check, Rule, absolute};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-etc-twice",
    aliases: &["etc-usretc"],
    severity: Severity::Warning,
    summary: "/etc and /usr/etc both have content",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// What container engines mount their own files on: alone they make no /etc.
const INJECTED: [&str; 4] = ["hostname", "hosts", "mtab", "resolv.conf"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let has_etc = (image.names("etc").iter()).any(|name| !INJECTED.contains(&name.as_str()));
    let names = image.tree.names(b"usr/etc").unwrap_or_default();
    if !has_etc || names.is_empty() {
        return Vec::new();
    }
    let paths = names.iter();
    let paths = paths.map(|name| absolute(&[b"usr/etc/", name.as_slice()].concat()));
    vec![RULE.finding(
        "there is configuration in /etc and in /usr/etc".to_owned(),
        "move it to /etc: `RUN cp -a /usr/etc/. /etc/ && rm -r /usr/etc`".to_owned(),
        paths.collect(),
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn one_of_them_is_right() {
        let etc = Fixture::new().file("etc/passwd", "");
        assert_eq!(etc.directory("usr/etc").findings_of(&RULE), []);
        let usr = Fixture::new().file("usr/etc/passwd", "");
        assert_eq!(usr.file("etc/resolv.conf", "").findings_of(&RULE), []);
    }

    #[test]
    fn both_are_told() {
        let both = Fixture::new().file("etc/passwd", "");
        let both = both.file("usr/etc/acme.conf", "");
        assert_eq!(both.paths_of(&RULE), ["/usr/etc/acme.conf"]);
    }
}
