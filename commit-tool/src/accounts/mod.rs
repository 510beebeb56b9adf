//! Accounts: what a step adds to /etc/passwd and its siblings becomes sysusers.d lines with the
//! same ids, because a machine that ever changed /etc/passwd keeps its own. Observe, plan, apply.

mod apply;
mod declare;
mod find;
mod observe;
mod plan;
mod tidy;

use osderive_lints::{ChangedFile, Finding, KeptEntry};

use crate::{error::Result, rootfs::Rootfs};

pub(crate) use observe::Snapshot;
pub(crate) use plan::Plan;

/// What was done about accounts.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    pub(crate) changed: Vec<ChangedFile>,
    pub(crate) kept: Vec<KeptEntry>,
    pub(crate) findings: Vec<Finding>,
}

/// What shall be done about the accounts of a root file system, compared with what it was before
/// the step's command; without that, with what the image declares.
pub(crate) fn plan(rootfs: &Rootfs, before: Option<&Snapshot>) -> Result<Plan> {
    let after = Snapshot::take(rootfs)?;
    if before == Some(&after) {
        return Ok(Plan::default());
    }
    let declared = observe::Declared::read(rootfs, &after)?;
    Ok(plan::plan(before, &after, &declared))
}

/// Makes the plan and applies it.
pub(crate) fn settle(
    rootfs: &Rootfs,
    before: Option<&Snapshot>,
    mut tell: impl FnMut(&ChangedFile),
) -> Result<Settled> {
    let mut plan = plan(rootfs, before)?;
    let undone = apply::apply(rootfs, &plan)?;
    let is_done = |action: &&plan::Action| !undone.contains(action);
    let changed: Vec<ChangedFile> = (plan.actions.iter())
        .filter(is_done)
        .map(plan::Action::as_changed_file)
        .collect();
    changed.iter().for_each(&mut tell);
    let left = undone.iter().map(|action| KeptEntry {
        path: action.path(),
        reason: "behind a mount or a link".to_owned(),
    });
    plan.keep.extend(left.collect::<Vec<_>>());
    Ok(Settled {
        changed,
        kept: plan.keep,
        findings: plan.findings,
    })
}

#[cfg(test)]
mod tests;
