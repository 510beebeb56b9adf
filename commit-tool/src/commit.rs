//! A commit: observe, plan, apply, until the tree is what the plan says, and the account of it.
//! Killed anywhere and run again it ends in the same place, since each run starts by looking.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use osderive_lints::{
    ChangedFile, Finding, KeptEntry, MAX_LISTED_ENTRIES, Outcome, REPORT_VERSION, RemovedEntry,
    StepReport,
    model::ledger::Ledger,
    rules::{
        commit_cannot_remove::{self, Stuck},
        commit_not_a_directory,
    },
};

use crate::{
    accounts,
    apply::{Applied, apply},
    began::Began,
    error::Result,
    identity, kernel, metadata,
    mounts::Mounts,
    observe::{AREAS, Area, Observation, observe},
    opt,
    place::{Entries, Place},
    plan::{Action, MOUNT_POINT, Plan, plan},
    rootfs::Rootfs,
    settings::Settings,
    settled::{Settled, Tell},
    stamps::Stamps,
    var::{self, Left, Prelude},
};

/// How often a tree that changes under the commit is looked at.
const ROUNDS: usize = 3;

/// What a commit did.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) report: StepReport,
    /// The areas that something was removed from.
    pub(crate) areas: Vec<Area>,
    /// What was kept, in a line for each domain that had something to do.
    pub(crate) summaries: Vec<String>,
    /// The areas that are plain directories, neither mounts nor behind one.
    open: Vec<Area>,
}

/// Hears of each thing done with the reason.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(&str, &str);

/// What a step's command begins with, kept so that the commit knows what the command changed.
#[derive(Debug)]
pub(crate) struct Before {
    stamps: Stamps,
    /// What lower layers have in the areas that are emptied, if it is to stay.
    left: BTreeSet<PathBuf>,
    /// None where /var is no plain directory.
    prelude: Option<Prelude>,
    accounts: accounts::Snapshot,
    /// From when on files are the step's.
    began: Began,
    ids: Option<Ledger>,
    identity: identity::Snapshot,
    kernel: kernel::Snapshot,
    metadata: metadata::Snapshot,
    opt: opt::Before,
}

impl Before {
    /// Makes /var as boot would, and takes down the rest.
    pub(crate) fn take(rootfs: &Rootfs, ids: Option<Ledger>, settings: &Settings) -> Result<Self> {
        let began = Began::now(rootfs)?;
        let stamps = Stamps::take(rootfs);
        let place = Place::of(rootfs);
        let left = if settings.leave_lower {
            let seen = observe(rootfs, Mounts::read(rootfs))?;
            seen.entries().map(|(id, _)| seen.place(id)).collect()
        } else {
            BTreeSet::new()
        };
        Ok(Self {
            left,
            began,
            ids,
            stamps,
            metadata: metadata::Snapshot::take(&place)?,
            prelude: Prelude::make(rootfs, &settings.copied)?,
            accounts: accounts::Snapshot::take(rootfs)?,
            identity: identity::Snapshot::take(&place)?,
            kernel: kernel::Snapshot::take(&place)?,
            opt: opt::Before::take(rootfs)?,
        })
    }

    fn keep_ids(&self, rootfs: &Rootfs, tell: Tell<'_>) -> Result<Settled> {
        match &self.ids {
            Some(ledger) => accounts::keep_ids(rootfs, ledger, &self.accounts, self.began, tell),
            None => Ok(Settled::default()),
        }
    }
}

/// Commits a root file system, after a step's command or by hand.
pub(crate) fn commit(
    rootfs: &Rootfs,
    before: Option<&Before>,
    settings: &Settings,
    mut listener: Option<Listener<'_>>,
) -> Result<Committed> {
    let mut account = Account::new();
    let mut tell = |file: &ChangedFile| {
        if let Some(hear) = &mut listener {
            hear(&file.done(), &file.reason);
        }
    };
    let prelude = before.and_then(|before| before.prelude.as_ref());
    let ids = before.map(|before| before.keep_ids(rootfs, &mut tell));
    let ids = ids.transpose()?.unwrap_or_default();
    let left = prelude.map(|prelude| prelude.take_away(rootfs));
    let left = left.transpose()?;
    let began = before.map(|before| before.began);
    let owned = metadata::Owned::take(&Place::of(rootfs), began)?;
    let settled = settle(
        rootfs,
        before,
        left.as_ref(),
        owned.as_ref(),
        settings,
        &mut tell,
    )?;
    let is_left = |path: &Path| {
        before.is_some_and(|before| before.left.contains(path)) || settings.leaves(path)
    };
    let leaves = before.is_some_and(|before| !before.left.is_empty()) || !settings.leave.is_empty();
    for round in 1..=ROUNDS {
        let seen = observe(rootfs, Mounts::read(rootfs))?;
        let plan = plan(&seen, leaves.then_some(&is_left));
        let applied = apply(rootfs, &seen, &plan)?;
        if let Some(hear) = &mut listener {
            for action in &applied.removed {
                let Action::Remove { entry, area, .. } = action;
                hear(&format!("removed {}", seen.path(*entry)), area.reason);
            }
        }
        account.add(&seen, &applied);
        if !applied.changed || round == ROUNDS {
            account.close(&seen, plan, &applied);
            break;
        }
    }
    account.add_settled(ids);
    account.add_settled(settled);
    if let Some(before) = before {
        before.stamps.restore(rootfs, &account.committed.open)?;
    }
    if let (Some(prelude), Some(left)) = (prelude, &left) {
        prelude.finish(rootfs, left)?;
    }
    if let Some(began) = began {
        account.committed.report.directories = metadata::suspects(&Place::of(rootfs), began)?;
    }
    Ok(account.committed)
}

