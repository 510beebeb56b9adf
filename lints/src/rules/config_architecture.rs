//! # What it does
//! Checks that the architecture in the image's configuration is that of its programs.
//!
//! # Why it breaks
//! A host asks for the image by the name of its own architecture. With a wrong name it does not
//! find the image, or none of the programs runs.
//!
//! # Example
//! ```dockerfile
//! FROM --platform=linux/arm64 scratch
//! ADD rootfs-amd64.tar /
//! ```
//!
//! # Fix
//! Build for the platform of the content. In the example: `FROM --platform=linux/amd64 scratch`. Or
//! leave `--platform` out of FROM: `docker build --platform linux/amd64 .`

use std::io::Read as _;

use super::{Check, Need, Rule, Scope};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "config-architecture",
    severity: Severity::Error,
    summary: "the image's architecture is missing, or is not that of its programs",
    scope: Scope::Import,
    needs: Need::Config,
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Programs that every system of this kind has, one of them at least.
const PROGRAMS: [&str; 4] = [
    "usr/lib/systemd/systemd",
    "usr/bin/bash",
    "usr/bin/sh",
    "usr/bin/env",
];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let Some(config) = image.config else {
        return Vec::new();
    };
    let named = config.architecture.as_str();
    let of_programs = PROGRAMS
        .iter()
        .find_map(|path| Some((*path, machine(image, path)?)));
    let (message, help, paths) = match of_programs {
        Some((_, real)) if real == named => return Vec::new(),
        Some((path, real)) if !named.is_empty() => (
            format!("the image is said to be for {named}, and /{path} is a program for {real}"),
            format!("build it with `--platform linux/{real}`"),
            vec![format!("/{path}")],
        ),
        _ if named.is_empty() => (
            "the image's configuration names no architecture".to_owned(),
            "build it with `--platform linux/ARCHITECTURE`".to_owned(),
            Vec::new(),
        ),
        _ => return Vec::new(),
    };
    vec![RULE.finding(message, help, paths)]
}

/// What Go calls the architecture of a program (elf(5), `e_machine`); none if it is no program, or
/// for a machine that is not known here.
fn machine(image: &Image<'_>, path: &str) -> Option<&'static str> {
    let mut header = [0; 20];
    let mut file = image.tree.open(path.as_bytes()).ok().flatten()?;
    file.read_exact(&mut header).ok()?;
    let [b'\x7f', b'E', b'L', b'F', class, order, ..] = header else {
        return None;
    };
    let machine = [header[18], header[19]];
    let machine = match order {
        2 => u16::from_be_bytes(machine),
        _ => u16::from_le_bytes(machine),
    };
    match (machine, class, order) {
        (3, ..) => Some("386"),
        (21, 2, 1) => Some("ppc64le"),
        (21, 2, 2) => Some("ppc64"),
        (22, 2, _) => Some("s390x"),
        (40, ..) => Some("arm"),
        (62, 2, _) => Some("amd64"),
        (183, _, 1) => Some("arm64"),
        (243, 2, _) => Some("riscv64"),
        (258, 2, _) => Some("loong64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageConfig;
    use crate::rules::fixture::Fixture;

    fn image(architecture: &str, machine: u8) -> Fixture {
        let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        program.extend([machine, 0]);
        let config = ImageConfig {
            architecture: architecture.to_owned(),
            ..ImageConfig::default()
        };
        let tree = Fixture::new().file("usr/bin/bash", program);
        tree.link("usr/bin/sh", "bash").config(config)
    }

    #[test]
    fn programs_of_another_machine_are_told() {
        let found = image("arm64", 62).findings_of(&RULE);
        assert_eq!(
            found[0].message,
            "the image is said to be for arm64, and /usr/bin/bash is a program for amd64"
        );
        let found = image("", 62).findings_of(&RULE);
        assert!(found[0].message.ends_with("names no architecture"));
    }

    #[test]
    fn the_right_name_and_what_is_not_known_are_no_finding() {
        assert_eq!(image("amd64", 62).findings_of(&RULE), []);
        assert_eq!(image("arm64", 183).findings_of(&RULE), []);
        assert_eq!(image("mips", 8).findings_of(&RULE), []);
        let config = ImageConfig {
            architecture: "amd64".to_owned(),
            ..ImageConfig::default()
        };
        let script = Fixture::new().file("usr/bin/sh", "#!/bin/false\n");
        assert_eq!(script.config(config).findings_of(&RULE), []);
    }
}
