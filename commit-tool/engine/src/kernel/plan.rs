//! The second stage: what moves beside the modules, what depmod and dracut shall make, what is left
//! of a removed kernel, and what only a person can decide. A pure function.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use osderive_lints::{
    Change, ChangedFile,
    model::initramfs::Ostree,
    rules::{kernel_boot_not_empty, kernel_count, kernel_initramfs_unread, kernel_modules_unused},
};

use super::observe::{BOOT, INITRAMFS, InBoot, Kernel, MODULES, PARTS, Seen, VMLINUZ};
use crate::{
    outcome::{self, DomainOutcome},
    paths::shown,
    place::unfinished,
};

/// What shall be done, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct KernelPlan {
    pub(super) files: outcome::FilePlan,
    /// Versions whose modules are to be indexed.
    pub(super) depmod: Vec<String>,
    pub(super) initramfs: Vec<Wanted>,
}

/// An initramfs that is to be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) version: String,
    /// What is wrong with the one that there is.
    pub(super) problem: &'static str,
    /// What it replaces in /boot.
    pub(super) replaces: Vec<PathBuf>,
}

pub(super) const INDEXED: &str = "depmod: its modules are newer";

impl KernelPlan {
    /// What it would do.
    pub(super) fn preview(self) -> DomainOutcome {
        let indexed = self
            .depmod
            .iter()
            .map(|version| wrote(version, "modules.dep", INDEXED));
        let made = (self.initramfs.iter())
            .map(|wanted| wrote(&wanted.version, INITRAMFS, &wanted.reason()));
        let made: Vec<ChangedFile> = indexed.chain(made).collect();
        let mut outcome = self.files.preview();
        outcome.changed.extend(made);
        outcome
    }
}

impl Wanted {
    pub(super) fn reason(&self) -> String {
        format!("dracut: the kernel {}", self.problem)
    }
}

/// Makes the plan.
pub(super) fn plan(seen: &Seen) -> KernelPlan {
    let mut work = Work {
        seen,
        plan: KernelPlan::default(),
        gone: BTreeSet::new(),
        left: Vec::new(),
    };
    let kernels = work.kernels();
    for (version, kernel) in &seen.kernels {
        let name = unfinished(OsStr::new(INITRAMFS));
        if kernel.names.contains_key(&name) {
            let path = Path::new(MODULES).join(version).join(name);
            let reason = "dracut was ended before it was complete";
            work.plan.files.remove(path, reason);
        }
    }
    for entry in &seen.boot {
        work.plan_boot(entry);
    }
    let removed = work.plan_removed();
    let kernels: Vec<&str> = kernels.difference(&removed).copied().collect();
    for version in &kernels {
        work.plan_initramfs(version);
    }
    for (version, kernel) in seen.kernels.iter().filter(|(_, kernel)| kernel.is_touched) {
        if removed.contains(version.as_str()) {
            continue;
        }
        if needs_depmod(kernel) {
            work.plan.depmod.push(version.clone());
        }
        if !kernels.contains(&version.as_str()) {
            let finding = kernel_modules_unused::finding(version, &kernels);
            work.plan.files.outcome.findings.push(finding);
        }
    }
    work.find_count(&kernels);
    work.plan_links();
    let left = kernel_boot_not_empty::finding(&work.left);
    work.plan.files.outcome.findings.extend(left);
    work.plan
}

struct Work<'a> {
    seen: &'a Seen,
    plan: KernelPlan,
    /// Entries of /boot that will be gone.
    gone: BTreeSet<PathBuf>,
    /// Entries of /boot that stay.
    left: Vec<String>,
}

