//! # What it does
//! Looks at images with a policy of SELinux whose software of /opt or /usr/local is in /usr/lib/opt or
//! /usr/lib/usrlocal, and finds those whose policy does not know that these are the same.
//!
//! # Why it breaks
//! Labels are given by path. In /usr/lib/opt, software gets other labels than a policy has for it in /opt, and services
//! that are confined may not read or run it.
//!
//! # Example
//! ```dockerfile
//! RUN mv /opt/acme /usr/lib/opt/acme && ln -s /usr/lib/opt/acme /opt/acme
//! ```
//!
//! # Fix
//! A commit adds the lines when it moves software. By hand:
//! ```dockerfile
//! RUN echo '/usr/lib/opt /opt' >>/etc/selinux/targeted/contexts/files/file_contexts.subs_dist
//! ```

use super::{Check, Rule};
use crate::model::selinux::{CONFIG, EQUIVALENCES, LABELS, MOVED, counts_as, folder};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "selinux-moved-label",
    severity: Severity::Warning,
    summary: "software of /opt or /usr/local is elsewhere, and the policy of SELinux does not know",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let config = image.content(CONFIG);
    let Some(folder) = config.as_deref().and_then(folder) else {
        return Vec::new();
    };
    if !image.exists(&format!("{folder}/{LABELS}")) {
        return Vec::new();
    }
    let known = EQUIVALENCES.map(|name| {
        image
            .content(&format!("{folder}/{name}"))
            .unwrap_or_default()
    });
    let is_unknown = |(path, public): &(&str, &str)| {
        let is_there = !image.names(path.trim_start_matches('/')).is_empty();
        is_there && !known.iter().any(|file| counts_as(file, path, public))
    };
    let unknown = MOVED.into_iter().filter(is_unknown);
    let finding = |(path, public): (&str, &str)| {
        RULE.finding(
            format!("{path} gets other labels of SELinux than {public} has"),
            format!(
                "add the line `{path} {public}` to /{folder}/{}",
                EQUIVALENCES[1]
            ),
            vec![path.to_owned()],
        )
    };
    unknown.map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    const FOLDER: &str = "etc/selinux/mls/contexts/files";

    fn moved() -> Fixture {
        Fixture::new()
            .file(CONFIG, "SELINUXTYPE=mls\n")
            .file("usr/lib/opt/acme/x", "")
    }

    #[test]
    fn what_moved_is_found_where_there_is_a_policy() {
        let image = moved().file(&format!("{FOLDER}/{LABELS}"), "");
        let found = image.findings_of(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].paths, ["/usr/lib/opt"]);
        assert_eq!(
            found[0].message,
            "/usr/lib/opt gets other labels of SELinux than /opt has"
        );
        assert_eq!(moved().findings_of(&RULE), []);
    }

    #[test]
    fn what_the_policy_knows_is_right() {
        for name in EQUIVALENCES {
            let image = moved()
                .file(&format!("{FOLDER}/{LABELS}"), "")
                .file(&format!("{FOLDER}/{name}"), "/usr/lib/opt /opt\n");
            assert_eq!(image.findings_of(&RULE), []);
        }
    }
}
