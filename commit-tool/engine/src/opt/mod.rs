//! /opt and /usr/local: where the image has them in /var, what a step puts there is lost on machines
//! that are upgraded. It moves to /usr/lib/opt and /usr/lib/usrlocal; links lead there, for later
//! steps in the layer and at boot by tmpfiles.d `L+`. What software writes at run time below them,
//! where /usr is read-only, moves the other way, to /var. Observe, plan, apply.

mod accounts;
mod apply;
pub(crate) mod area;
mod labels;
mod links;
mod observe;
mod plan;

use std::path::PathBuf;

use osderive_lints::MAX_LISTED_ENTRIES;

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    outcome::{DomainOutcome, Tell},
    paths::{absolute, shown},
    place::Entries,
    place::Place,
    rootfs::Rootfs,
};

pub(crate) use apply::relocate;
pub(crate) use observe::Snapshot;
use plan::OptPlan;

/// The domain: moves what is new in /opt and /usr/local; without a state of before, all that is there.
pub(crate) struct Opt<'a> {
    pub(crate) before: Option<&'a Snapshot>,
    /// What layers below have in /var.
    pub(crate) lower: Option<&'a Entries>,
}

impl Domain for Opt<'_> {
    fn recover(&self, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let Some(before) = self.before else {
            apply::finish_parts(work.place)?;
            return Ok(DomainOutcome::default());
        };
        let restored = apply::restore(work.place, before)?;
        restored.iter().for_each(tell);
        Ok(DomainOutcome {
            changed: restored,
            ..DomainOutcome::default()
        })
    }

    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let before = self.before.map(|before| (before, self.lower));
        let seen = observe::observe(work.place, work.rootfs, before, work.start, work.settings)?;
        let plan = seen.map(|seen| plan::plan(&seen, work.settings, work.phase));
        Ok(Box::new(plan.unwrap_or_default()))
    }
}

impl domain::Plan for OptPlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        let mut outcome = self.outcome;
        let actions = self.actions.iter();
        outcome
            .changed
            .extend(actions.filter_map(plan::OptAction::as_changed_file));
        outcome
    }

    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = self.outcome;
        apply::apply(work.place, &self.actions, &mut outcome, tell)?;
        Ok(outcome)
    }
}

/// Makes what stands in the place of a link of ours part of what the link leads to, and the link again: COPY puts
/// directories there, and the command is to find all of the software.
pub(crate) fn fold(rootfs: &Rootfs) -> Result<()> {
    let place = Place::of(rootfs);
    for (path, target) in links::replaced(&place, rootfs)? {
        apply::relocate(&place, &path, &target)?;
        apply::leave_link(&place, &path, &absolute(&target))?;
    }
    Ok(())
}

/// The links of ours that lead to directories: what COPY of a directory to a place above one of them cannot go on in.
/// Absolute paths, as users know them and as they are in /var.
pub(crate) fn linked_directories(rootfs: &Rootfs) -> Result<Vec<String>> {
    let place = Place::of(rootfs);
    let linked = links::linked(&place, rootfs)?.into_iter();
    let paths = linked.flat_map(|(path, target)| links::names_of(&path, &target));
    Ok(paths
        .take(MAX_LISTED_ENTRIES)
        .map(|path| shown(&path))
        .collect())
}

/// Puts directories in the place of links of ours below some paths, for COPY to go on in: they have the directories
/// and links of what they led to, no files. Before the next command all becomes [one again](fold).
pub fn unfold(rootfs: &Rootfs, tops: &[PathBuf]) -> Result<()> {
    let place = Place::of(rootfs);
    for (path, target) in links::linked(&place, rootfs)? {
        let names = links::names_of(&path, &target);
        let is_below = |top: &PathBuf| {
            let top = top.strip_prefix("/").unwrap_or(top);
            names
                .iter()
                .any(|name| name != top && name.starts_with(top))
        };
        if tops.iter().any(is_below) {
            apply::unfold(&place, &path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
