//! /var starts empty on a machine and belongs to it afterwards: before a step's command it is made
//! as boot makes it, and after it what the command did not change of that is taken away. What it
//! added is declared: directories and links as lines of tmpfiles.d, files in /usr/share/factory.

use std::path::Path;

use osderive_lints::{MAX_LISTED_ENTRIES, packages::Moment};

use crate::{
    domain::{self, Domain, Phase, Work},
    error::Result,
    place::Place,
    settled::{Settled, Tell},
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
use plan::action::{Action, Plan};
pub(crate) use prelude::{Left, Prelude};

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
    pub(crate) left: Option<&'a Left<'a>>,
    /// What the package databases had before the command.
    pub(crate) packages: Option<Moment>,
}

impl Domain for Var<'_> {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        // Where /var was no plain directory before, nothing in it is new.
        let was_open = work.phase == Phase::ByHand || self.left.is_some();
        let seen = if was_open && is_open(work.place) {
            observe::observe(work, self.left, self.packages)?
        } else {
            None
        };
        let plan = seen.map(|seen| plan::plan(&seen, work.settings));
        Ok(Box::new(plan.unwrap_or_default()))
    }
}

impl domain::Plan for Plan {
    fn preview(self: Box<Self>) -> Settled {
        Settled {
            changed: (self.actions.iter())
                .filter_map(Action::as_changed_file)
                .collect(),
            findings: self.findings,
            ..Settled::default()
        }
    }

    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<Settled> {
        let mut settled = Settled {
            summaries: self.summaries(),
            is_quietly_changed: !self.actions.is_empty(),
            left_bytes: self.left_bytes,
            ..Settled::default()
        };
        apply::apply(work.place, &self.actions, &mut settled, tell)?;
        settled.changed.truncate(MAX_LISTED_ENTRIES);
        settled.findings = self.findings;
        Ok(settled)
    }
}

#[cfg(test)]
mod tests;
