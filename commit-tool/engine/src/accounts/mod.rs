//! Accounts: what a step adds to /etc/passwd and its siblings becomes sysusers.d lines with the
//! same ids, because a machine that ever changed /etc/passwd keeps its own. Observe, plan, apply.

mod altfiles;
mod declare;
mod find;
mod ledger;
mod observe;
mod owners;
mod plan;
mod previous;
mod tidy;

use std::collections::BTreeSet;

use osderive_lints::{
    MAX_LISTED_ENTRIES,
    model::ledger::{Entry, Ledger},
};

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    outcome::{DomainOutcome, FilePlan, Tell},
    place::Place,
    rootfs::Rootfs,
    step_start::StepStart,
};

pub(crate) use altfiles::Altfiles;
pub(crate) use observe::Snapshot;
pub use previous::Previous;

fn plan(rootfs: &Rootfs, before: Option<&Snapshot>) -> Result<FilePlan> {
    let after = Snapshot::take(rootfs)?;
    if before == Some(&after) {
        return Ok(FilePlan::default());
    }
    let declared = observe::Declared::read(rootfs, &after)?;
    let mut plan = plan::plan(before, &after, &declared);
    plan.outcome.accounts = before.map_or_else(Vec::new, |before| made(before, &after));
    Ok(plan)
}

/// The accounts that were not there before, or had another id.
fn made(before: &Snapshot, after: &Snapshot) -> Vec<Entry> {
    let old: BTreeSet<Entry> = before.ids().entries().collect();
    let new = after.ids();
    let made = new.entries().filter(|entry| !old.contains(entry));
    made.take(MAX_LISTED_ENTRIES).collect()
}

/// The domain: declares the accounts that are new compared with what was before; without that, those that the
/// image does not declare.
pub(crate) struct Accounts<'a> {
    pub(crate) before: Option<&'a Snapshot>,
    /// Whether nothing in /etc is new, where all account files are.
    pub(crate) is_untouched: bool,
}

impl Domain for Accounts<'_> {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let plan = if self.is_untouched {
            FilePlan::default()
        } else {
            plan(work.rootfs, self.before)?
        };
        Ok(Box::new(plan))
    }
}

/// Gives the accounts that a step made the ids that the ledger says, with all that belongs to them,
/// and tells which ids differ and which the ledger lacks. The account files come last, so that a
/// commit that was interrupted begins again; only where ids change places it cannot be repeated, and
/// an engine drops the layer of a step that was interrupted.
pub(crate) fn keep_ids(
    rootfs: &Rootfs,
    ledger: &Ledger,
    before: &Snapshot,
    start: StepStart,
    tell: Tell<'_>,
) -> Result<DomainOutcome> {
    let after = Snapshot::take(rootfs)?;
    if *before == after {
        return Ok(DomainOutcome::default());
    }
    let limits = observe::Declared::read(rootfs, &after)?.limits();
    let renumbering = ledger::renumber(ledger, before, &after, limits);
    if !renumbering.moves.is_empty() {
        owners::change(rootfs, &renumbering.moves, start)?;
    }
    renumbering.files.apply(&Place::of(rootfs), tell)
}

#[cfg(test)]
mod tests;