impl<'a> Work<'a> {
    /// The versions that have a kernel, or get it from /boot.
    fn kernels(&self) -> BTreeSet<&'a str> {
        let here = (self.seen.kernels.iter())
            .filter(|(_, kernel)| kernel.is_file(VMLINUZ))
            .map(|(version, _)| version.as_str());
        let in_boot = self.seen.boot.iter().filter_map(|entry| match &entry.part {
            Some((version, VMLINUZ)) => Some(version.as_str()),
            _ => None,
        });
        here.chain(in_boot).collect()
    }

    fn plan_boot(&mut self, entry: &InBoot) {
        if entry.is_mount {
            return;
        }
        match &entry.part {
            Some((_, INITRAMFS)) => {}
            Some((version, file)) => {
                let is_new = self.seen.kernels[version].is_new(file);
                if entry.is_there {
                    self.remove(&entry.path, "a copy of what stands beside the modules");
                } else if is_new {
                    self.left.push(shown(&entry.path));
                } else {
                    self.rename(entry, version, file);
                }
            }
            // Links are told by what they lead to.
            None if self.is_link_of_kernel(&entry.path) => {}
            None => self.left.push(shown(&entry.path)),
        }
    }

    fn is_link_of_kernel(&self, path: &Path) -> bool {
        self.seen.links.iter().any(|(link, _)| link == path)
    }

    fn rename(&mut self, entry: &InBoot, version: &str, file: &str) {
        self.gone.insert(entry.path.clone());
        let target = Path::new(MODULES).join(version).join(file);
        let reason = "a kernel's files belong beside its modules";
        self.plan.files.rename(entry.path.clone(), target, reason);
    }

    fn remove(&mut self, path: &Path, reason: &str) {
        self.gone.insert(path.to_owned());
        self.plan.files.remove(path, reason);
    }

    /// What is left of kernels whose modules were removed.
    fn plan_removed(&mut self) -> BTreeSet<&'a str> {
        let mut removed = BTreeSet::new();
        for (version, kernel) in &self.seen.kernels {
            let is_known = |name: &std::ffi::OsString| name.to_str().is_some_and(is_of_kernel);
            if !kernel.has_lost_modules || !kernel.names.keys().all(is_known) {
                continue;
            }
            let directory = Path::new(MODULES).join(version);
            for name in kernel.names.keys() {
                let reason = "of a kernel whose modules were removed";
                self.plan.files.remove(directory.join(name), reason);
            }
            self.plan
                .files
                .remove(directory, "a kernel that was removed");
            removed.insert(version.as_str());
        }
        removed
    }

    fn plan_initramfs(&mut self, version: &str) {
        let seen = self.seen;
        let Some(kernel) = seen.kernels.get(version).filter(|kernel| kernel.is_touched) else {
            return;
        };
        let in_boot: Vec<&InBoot> = (seen.boot.iter())
            .filter(|entry| {
                entry
                    .part
                    .as_ref()
                    .is_some_and(|(of, file)| of == version && *file == INITRAMFS)
            })
            .collect();
        let own = kernel.initramfs.as_ref();
        let is_own_new = kernel.is_new(INITRAMFS);
        let best = in_boot
            .iter()
            .find(|entry| entry.initramfs == Some(Ostree::Present));
        let unread = in_boot
            .iter()
            .find(|entry| matches!(entry.initramfs, Some(Ostree::Unreadable(_))));
        let taken = match (own, best.or(unread)) {
            (Some(Ostree::Present | Ostree::Unreadable(_)), _) if is_own_new => None,
            (Some(Ostree::Present), taken) if taken.is_some() && best.is_none() => None,
            (_, taken) => taken,
        };
        let result = taken.map_or(own, |entry| entry.initramfs.as_ref());
        let others = in_boot
            .iter()
            .filter(|entry| taken.is_none_or(|taken| taken.path != entry.path));
        match result {
            Some(Ostree::Missing) | None => {
                let problem = match (own, in_boot.is_empty()) {
                    (None, true) => "has no initramfs",
                    _ => "has an initramfs without ostree-prepare-root",
                };
                let replaces = others.map(|entry| entry.path.clone()).collect();
                self.gone
                    .extend(in_boot.iter().map(|entry| entry.path.clone()));
                self.plan.initramfs.push(Wanted {
                    version: version.to_owned(),
                    problem,
                    replaces,
                });
                return;
            }
            Some(Ostree::Unreadable(reason)) => {
                let path = format!("/{MODULES}/{version}/{INITRAMFS}");
                let finding = kernel_initramfs_unread::finding(path, reason);
                self.plan.files.outcome.findings.push(finding);
            }
            Some(Ostree::Present) => {}
        }
        if let Some(taken) = taken {
            self.rename(taken, version, INITRAMFS);
        }
        for other in others {
            self.remove(
                &other.path,
                "the initramfs that boots is beside the modules",
            );
        }
    }

    /// What the base had is its own business.
    fn find_count(&mut self, kernels: &[&str]) {
        let finding = match &self.seen.old_versions {
            Some(old) if old.iter().map(String::as_str).eq(kernels.iter().copied()) => None,
            None if kernels.is_empty() => None,
            Some(old) if old.is_empty() && kernels.is_empty() => None,
            _ => kernel_count::finding(kernels),
        };
        self.plan.files.outcome.findings.extend(finding);
    }

    fn plan_links(&mut self) {
        for (link, name) in &self.seen.links {
            let end = Path::new(BOOT).join(name);
            if !self.seen.boot_names.contains(name) || self.gone.contains(&end) {
                self.plan
                    .files
                    .remove(link.clone(), "it leads to a kernel that is not in /boot");
            }
        }
    }
}

pub(super) fn wrote(version: &str, file: &str, reason: &str) -> ChangedFile {
    ChangedFile {
        change: Change::Wrote,
        path: format!("/{MODULES}/{version}/{file}"),
        from: None,
        reason: reason.to_owned(),
    }
}

/// Whether depmod has not seen all directories of modules.
fn needs_depmod(kernel: &Kernel) -> bool {
    let moment =
        |meta: &crate::place::Meta| (meta.look.modified.seconds, meta.look.modified.nanoseconds);
    let indexed = kernel
        .names
        .get(Path::new("modules.dep").as_os_str())
        .map(moment);
    kernel
        .directories()
        .any(|directory| Some(moment(directory)) > indexed)
}

/// Whether a file of this name is the kernel's own or made from it.
fn is_of_kernel(name: &str) -> bool {
    let mut parts = PARTS.iter();
    parts.any(|(_, _, part)| *part == name) || name.starts_with("modules.")
}
