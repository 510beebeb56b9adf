//! # What it does
//! Checks that /bin, /sbin, /lib and /lib64 are links into /usr.
//!
//! For /lib32 and /libx32, and for a /lib64 without a dynamic loader, this is a warning. Perhaps no
//! program on a host uses what is in them.
//!
//! # Why it breaks
//! Only /usr comes from the image on every host. Programs in a real /bin are missing after the
//! import. Or they differ from those of the same name in /usr/bin. From version 255 on, systemd
//! does not support such a layout.
//!
//! # Example
//! ```dockerfile
//! RUN rm /bin && mkdir /bin && cp tool /bin/
//! ```
//!
//! # Fix
//! ```dockerfile
//! RUN mv /bin/* /usr/bin/ && rmdir /bin && ln -s usr/bin /bin
//! ```

use super::{Check, Rule};
use crate::tree::destination;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-usr-merge",
    severity: Severity::Error,
    summary: "/bin, /sbin, /lib or /lib64 is not a link into /usr",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// With whether every system has it.
const MERGED: [(&str, bool); 6] = [
    ("bin", true),
    ("lib", true),
    ("lib32", false),
    ("lib64", false),
    ("libx32", false),
    ("sbin", true),
];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let finding = |(name, is_needed): &(&str, bool)| {
        let what = wrong(image, name, *is_needed)?;
        let help =
            format!("`RUN mv /{name}/* /usr/{name}/; rm -rf /{name} && ln -s usr/{name} /{name}`");
        let has_loader = || {
            let mut names = image.names(name).into_iter();
            names.any(|file| file.starts_with("ld"))
        };
        let severity = if *is_needed || has_loader() {
            Severity::Error
        } else {
            Severity::Warning
        };
        Some(Finding {
            severity,
            ..RULE.finding(what, help, vec![format!("/{name}")])
        })
    };
    MERGED.iter().filter_map(finding).collect()
}

fn wrong(image: &Image<'_>, name: &str, is_needed: bool) -> Option<String> {
    match (image.kind(name), image.target(name)) {
        // What has no /usr/bin is no system, and other rules say so.
        (None, _) => (is_needed && image.exists(&format!("usr/{name}")))
            .then(|| format!("there is no link /{name} to usr/{name}")),
        (Some(_), Some(target)) => {
            let end = destination(name.as_bytes(), &target);
            let is_right = end.starts_with(b"usr/");
            (!is_right).then(|| format!("/{name} leads to {}, not into /usr", escape_path(&target)))
        }
        (Some(kind), None) => Some(format!(
            "/{name} is a {}, not a link to usr/{name}",
            kind.name()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn links_into_usr_are_right() {
        let tree = Fixture::new().program("usr/bin/sh").directory("usr/lib");
        let tree = tree.link("bin", "usr/bin").link("lib", "/usr/lib");
        let tree = tree.link("sbin", "usr/bin").link("lib64", "usr/lib64");
        assert_eq!(tree.findings_of(&RULE), []);
    }

    #[test]
    fn directories_and_missing_links_are_told() {
        let tree = Fixture::new().program("usr/bin/sh").program("sbin/init");
        let found = tree.link("lib", "lib64").findings_of(&RULE);
        let messages: Vec<_> = found.iter().map(|finding| &finding.message).collect();
        assert_eq!(
            messages,
            [
                "there is no link /bin to usr/bin",
                "/lib leads to lib64, not into /usr",
                "/sbin is a directory, not a link to usr/sbin"
            ]
        );
    }

    #[test]
    fn libraries_that_no_program_may_need_fail_no_build() {
        let severity = |path: &str| Fixture::new().file(path, "").findings_of(&RULE)[0].severity;
        assert_eq!(severity("lib32/libacme.so"), Severity::Warning);
        assert_eq!(severity("lib64/libacme.so"), Severity::Warning);
        assert_eq!(severity("lib64/ld-linux-x86-64.so.2"), Severity::Error);
        assert_eq!(severity("lib/libacme.so"), Severity::Error);
    }
}
