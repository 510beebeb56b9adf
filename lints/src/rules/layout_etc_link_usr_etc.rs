//! # What it does
//! Finds links in /etc that lead into /usr/etc.
//!
//! # Why it breaks
//! The import stores /etc as /usr/etc on the host. There the link takes the place of the file that
//! it leads to. The import ends with an error.
//!
//! # Example
//! ```dockerfile
//! RUN ln -s ../usr/etc/podman_hpc /etc/podman_hpc
//! ```
//!
//! # Fix
//! Move the file itself to /etc:
//! ```dockerfile
//! RUN rm /etc/podman_hpc && mv /usr/etc/podman_hpc /etc/podman_hpc
//! ```
//! Or move it to /usr/share and link there.

use super::{Check, EntryCheck, Rule, Scope, counted};
use crate::tree::{Entry, Paths, destination};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "layout-etc-link-usr-etc",
    severity: Severity::Error,
    summary: "a link in /etc leads into /usr/etc",
    scope: Scope::Import,
    check: Check::Entry(EntryCheck { holds, finding }),
    ..Rule::IMAGE
};

fn holds(entry: &Entry<'_>) -> bool {
    if entry.below("etc").is_none() {
        return false;
    }
    let Some(target) = entry.target else {
        return false;
    };
    let end = destination(entry.path, target);
    end == b"usr/etc" || end.starts_with(b"usr/etc/")
}

fn finding(paths: &Paths) -> Finding {
    let what = counted(paths.count, "link in /etc leads", "links in /etc lead");
    RULE.about(
        paths,
        format!("{what} into /usr/etc"),
        "move the file itself to /etc (`mv /usr/etc/NAME /etc/NAME`)",
    )
}

#[cfg(test)]
mod tests {
    use super::RULE;
    use crate::rules::fixture::Fixture;

    #[test]
    fn links_into_usr_etc_are_told() {
        let tree = Fixture::new().link("etc/a", "../usr/etc/a");
        let tree = tree.link("etc/b/c", "/usr/etc/b/c");
        assert_eq!(tree.paths_of(&RULE), ["/etc/a", "/etc/b/c"]);
    }

    #[test]
    fn links_elsewhere_are_right() {
        let tree = Fixture::new().link("etc/os-release", "../usr/lib/os-release");
        let tree = tree.link("etc/b", "usr/etc/b");
        let tree = tree
            .link("usr/lib/x", "../etc/x")
            .link("etc/c", "../usr/etcetera");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
