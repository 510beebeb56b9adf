//! # What it does
//! Finds modules that akmods could not build in a RUN. It left a log in /var/cache/akmods and ended
//! without an error.
//!
//! # Why it breaks
//! The build goes on, and the driver is missing on the host.
//!
//! # Example
//! ```dockerfile
//! RUN dnf -y install akmod-acme && akmods --force --kernels "$KERNEL" --kmod acme
//! ```
//!
//! # Fix
//! Install the `kernel-devel` of the image's own kernel. Look at the log, and let the build fail:
//! ```dockerfile
//! RUN akmods --force --kernels "$KERNEL" --kmod acme && modinfo -k "$KERNEL" acme \
//!     || { cat /var/cache/akmods/acme/*.failed.log; exit 1; }
//! ```

use super::Rule;
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-akmod-failed",
    severity: Severity::Warning,
    summary: "akmods could not build a module and ended without an error",
    since: "0.2.0",
    ..Rule::STEP
};

/// The finding about a log, an escaped path; none of what akmods does not call so:
/// `/var/cache/akmods/MODULE/VERSION-for-KERNEL.failed.log`.
pub fn finding(path: &str) -> Option<Finding> {
    let (directory, name) = path.rsplit_once('/')?;
    let (_, module) = directory.rsplit_once('/')?;
    let (version, kernel) = name.strip_suffix(".failed.log")?.split_once("-for-")?;
    Some(RULE.finding(
        format!("akmods could not build {module} {version} for the kernel {kernel}"),
        format!("install the kernel-devel of {kernel}; the reasons stand in {path}"),
        vec![path.to_owned()],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_names_the_module_and_the_kernel() {
        let path = "/var/cache/akmods/nvidia/550.1-1.fc41-for-6.12.4-200.fc41.x86_64.failed.log";
        let finding = finding(path).expect("a finding");
        assert_eq!(
            finding.message,
            "akmods could not build nvidia 550.1-1.fc41 for the kernel 6.12.4-200.fc41.x86_64"
        );
        assert_eq!(super::finding("/var/cache/akmods/nvidia/x.log"), None);
    }
}
