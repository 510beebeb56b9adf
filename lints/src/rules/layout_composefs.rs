//! # What it does
//! Checks whether prepare-root.conf turns on composefs or a transient root.
//!
//! # Why it breaks
//! Without composefs or a transient root, the root directory belongs to ostree, not to the image.
//! New directories at the top level vanish at the import. Nothing checks the files in /usr.
//!
//! # Example
//! ```dockerfile
//! RUN rm /usr/lib/ostree/prepare-root.conf
//! ```
//!
//! # Fix
//! Turn it on in the base image, before its initramfs is made:
//! ```dockerfile
//! RUN printf '[composefs]\nenabled = yes\n' > /usr/lib/ostree/prepare-root.conf
//! ```
//! The order matters because the initramfs has a copy of the file. A derived image cannot turn it
//! on: the importer asks the commit of the base image.

use super::{Check, Rule};
use crate::model::prepare_root;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-composefs",
    aliases: &["baseimage-composefs"],
    severity: Severity::Info,
    summary: "composefs is not enabled",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let file = first_of(image, &prepare_root::PATHS);
    let (path, message) = match file {
        Some(file) if prepare_root::keeps_top_level(&file.1) => return Vec::new(),
        Some((path, _)) => (path, format!("/{path} does not enable composefs")),
        None => (
            prepare_root::PATHS[1],
            "there is no prepare-root.conf, so composefs is not enabled".to_owned(),
        ),
    };
    let help = "in the base image: `[composefs]` and `enabled = yes` in \
                /usr/lib/ostree/prepare-root.conf, before the initramfs is made";
    vec![RULE.finding(message, help.to_owned(), vec![format!("/{path}")])]
}

/// The first of several files that exists, with its content.
pub(crate) fn first_of<'p>(image: &Image<'_>, paths: &[&'p str]) -> Option<(&'p str, Vec<u8>)> {
    let mut files = paths.iter();
    files.find_map(|path| image.content(path).map(|content| (*path, content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn the_first_file_counts_alone() {
        let lib = "usr/lib/ostree/prepare-root.conf";
        let on = Fixture::new().file(lib, "[composefs]\nenabled = yes\n");
        assert_eq!(on.findings_of(&RULE), []);
        let off = on.file("etc/ostree/prepare-root.conf", "[sysroot]\n");
        assert_eq!(off.paths_of(&RULE), ["/etc/ostree/prepare-root.conf"]);
    }

    #[test]
    fn without_a_file_it_is_off() {
        let found = Fixture::new().findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Info);
    }
}
