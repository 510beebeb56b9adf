//! # What it does
//! Checks that bootc can read the kernel arguments in /usr/lib/bootc/kargs.d. Also checks that
//! their architectures have the names that bootc knows.
//!
//! # Why it breaks
//! One file that bootc cannot read stops the installation and each upgrade. A file for an
//! architecture that does not exist is never used.
//!
//! # Example
//! ```toml
//! kargs = "console=ttyS0"
//! arch = ["amd64"]
//! ```
//!
//! # Fix
//! Write the arguments as a list, and use the names that bootc knows:
//! ```toml
//! kargs = ["console=ttyS0"]
//! match-architectures = ["x86_64"]
//! ```

use std::ffi::OsStr;
use std::path::Path;

use super::{Check, Rule};
use crate::model::kargs::{self, DIRECTORY, Problem};
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-arguments",
    aliases: &["bootc-kargs"],
    severity: Severity::Error,
    summary: "bootc cannot read a file of kernel arguments",
    check: Check::Image(check),
    ..Rule::IMAGE
};

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in image.names(DIRECTORY) {
        if !has_extension(&name, "toml") {
            continue;
        }
        let path = format!("{DIRECTORY}/{name}");
        let content = image.content(&path).unwrap_or_default();
        let problems = kargs::problems(&content);
        findings.extend(problems.iter().map(|problem| finding(&path, problem)));
    }
    findings
}

/// Whether a name ends as bootc wants it, which it takes to the letter.
pub(super) fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension() == Some(OsStr::new(extension))
}

fn finding(path: &str, problem: &Problem) -> Finding {
    let path = format!("/{}", escape_path(path.as_bytes()));
    let severity = if problem.is_fatal {
        Severity::Error
    } else {
        Severity::Warning
    };
    Finding {
        severity,
        ..RULE.finding(
            format!("{path}:{}: {}", problem.line, problem.message),
            "write `kargs = [\"NAME=VALUE\"]` and, if need be, `match-architectures = [\"x86_64\"]`"
                .to_owned(),
            vec![path],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn each_file_that_bootc_cannot_read_is_told() {
        let tree = Fixture::new().file("usr/lib/bootc/kargs.d/a.toml", "kargs = 5\n");
        let tree = tree.file("usr/lib/bootc/kargs.d/b.toml", "kargs = []\n\nargs = []\n");
        let found = tree.findings_of(&RULE);
        assert_eq!(found.len(), 2);
        let start = "/usr/lib/bootc/kargs.d/b.toml:3: unknown field `args`";
        assert!(found[1].message.starts_with(start), "{}", found[1].message);
    }

    #[test]
    fn right_files_and_those_of_other_names_are_no_finding() {
        let tree = Fixture::new().file("usr/lib/bootc/kargs.d/README", "kargs = 5\n");
        let tree = tree.file("usr/lib/bootc/kargs.d/a.toml", "kargs = [\"quiet\"]\n");
        assert_eq!(tree.findings_of(&RULE), []);
    }
}