/// What a commit by hand would do besides emptying the areas.
pub(crate) fn preview(rootfs: &Rootfs, settings: &Settings) -> Result<Settled> {
    let place = Place::of(rootfs);
    let mut settled = accounts::preview(rootfs)?;
    settled.add(opt::preview(rootfs, settings)?);
    settled.add(var::preview(rootfs, settings)?);
    settled.add(identity::plan(&place, None)?.preview());
    settled.add(kernel::preview(&place)?);
    let owned = metadata::Owned::take(&place, None)?;
    settled.add(metadata::plan(rootfs, &place, None, owned.as_ref())?.preview());
    Ok(settled)
}

/// Settles the domains, one after the other.
fn settle(
    rootfs: &Rootfs,
    before: Option<&Before>,
    left: Option<&Left<'_>>,
    owned: Option<&metadata::Owned>,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Settled> {
    let place = Place::of(rootfs);
    // All account files are in /etc.
    let mut settled = match (before, owned) {
        (Some(_), None) => Settled::default(),
        _ => accounts::settle(rootfs, before.map(|before| &before.accounts), tell)?,
    };
    let nothing = Entries::new();
    let opt_before = before.map(|before| {
        let lower = before.prelude.as_ref().map_or(&nothing, Prelude::lower);
        (&before.opt, lower)
    });
    settled.add(opt::settle(rootfs, opt_before, settings, tell)?);
    // Where /var was no plain directory before, nothing in it is the step's.
    if before.is_none() || left.is_some() {
        settled.add(var::settle(rootfs, left, settings, tell)?);
    }
    let identity = identity::plan(
        &place,
        before.map(|before| (&before.identity, before.began)),
    )?;
    settled.add(identity.apply(&place, tell)?);
    settled.add(kernel::settle(
        rootfs,
        before.map(|before| (&before.kernel, before.began)),
        tell,
    )?);
    let metadata = metadata::plan(
        rootfs,
        &place,
        before.map(|before| (&before.metadata, before.began)),
        owned,
    )?;
    settled.add(metadata.apply(&place, tell)?);
    Ok(settled)
}

struct Account {
    committed: Committed,
}

impl Account {
    fn new() -> Self {
        Self {
            committed: Committed {
                report: empty_report(Outcome::Committed),
                areas: Vec::new(),
                summaries: Vec::new(),
                open: Vec::new(),
            },
        }
    }

    fn add(&mut self, seen: &Observation, applied: &Applied) {
        let report = &mut self.committed.report;
        for action in &applied.removed {
            let &Action::Remove {
                entry, kind, bytes, ..
            } = action;
            report.removed_entries += 1;
            report.removed_bytes += bytes;
            if report.removed.len() < MAX_LISTED_ENTRIES {
                report.removed.push(RemovedEntry {
                    path: seen.path(entry),
                    kind,
                    bytes,
                });
            }
        }
        let touched = |area: &Area| {
            let in_area =
                |action: &Action| matches!(action, Action::Remove { area: of, .. } if of == area);
            self.committed.areas.contains(area) || applied.removed.iter().any(in_area)
        };
        self.committed.areas = AREAS.into_iter().filter(touched).collect();
    }

    fn add_settled(&mut self, settled: Settled) {
        let report = &mut self.committed.report;
        report.changed.extend(settled.changed);
        report.kept.extend(settled.kept);
        report.findings.extend(settled.findings);
        report.accounts.extend(settled.accounts);
        self.committed.summaries.extend(settled.summaries);
    }

    /// Tells what the last round had to leave.
    fn close(&mut self, seen: &Observation, plan: Plan, applied: &Applied) {
        let stuck = stuck(seen, &plan, applied);
        self.committed.open.clone_from(&seen.open);
        let report = &mut self.committed.report;
        report.kept = plan.keep.into_iter().map(KeptEntry::from).collect();
        report.kept.extend(applied.busy.iter().map(|&id| KeptEntry {
            path: seen.path(id),
            reason: MOUNT_POINT.to_owned(),
        }));
        report
            .kept
            .sort_by(|left, right| left.path.cmp(&right.path));
        report.kept.truncate(MAX_LISTED_ENTRIES);
        let not_directories = plan.not_directories.iter();
        report.findings.extend(
            not_directories.map(|(path, found)| commit_not_a_directory::finding(path, found)),
        );
        report
            .findings
            .extend(commit_cannot_remove::finding(&stuck));
    }
}

fn stuck(seen: &Observation, plan: &Plan, applied: &Applied) -> Vec<Stuck> {
    let mut refused: Vec<_> = plan.unreadable.iter().chain(&applied.refused).collect();
    refused.sort_by_key(|(id, _)| *id);
    let mut stuck: Vec<Stuck> = refused
        .into_iter()
        .map(|(id, error)| Stuck {
            path: seen.path(*id),
            error: error.to_string(),
        })
        .collect();
    if applied.changed {
        stuck.push(Stuck {
            path: "new entries".to_owned(),
            error: "another process keeps changing /run, /tmp, /var/tmp or /var/cache".to_owned(),
        });
    }
    stuck
}

/// A report that tells of nothing but the outcome.
pub(crate) fn empty_report(outcome: Outcome) -> StepReport {
    StepReport {
        version: REPORT_VERSION,
        outcome,
        removed_entries: 0,
        removed_bytes: 0,
        removed: Vec::new(),
        changed: Vec::new(),
        kept: Vec::new(),
        accounts: Vec::new(),
        directories: Vec::new(),
        findings: Vec::<Finding>::new(),
    }
}

#[cfg(test)]
mod tests;
