//! /var starts empty on a machine and belongs to it afterwards: before a step's command it is made
//! as boot makes it, and after it what the command did not change of that is taken away. What it
//! added is declared: directories and links as lines of tmpfiles.d, files in /usr/share/factory.

use std::path::Path;

use osderive_lints::{MAX_LISTED_ENTRIES, packages::Moment};

use crate::{
    domain::{self, Domain, Phase, Work},
    error::Result,
    outcome::{DomainOutcome, Tell},
    place::Place,
};

mod apply;
pub(crate) mod boot;
mod brought;
mod databases;
mod entry;
mod known;
mod observe;
mod obstacles;
mod plan;
mod prelude;
mod required;
mod run;
mod unmade;
mod walk;
use plan::action::{VarAction, VarPlan};
pub(crate) use prelude::{Prelude, PreludeState};

const VAR: &str = "var";

/// Whether /var is a plain directory.
fn is_open(place: &Place<'_>) -> bool {
    place
        .meta(Path::new(VAR))
        .is_ok_and(|found| found.is_some_and(|meta| meta.is_open_directory()))
}

/// The domain: declares what is new below /var and takes it away there; by hand all that is there. After a step what
/// later RUNs may need stays in its place until the end: logs, package lists and what else is known to go.
pub(crate) struct Var<'a> {
    /// What is left of what was made or was there before; none where /var was no plain directory, and by hand.
    pub(crate) prelude_state: Option<&'a PreludeState<'a>>,
    /// What the package databases had before the command.
    pub(crate) packages: Option<Moment>,
}

impl Domain for Var<'_> {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        // Where /var was no plain directory before, nothing in it is new.
        let was_open = work.phase == Phase::ByHand || self.prelude_state.is_some();
        let seen = if was_open && is_open(work.place) {
            observe::observe(work, self.prelude_state, self.packages)?
        } else {
            None
        };
        let plan = seen.map(|seen| plan::plan(&seen, work.settings));
        Ok(Box::new(plan.unwrap_or_default()))
    }
}

impl domain::Plan for VarPlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        DomainOutcome {
            changed: (self.actions.iter())
                .filter_map(VarAction::as_changed_file)
                .collect(),
            findings: self.findings,
            ..DomainOutcome::default()
        }
    }

    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = DomainOutcome {
            summaries: self.summaries(),
            is_quietly_changed: !self.actions.is_empty(),
            left_bytes: self.left_bytes,
            ..DomainOutcome::default()
        };
        apply::apply(work.place, &self.actions, &mut outcome, tell)?;
        outcome.changed.truncate(MAX_LISTED_ENTRIES);
        outcome.findings = self.findings;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
