//! Kernels on real trees, as Debian's packages leave them: what moves, what goes, what is told. What
//! depmod and dracut make is tested end to end.

use std::{fs, ops::Deref, os::unix::fs::symlink};

use super::*;
use crate::{base::Base, commit::testing::TestRoot, place::Place};

const WITH: &[&str] = &["usr", "usr/lib/ostree/ostree-prepare-root"];
const WITHOUT: &[&str] = &["usr", "usr/bin/sh"];

/// A cpio archive of empty files (cpio(5), "newc").
fn initramfs(names: &[&str]) -> String {
    names
        .iter()
        .chain(&["TRAILER!!!"])
        .fold(String::new(), |archive, name| {
            let size = name.len() + 1;
            let zeros = "0".repeat(8 * 11);
            let begin = format!("{archive}070701{zeros}{size:08X}00000000{name}");
            let end = (begin.len() + 1).next_multiple_of(4);
            format!("{begin:\0<end$}")
        })
}

struct Root(TestRoot);

impl Deref for Root {
    type Target = TestRoot;

    fn deref(&self) -> &TestRoot {
        &self.0
    }
}

impl Root {
    /// An image with the kernel `old`, its initramfs and an index of its modules.
    fn new() -> Self {
        let root = Self(TestRoot::new());
        root.mkdir("boot");
        root.write("usr/lib/modules/old/kernel/x.ko", "x");
        root.write("usr/lib/modules/old/vmlinuz", "old");
        root.write("usr/lib/modules/old/initramfs.img", &initramfs(WITH));
        root.write("usr/lib/modules/old/modules.dep", "kernel/x.ko:");
        root
    }

    /// A commit at the end of a build upon that base; by hand without it.
    fn settle(&self, before: Option<&(tempfile::TempDir, Base)>) -> DomainOutcome {
        self.0.settle(|_| Box::new(Kernels), before)
    }

    /// What linux-image of Debian leaves, with the initramfs that dracut's hook makes.
    fn install(&self, version: &str, initramfs: &str) {
        self.write(&format!("boot/vmlinuz-{version}"), version);
        self.write(&format!("boot/System.map-{version}"), "map");
        self.write(&format!("boot/symvers-{version}.xz"), "symvers");
        self.write(&format!("boot/config-{version}"), "config");
        self.write(&format!("boot/initrd.img-{version}"), initramfs);
        self.write(&format!("usr/lib/modules/{version}/kernel/x.ko"), "x");
        self.write(
            &format!("usr/lib/modules/{version}/modules.dep"),
            "kernel/x.ko:",
        );
        for (link, file) in [("vmlinuz", "vmlinuz"), ("initrd.img.old", "initrd.img")] {
            symlink(format!("boot/{file}-{version}"), self.path(link)).expect("a link");
        }
    }

    /// What Debian's package leaves of the kernel that moved out of /boot.
    fn purge(&self, version: &str) {
        for path in
            ["kernel", "modules.dep"].map(|name| format!("usr/lib/modules/{version}/{name}"))
        {
            let path = self.path(&path);
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
    }
}

fn rules(outcome: &DomainOutcome) -> Vec<&str> {
    outcome
        .findings
        .iter()
        .map(|finding| finding.rule.as_str())
        .collect()
}

#[test]
fn a_replaced_kernel_is_the_only_one_and_boot_is_empty() {
    let root = Root::new();
    let before = root.before();
    root.install("new", &initramfs(WITH));
    root.purge("old");
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), [""; 0], "{outcome:?}");
    assert_eq!(root.read("usr/lib/modules/new/vmlinuz"), "new");
    assert_eq!(
        root.read("usr/lib/modules/new/initramfs.img"),
        initramfs(WITH)
    );
    for name in ["System.map", "config", "symvers.xz"] {
        assert!(root.has(&format!("usr/lib/modules/new/{name}")), "{name}");
    }
    assert_eq!(fs::read_dir(root.path("boot")).expect("lists").count(), 0);
    assert!(
        !root.has("usr/lib/modules/old") && !root.has("vmlinuz") && !root.has("initrd.img.old")
    );
}

#[test]
fn a_second_kernel_is_told_and_both_stay() {
    let root = Root::new();
    let before = root.before();
    root.install("new", &initramfs(WITH));
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-count"]);
    assert_eq!(outcome.findings[0].message, "there are 2 kernels: new, old");
    assert!(root.has("usr/lib/modules/old/vmlinuz") && root.has("usr/lib/modules/new/vmlinuz"));
}

#[test]
fn a_step_that_touches_no_kernel_says_nothing_of_those_of_the_base() {
    let root = Root::new();
    root.install("new", &initramfs(WITHOUT));
    symlink("boot/vmlinuz-gone", root.path("vmlinuz.old")).expect("a link");
    let outcome = root.settle(Some(&root.before()));
    assert!(
        outcome.changed.is_empty() && outcome.findings.is_empty(),
        "{outcome:?}"
    );
}

#[test]
fn the_last_kernel_that_is_removed_is_told() {
    let root = Root::new();
    let before = root.before();
    root.purge("old");
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-count"]);
    assert!(!root.has("usr/lib/modules/old"));
}

