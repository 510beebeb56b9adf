//! # What it does
//! Looks at images with an SELinux policy and with software in /usr/lib/opt or /usr/lib/usrlocal.
//! Reports those whose policy does not know that these paths stand for /opt and /usr/local.
//!
//! # Why it breaks
//! SELinux gives labels by path. Software in /usr/lib/opt gets other labels than the policy has for
//! it in /opt. SELinux may keep confined services from reading or running it.
//!
//! # Example
//! ```dockerfile
//! RUN mv /opt/acme /usr/lib/opt/acme && ln -s /usr/lib/opt/acme /opt/acme
//! ```
//!
//! # Fix
//! Add the line to the policy:
//! ```dockerfile
//! RUN echo '/usr/lib/opt /opt' >>/etc/selinux/targeted/contexts/files/file_contexts.subs_dist
//! ```
//! When a commit moves software, it adds such lines itself.

use super::{Check, Rule};
use crate::model::selinux::{CONFIG, EQUIVALENCES, LABELS, MOVED, counts_as, folder};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "selinux-moved-label",
    severity: Severity::Warning,
    summary: "the SELinux policy does not know where software of /opt or /usr/local was moved",
    check: Check::Image(check),
    since: "0.2.0",
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
