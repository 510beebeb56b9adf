//! # What it does
//! Finds modules that were built for another kernel than the one beside them. It looks at modules
//! that do not come with the kernel. Those are in `extra`, `updates` and others below
//! /usr/lib/modules. It reads the smallest module of each directory.
//!
//! # Why it breaks
//! The kernel refuses such a module: `version magic … should be …`. The driver is missing on the
//! host. Kernels that compare symbols one by one (`modversions`) may take it. For those the rule
//! reports nothing.
//!
//! # Example
//! ```dockerfile
//! RUN dnf -y install kmod-acme && dnf -y upgrade kernel && \
//!     mv /usr/lib/modules/OLD/extra /usr/lib/modules/NEW/
//! ```
//!
//! # Fix
//! Build or install the modules for the image's kernel (`ls /usr/lib/modules`).

use super::{Check, Rule};
use crate::image::MODULES;
use crate::model::kernel_module::magic;
use crate::tree::Kind;
use crate::{Finding, Image, Severity, escape_text};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-module-version",
    severity: Severity::Warning,
    summary: "a module was built for another kernel than the one beside it",
    check: Check::Image(check),
    since: "0.2.0",
    ..Rule::IMAGE
};

/// Where modules are that a kernel's package does not bring (kmod's `depmod.d(5)`, dkms, weak-modules of RHEL).
const OF_OTHERS: [&str; 5] = ["dkms", "extra", "extramodules", "misc", "updates"];

/// Bytes of a packed module at most.
const MAX_BYTES: u64 = 16 << 20;

/// Directories in and below one of these at most.
const MAX_DIRECTORIES: usize = 200;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for version in image.kernels() {
        for directory in OF_OTHERS {
            let top = format!("{MODULES}/{version}/{directory}");
            found.extend(of_directories(image, &version, top));
        }
    }
    found
}

/// What is wrong in a directory and those below.
fn of_directories(image: &Image<'_>, version: &str, top: String) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut open = vec![top];
    let mut looked = 0;
    while let Some(directory) = open.pop() {
        looked += 1;
        if looked > MAX_DIRECTORIES {
            break;
        }
        let mut smallest: Option<(u64, String)> = None;
        for name in image.names(&directory) {
            let path = format!("{directory}/{name}");
            // Links lead to modules of other kernels, which have the same symbols.
            let Ok(Some(meta)) = image.tree.look(path.as_bytes()) else {
                continue;
            };
            match meta.kind {
                Kind::Directory => open.push(path),
                Kind::File if name.contains(".ko") => {
                    let module = (meta.size, path);
                    if smallest.as_ref().is_none_or(|smallest| module < *smallest) {
                        smallest = Some(module);
                    }
                }
                _ => {}
            }
        }
        found.extend(smallest.and_then(|(_, path)| of_module(image, version, &path)));
    }
    found
}

fn of_module(image: &Image<'_>, version: &str, path: &str) -> Option<Finding> {
    let content = image.tree.read(path.as_bytes(), MAX_BYTES).ok()??;
    let budget = image.tree.budget();
    let magic = magic(&content, budget);
    let magic = magic.inspect_err(|error| budget.note(format!("/{path}").as_bytes(), error));
    let magic = magic.ok()??;
    if magic.version() == version || magic.has_symbol_versions() {
        return None;
    }
    let built = escape_text(magic.version()).to_string();
    Some(RULE.finding(
        format!("/{path} was built for the kernel {built}, and the image's is {version}"),
        "build or install the module for the image's kernel".to_owned(),
        vec![format!("/{path}")],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    fn module(magic: &str) -> String {
        format!("\x7fELF\0vermagic={magic}\0")
    }

    #[test]
    fn a_module_of_another_kernel_is_told_once_for_its_directory() {
        let top = "usr/lib/modules/6.12";
        let other = module("6.11 SMP mod_unload ");
        let image = Fixture::new()
            .file(&format!("{top}/vmlinuz"), "")
            .file(&format!("{top}/kernel/fs/a.ko"), &other)
            .file(&format!("{top}/extra/right/a.ko"), module("6.12 SMP "))
            .file(&format!("{top}/extra/acme/a.ko"), &other)
            .file(
                &format!("{top}/extra/acme/larger.ko"),
                &(other.clone() + "more"),
            )
            .file(
                &format!("{top}/updates/b.ko"),
                module("6.10 SMP modversions"),
            )
            .file(&format!("{top}/extra/README"), &other)
            .file("usr/lib/modules/6.11/extra/a.ko", module("6.9 "));
        let found = image.findings_of(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].message,
            "/usr/lib/modules/6.12/extra/acme/a.ko was built for the kernel 6.11, and the image's is 6.12"
        );
    }
}
