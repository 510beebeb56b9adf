//! # What it does
//! Checks that /dev, /proc, /sys, /run, /tmp and /var are directories.
//!
//! # Why it breaks
//! Early in the boot, the host mounts file systems on these directories. Nothing could create them
//! before that. If one is missing or is a link, the boot stops there.
//!
//! # Example
//! ```dockerfile
//! RUN rmdir /tmp && ln -s /var/tmp /tmp
//! ```
//!
//! # Fix
//! Put an empty directory in its place: `RUN rm /tmp && mkdir -m 1777 /tmp`.

use super::{Check, Rule};
use crate::tree::Kind;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-api-directories",
    aliases: &["api-base-directories"],
    severity: Severity::Error,
    summary: "/dev, /proc, /sys, /run, /tmp and /var are not all directories",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// The file systems of <https://systemd.io/API_FILE_SYSTEMS/>, and /var.
const DIRECTORIES: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let wrong = |path: &&str| match image.kind(path) {
        Some(Kind::Directory) => None,
        Some(kind) => Some(format!("/{path} is a {}, not a directory", kind.name())),
        None => Some(format!("there is no directory /{path}")),
    };
    let finding = |path: &&str| {
        let mode = if *path == "tmp" { "-m 1777 " } else { "" };
        let help = format!("`RUN rm -f /{path} && mkdir {mode}/{path}`");
        let paths = vec![format!("/{path}")];
        wrong(path).map(|message| RULE.finding(message, help, paths))
    };
    DIRECTORIES.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn links_and_gaps_are_told() {
        let without = DIRECTORIES[..4].iter();
        let tree = without.fold(Fixture::new(), |tree, path| tree.directory(path));
        let found = tree.link("tmp", "var/tmp").findings_of(&RULE);
        let messages: Vec<_> = found.iter().map(|finding| &finding.message).collect();
        assert_eq!(
            messages,
            [
                "/tmp is a symbolic link, not a directory",
                "there is no directory /var"
            ]
        );
    }

    #[test]
    fn directories_are_right() {
        let all = DIRECTORIES.iter();
        let tree = all.fold(Fixture::new(), |tree, path| tree.directory(path));
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
