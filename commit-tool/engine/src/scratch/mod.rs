//! What starts empty on a machine: /run, /tmp, /var/tmp and /var/cache. Later RUNs may need what is
//! there, so it goes at the end of the build. After a RUN only the package managers' own caches go.
//! Observe, plan, apply, until the tree is what the plan says.

mod apply;
mod observe;
mod plan;

use osderive_lints::{
    ChangedFile, KeptEntry, MAX_LISTED_ENTRIES, RemovedEntry,
    rules::{
        self,
        commit_cannot_remove::{self, Stuck},
        commit_not_a_directory,
    },
};

use crate::{
    domain::{self, Domain, Phase, Work},
    error::Result,
    mounts::Mounts,
    outcome::{DomainOutcome, Tell},
    rootfs::Rootfs,
    step_start::StepStart,
};
use apply::{Applied, apply};
pub(crate) use observe::resolved;
use observe::{AREAS, Area, Observation, PACKAGE_CACHES, observe};
pub(crate) use plan::MOUNT_POINT;
use plan::{ScratchAction, plan};

/// How often a tree that changes under the commit is looked at.
const ROUNDS: usize = 3;

/// The domain.
pub(crate) struct Scratch;

/// The areas that are emptied.
struct AreasPlan<'a> {
    rootfs: &'a Rootfs,
    areas: &'static [Area],
    seen: Observation,
}

impl Domain for Scratch {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let areas: &[Area] = match work.phase {
            Phase::Step => &PACKAGE_CACHES,
            Phase::End | Phase::ByHand => &AREAS,
        };
        Ok(Box::new(AreasPlan {
            rootfs: work.rootfs,
            areas,
            seen: observe(work.rootfs, areas, Mounts::read(work.rootfs))?,
        }))
    }
}

impl domain::Plan for AreasPlan<'_> {
    fn preview(self: Box<Self>) -> DomainOutcome {
        let plan = plan(&self.seen);
        let removed = plan.actions.iter();
        let stuck = plan.unreadable.iter().map(|(id, error)| KeptEntry {
            path: self.seen.path(*id),
            reason: format!("{}: {error}", rules::commit_cannot_remove::RULE.name),
        });
        DomainOutcome {
            changed: removed.map(|action| told(&self.seen, action)).collect(),
            kept: (plan.keep.iter().cloned().map(KeptEntry::from))
                .chain(stuck)
                .collect(),
            ..DomainOutcome::default()
        }
    }

    fn apply(self: Box<Self>, _: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = DomainOutcome::default();
        let mut seen = self.seen;
        for round in 1..=ROUNDS {
            let plan = plan(&seen);
            let applied = apply(self.rootfs, &seen, &plan)?;
            for action in &applied.removed {
                tell(&told(&seen, action));
                count(&mut outcome, &seen, action);
            }
            if !applied.changed || round == ROUNDS {
                close(&mut outcome, &seen, plan, &applied);
                break;
            }
            seen = observe(self.rootfs, self.areas, Mounts::read(self.rootfs))?;
        }
        Ok(outcome)
    }
}

/// The bytes of what a step left to be emptied at the end of the build.
pub(crate) fn left_by(rootfs: &Rootfs, start: StepStart) -> Result<u64> {
    let seen = observe(rootfs, &AREAS, Mounts::read(rootfs))?;
    let start = start.checked();
    let own = (seen.entries()).filter(|(_, entry)| start.is_since(entry.changed));
    Ok(own.map(|(_, entry)| entry.bytes).sum())
}

fn told(seen: &Observation, action: &ScratchAction) -> ChangedFile {
    let ScratchAction::Remove { entry, area, .. } = action;
    ChangedFile {
        change: osderive_lints::Change::Removed,
        path: seen.path(*entry),
        from: None,
        reason: area.reason.to_owned(),
    }
}

fn count(outcome: &mut DomainOutcome, seen: &Observation, action: &ScratchAction) {
    let &ScratchAction::Remove {
        entry,
        area,
        kind,
        bytes,
    } = action;
    let removed = &mut outcome.removed;
    removed.entries += 1;
    removed.bytes += bytes;
    removed.areas.insert(area.path);
    if removed.listed.len() < MAX_LISTED_ENTRIES {
        removed.listed.push(RemovedEntry {
            path: seen.path(entry),
            kind,
            bytes,
        });
    }
}

/// Tells what the last round had to leave.
fn close(
    outcome: &mut DomainOutcome,
    seen: &Observation,
    plan: plan::ScratchPlan,
    applied: &Applied,
) {
    let stuck = stuck(seen, &plan, applied);
    let kept = plan.keep.into_iter().map(KeptEntry::from);
    outcome.kept.extend(kept);
    outcome
        .kept
        .extend(applied.busy.iter().map(|&id| KeptEntry {
            path: seen.path(id),
            reason: MOUNT_POINT.to_owned(),
        }));
    outcome
        .kept
        .sort_by(|left, right| left.path.cmp(&right.path));
    outcome.kept.truncate(MAX_LISTED_ENTRIES);
    let not_directories = plan.not_directories.iter();
    outcome
        .findings
        .extend(not_directories.map(|(path, found)| commit_not_a_directory::finding(path, found)));
    outcome
        .findings
        .extend(commit_cannot_remove::finding(&stuck));
}

fn stuck(seen: &Observation, plan: &plan::ScratchPlan, applied: &Applied) -> Vec<Stuck> {
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

#[cfg(test)]
mod tests;
