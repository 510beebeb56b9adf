//! A commit: observe, plan, apply, until the tree is what the plan says, and the account of it.
//! Killed anywhere and run again it ends in the same place, since each run starts by looking.

use osderive_lints::{
    Change, Finding, KeptEntry, MAX_LISTED_ENTRIES, Outcome, REPORT_VERSION, RemovedEntry,
    StepReport,
    rules::{
        commit_cannot_remove::{self, Stuck},
        commit_not_a_directory,
    },
};

use crate::{
    accounts::{self, Settled, Snapshot},
    apply::{Applied, apply},
    error::Result,
    mounts::Mounts,
    observe::{AREAS, Area, Observation, observe},
    plan::{Action, MOUNT_POINT, Plan, plan},
    rootfs::Rootfs,
};

/// How often a tree that changes under the commit is looked at.
const ROUNDS: usize = 3;

/// What a commit did.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) report: StepReport,
    /// The areas that something was removed from.
    pub(crate) areas: Vec<Area>,
    /// The areas that are plain directories, neither mounts nor behind one.
    pub(crate) open: Vec<Area>,
}

/// Hears of each thing done with the reason.
pub(crate) type Listener<'a> = &'a mut dyn FnMut(&str, &str);

/// Commits a root file system; `before` is what its accounts were before a step's command.
pub(crate) fn commit(
    rootfs: &Rootfs,
    before: Option<&Snapshot>,
    mut listener: Option<Listener<'_>>,
) -> Result<Committed> {
    let mut account = Account::new();
    let accounts = accounts::settle(rootfs, before, |file| {
        if let Some(hear) = &mut listener {
            let done = match file.change {
                Change::Wrote => "wrote",
                Change::Removed => "removed",
            };
            hear(&format!("{done} {}", file.path), &file.reason);
        }
    })?;
    for round in 1..=ROUNDS {
        let seen = observe(rootfs, Mounts::read(rootfs))?;
        let plan = plan(&seen);
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
    account.add_accounts(accounts);
    Ok(account.committed)
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

    fn add_accounts(&mut self, accounts: Settled) {
        let report = &mut self.committed.report;
        report.changed.extend(accounts.changed);
        report.kept.extend(accounts.kept);
        report.findings.extend(accounts.findings);
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
        findings: Vec::<Finding>::new(),
    }
}

#[cfg(test)]
mod tests;
