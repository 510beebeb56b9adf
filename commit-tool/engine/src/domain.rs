//! What every part of a commit looks like: it plans from what it sees, and the plan is shown or done.
//! A commit is the list of its domains, one after the other; each says itself what it does after a
//! RUN and what waits for the end of the build.

use crate::{
    base::Base,
    error::Result,
    outcome::{self, DomainOutcome, Tell},
    place::Place,
    rootfs::Rootfs,
    settings::Settings,
    step_start::StepStart,
};

/// When a commit happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// After the command of a RUN, in its layer. Later RUNs find what they would find without us.
    Step,
    /// After the last instruction, with the base image's root at hand where there is one.
    End,
    /// By hand: all at once, as its author asks for it, and nothing is known of before.
    ByHand,
}

/// What the domains of one commit work on. What a domain alone wants to know of before it is made with.
pub(crate) struct Work<'a> {
    pub(crate) rootfs: &'a Rootfs,
    pub(crate) place: &'a Place<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) phase: Phase,
    /// When the command began, after a RUN.
    pub(crate) start: Option<StepStart>,
    /// The base image, at the end of a build.
    pub(crate) base: Option<&'a Base>,
}

/// A part of a commit.
pub(crate) trait Domain {
    /// Whether nothing is done about it after a RUN: later ones may need what is there.
    fn waits_for_the_end(&self) -> bool {
        false
    }

    /// Puts right what cannot be planned upon: a link that a command took away, what a killed commit left half done.
    fn recover(&self, _work: &Work<'_>, _tell: Tell<'_>) -> Result<DomainOutcome> {
        Ok(DomainOutcome::default())
    }

    /// What shall be done about it in this phase.
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn Plan + 'a>>;
}

/// What shall be done.
pub(crate) trait Plan {
    /// What it would do.
    fn preview(self: Box<Self>) -> DomainOutcome;

    /// Does it.
    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome>;
}

impl Plan for outcome::FilePlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        (*self).preview()
    }

    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        (*self).apply(work.place, tell)
    }
}
