//! # What it does
//! Finds files with several names (hard links). One of the names is in /var, or in a directory
//! whose content the importer drops.
//!
//! # Why it breaks
//! In a layer, the second name is a reference to the first. The importer drops or moves what is in
//! these places. If that was the first name, the import ends with an error: "Processing deferred
//! hardlink … No such file".
//!
//! # Example
//! ```dockerfile
//! RUN ln /tmp/acme/tool /usr/bin/tool
//! RUN echo 1 > /var/lib/acme/a && ln /var/lib/acme/a /var/lib/acme/b
//! ```
//!
//! # Fix
//! Copy instead of linking: `cp` for `ln`, or `cp --no-preserve=links`. Or remove the name in /var.

use super::{Check, Rule, Scope, absolute, counted};
use crate::tree::MAX_PATHS;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "import-hard-link",
    severity: Severity::Error,
    summary: "a hard link into /var or a dropped directory stops the import",
    scope: Scope::Import,
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Where content is always dropped (ostree-ext, `tar/write.rs`).
const DROPPED: [&[u8]; 5] = [b"dev", b"proc", b"run", b"sys", b"tmp"];

/// What becomes of a name at the import.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Kept,
    /// Older importers move it to /usr/share/factory/var, and not what refers to it.
    Var,
    Dropped,
    /// The repository of an encapsulated base: each of its files has a name there.
    Repository,
}

fn check(image: &Image<'_>) -> Vec<Finding> {
    let (mut dropped, mut in_var) = (Vec::new(), Vec::new());
    for paths in image.gathered.linked.values() {
        let all = paths.first.iter().map(|name| (name.as_slice(), fate(name)));
        let names: Names<'_> = all.filter(|(_, fate)| *fate != Fate::Repository).collect();
        let has = |wanted: Fate| names.iter().any(|(_, fate)| *fate == wanted);
        if has(Fate::Dropped) && (has(Fate::Kept) || has(Fate::Var)) {
            dropped.push(names);
        } else if !has(Fate::Dropped) && has(Fate::Var) && names.len() > 1 {
            in_var.push(names);
        }
    }
    let dropped = finding(
        dropped,
        Fate::Dropped,
        "has a name that the importer drops",
        Severity::Error,
    );
    let in_var = finding(
        in_var,
        Fate::Var,
        "has a further name, which importers before ostree 2024.3 cannot resolve",
        Severity::Warning,
    );
    dropped.into_iter().chain(in_var).collect()
}

/// The names of one file.
type Names<'a> = Vec<(&'a [u8], Fate)>;

/// The finding about all files of one kind; it names the path of that fate first.
fn finding(
    mut files: Vec<Names<'_>>,
    told: Fate,
    problem: &str,
    severity: Severity,
) -> Option<Finding> {
    files.sort();
    let first = files.first()?;
    let path = first.iter().find(|(_, fate)| *fate == told)?.0;
    let others = match files.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "other file", "other files")),
    };
    let paths = files.iter().flatten().take(MAX_PATHS);
    Some(Finding {
        severity,
        ..RULE.finding(
            format!("the file {}{others} {problem}", absolute(path)),
            "copy the file instead of linking it (`cp --no-preserve=links`), or remove one of the \
             names in the same RUN"
                .to_owned(),
            paths.map(|(path, _)| absolute(path)).collect(),
        )
    })
}

fn fate(name: &[u8]) -> Fate {
    let top = name.split(|&byte| byte == b'/').next().unwrap_or_default();
    match top {
        b"var" => Fate::Var,
        b"sysroot" => Fate::Repository,
        top if DROPPED.contains(&top) => Fate::Dropped,
        _ => Fate::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn a_name_that_is_dropped_stops_the_import() {
        let tree = Fixture::new().file("tmp/tool", "x");
        let tree = tree.hard_link("usr/bin/tool", "tmp/tool");
        let found = tree.findings_of(&RULE);
        assert_eq!(found[0].severity, Severity::Error);
        let message = "the file /tmp/tool has a name that the importer drops";
        assert_eq!(found[0].message, message);
        assert_eq!(found[0].paths, ["/tmp/tool", "/usr/bin/tool"]);
    }

    #[test]
    fn names_in_var_stop_older_importers() {
        let tree = Fixture::new().file("var/lib/a", "x").file("var/c", "x");
        let tree = tree.hard_link("usr/c", "var/c");
        let found = tree.hard_link("var/lib/b", "var/lib/a").findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Warning);
        let start = "the file /var/c (and 1 other file) has a further name";
        assert!(found[0].message.starts_with(start), "{}", found[0].message);
    }

    #[test]
    fn names_in_usr_and_those_of_the_repository_are_right() {
        let object = "sysroot/ostree/repo/objects/ab/c.file";
        let tree = Fixture::new().file("usr/bin/a", "x").file("tmp/x", "x");
        let tree = tree.hard_link("usr/bin/b", "usr/bin/a");
        let tree = tree.hard_link("etc/b", "usr/bin/a");
        let tree = tree.hard_link(object, "usr/bin/a");
        assert_eq!(tree.hard_link("tmp/y", "tmp/x").findings_of(&RULE), []);
    }
}