#[test]
fn a_kernel_built_without_modules_is_not_taken_for_a_removed_one() {
    let root = Root::new();
    let before = root.before();
    root.write("usr/lib/modules/mine/vmlinuz", "mine");
    root.write("usr/lib/modules/mine/initramfs.img", &initramfs(WITH));
    let outcome = root.settle(Some(&before));
    assert!(root.has("usr/lib/modules/mine/vmlinuz"));
    assert_eq!(rules(&outcome), ["kernel-count"]);
}

#[test]
fn an_initramfs_that_cannot_boot_a_deployment_is_not_put_in_place() {
    let root = Root::new();
    fs::remove_dir_all(root.path("usr/lib/modules/old")).expect("removes");
    let before = root.before();
    root.install("new", &initramfs(WITHOUT));
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-initramfs"]);
    assert_eq!(
        outcome.findings[0].message,
        "the kernel new has an initramfs without ostree-prepare-root, and a commit from outside does \
         not run the image's dracut"
    );
    assert!(root.has("boot/initrd.img-new") && !root.has("usr/lib/modules/new/initramfs.img"));
}

#[test]
fn an_initramfs_that_cannot_be_read_is_moved_and_told() {
    let root = Root::new();
    fs::remove_dir_all(root.path("usr/lib/modules/old")).expect("removes");
    let before = root.before();
    root.install("new", "\u{2}!L\u{18}");
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-initramfs-unread"]);
    assert!(root.has("usr/lib/modules/new/initramfs.img"));
}

#[test]
fn an_initramfs_that_the_step_made_in_place_wins() {
    let root = Root::new();
    fs::remove_dir_all(root.path("usr/lib/modules/old")).expect("removes");
    let before = root.before();
    root.install("new", &initramfs(WITH));
    let mine = initramfs(&["mine", WITH[1]]);
    root.write("usr/lib/modules/new/initramfs.img", &mine);
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), [""; 0], "{outcome:?}");
    assert_eq!(root.read("usr/lib/modules/new/initramfs.img"), mine);
    assert!(!root.has("boot/initrd.img-new"));
}

#[test]
fn what_is_no_kernels_stays_in_boot_and_is_told() {
    let root = Root::new();
    root.write("boot/of_the_base", "x");
    let before = root.before();
    root.write("boot/grub/grub.cfg", "x");
    root.write("boot/vmlinuz-gone", "x");
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-boot-not-empty"]);
    assert_eq!(
        outcome.findings[0].paths,
        ["/boot/grub", "/boot/vmlinuz-gone"]
    );
    assert!(root.has("boot/grub/grub.cfg") && root.has("boot/vmlinuz-gone"));
}

#[test]
fn modules_for_another_kernel_are_told_and_new_ones_want_depmod() {
    let root = Root::new();
    let before = root.before();
    root.write("usr/lib/modules/host/updates/y.ko", "y");
    root.write("usr/lib/modules/host/modules.dep", "updates/y.ko:");
    root.write("usr/lib/modules/old/extra/z.ko", "z");
    let outcome = root.settle(Some(&before));
    let mut found = rules(&outcome);
    found.sort_unstable();
    assert_eq!(
        found,
        ["kernel-depmod", "kernel-modules-unused"],
        "{outcome:?}"
    );
}

#[test]
fn two_different_kernels_of_one_version_both_stay() {
    let root = Root::new();
    let before = root.before();
    root.write("boot/vmlinuz-old", "one");
    root.write("usr/lib/modules/old/vmlinuz", "other");
    let outcome = root.settle(Some(&before));
    assert_eq!(rules(&outcome), ["kernel-boot-not-empty"]);
    assert_eq!(root.read("boot/vmlinuz-old"), "one");
    fs::write(root.path("boot/vmlinuz-old"), "other").expect("a file");
    assert_eq!(rules(&root.settle(Some(&before))), [""; 0]);
    assert!(!root.has("boot/vmlinuz-old"));
}

#[test]
fn killed_after_any_change_and_run_again_it_ends_in_the_same_place() {
    let tree = |root: &Root| {
        let list = |path: &str| {
            let names = fs::read_dir(root.path(path)).expect("lists");
            let mut names: Vec<_> = names
                .map(|entry| entry.expect("an entry").file_name())
                .collect();
            names.sort();
            names
        };
        [list(""), list("boot"), list("usr/lib/modules/new")]
    };
    let done = |interrupted_after: usize| {
        let root = Root::new();
        let before = root.before();
        root.install("new", &initramfs(WITH));
        let rootfs = root.rootfs();
        let place = Place::of(&rootfs);
        let seen = observe::Seen::look(&place, Some(&before.1)).expect("looks");
        let mut first = plan::plan(&seen.expect("something new")).files;
        let count = first.actions.len();
        first.actions.truncate(interrupted_after);
        first.apply(&place, &mut |_| ()).expect("applies");
        root.settle(Some(&before));
        (tree(&root), count)
    };
    let (whole, count) = done(0);
    assert_eq!(count, 7);
    for interrupted_after in 1..=count {
        assert_eq!(
            done(interrupted_after).0,
            whole,
            "after {interrupted_after}"
        );
    }
}
