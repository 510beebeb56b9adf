//! # What it does
//! Finds files in /boot. After a step, it finds only what is left when the commit has moved the
//! files of a kernel. An image may have unified kernel images in /boot/EFI/Linux, where bootc looks
//! for them.
//!
//! # Why it breaks
//! A host mounts its own /boot. Nobody sees the files of the image there.
//!
//! # Example
//! ```dockerfile
//! COPY splash.png /boot/
//! RUN update-grub
//! ```
//!
//! # Fix
//! Remove what a package's script left: `rm -rf /boot/grub`. Put what the image needs below /usr.

use super::{Check, EntryCheck, MAX_NAMED, Rule, counted};
use crate::tree::{Entry, Kind, Paths};
use crate::{Finding, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "kernel-boot-not-empty",
    aliases: &["nonempty-boot"],
    severity: Severity::Warning,
    summary: "what a step left in /boot is not there on the machine",
    check: Check::Entry(EntryCheck {
        holds,
        finding: of_image,
    }),
    ..Rule::IMAGE
};

/// Directories of packages stay empty, and are mounted on.
fn holds(entry: &Entry<'_>) -> bool {
    let is_kernel_image = (entry.below("boot/EFI/Linux"))
        .is_some_and(|name| name.ends_with(b".efi") && !name.contains(&b'/'));
    entry.below("boot").is_some() && entry.meta.kind != Kind::Directory && !is_kernel_image
}

fn of_image(paths: &Paths) -> Finding {
    let what = counted(paths.count, "entry is", "entries are");
    RULE.about(
        paths,
        format!("{what} in /boot, where the machine mounts its own"),
        "remove it in the same RUN, or put it below /usr",
    )
}

/// The finding about the entries of /boot, none if there is none; the paths are escaped.
pub fn finding(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let others = match paths.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "other entry", "other entries")),
    };
    Some(RULE.finding(
        format!("{first}{others} is in /boot, where the machine mounts its own"),
        "remove it in the same RUN, or put it below /usr".to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn files_of_an_image_are_told() {
        let tree = Fixture::new().file("boot/vmlinuz-6.12", "");
        let tree = tree.file("boot/EFI/BOOT/BOOTX64.EFI", "");
        let found = ["/boot/EFI/BOOT/BOOTX64.EFI", "/boot/vmlinuz-6.12"];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn empty_directories_and_unified_kernel_images_are_right() {
        let tree = Fixture::new().directory("boot/efi").directory("boot/grub2");
        let tree = tree.file("boot/EFI/Linux/6.12.efi", "");
        assert_eq!(tree.findings_of(&RULE), []);
    }

    #[test]
    fn an_empty_boot_is_right() {
        assert_eq!(finding(&[]), None);
        let finding = finding(&["/boot/grub".to_owned()]).expect("a finding");
        assert!(finding.message.starts_with("/boot/grub is in /boot"));
    }
}
