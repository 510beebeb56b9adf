//! # What it does
//! Finds modules that are not in the index of `depmod`. The commit could not run `depmod` itself.
//!
//! # Why it breaks
//! A host cannot write to /usr/lib/modules. Without an entry in `modules.dep`, a module is not
//! found. The hardware of the host decides whether something asks for it, so this is a warning.
//!
//! # Example
//! ```dockerfile
//! COPY my.ko /usr/lib/modules/6.12.0/extra/
//! RUN ostree container commit
//! ```
//!
//! # Fix
//! Run `depmod` in the image:
//! ```dockerfile
//! RUN depmod VERSION
//! ```

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-depmod",
    severity: Severity::Warning,
    summary: "a kernel's modules are newer than their index",
    ..Rule::STEP
};

/// The finding about a kernel; `unmade` says why the commit did not run depmod.
pub fn finding(version: &str, unmade: &str) -> Finding {
    RULE.finding(
        format!("the modules of {version} are not in modules.dep, and {unmade}"),
        format!("run `depmod {version}` in the image (Debian's kmod)"),
        vec![format!("/usr/lib/modules/{version}/modules.dep")],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_to_run() {
        assert!(
            finding("6.12", "the image has no depmod")
                .help
                .contains("`depmod 6.12`")
        );
    }
}
