//! A commit: what was there before, the domains one after the other, and the account of it.
//! Killed anywhere and run again it ends in the same place, since each run starts by looking.

use osderive_lints::{
    ChangedFile, Finding, KeptEntry, MAX_LISTED_ENTRIES, Outcome, PlanReport, REPORT_VERSION,
    StepReport, model::ledger::Ledger, packages::Moment,
};

use crate::{
    accounts::{self, Accounts, Altfiles},
    base::Base,
    domain::{Domain, Phase, Plan, Work},
    dry_run,
    error::{Error, Result},
    identity::Identity,
    kernel::{self, Kernels},
    links::Links,
    lock::Lock,
    metadata::{self, Metadata},
    opt::{self, Opt},
    outcome::{DomainOutcome, Tell},
    packages,
    place::Place,
    rootfs::Rootfs,
    scratch::{self, Scratch},
    settings::Settings,
    sqlite::Databases,
    step_start::StepStart,
    unread::require_all_read,
    var::{Prelude, PreludeState, Var},
};

/// The domains of a commit, in the order in which they are settled: what moves is declared by those
/// after it, and programs of the image run before what they leave in /tmp goes. Whoever names accounts reads them in /etc.
const DOMAINS: [Maker; 10] = [
    |_| Box::new(Links),
    |_| Box::new(Databases),
    |known| known.accounts(),
    |known| known.opt(),
    |known| known.var(),
    |_| Box::new(Identity),
    |_| Box::new(Kernels),
    |known| known.metadata(),
    |_| Box::new(Scratch),
    |known| known.altfiles(),
];

/// Makes a domain with what it wants to know.
type Maker = for<'a> fn(&Known<'a>) -> Box<dyn Domain + 'a>;

/// What is known of before.
pub(crate) struct Known<'a> {
    before: Option<&'a Snapshot>,
    /// What is left in /var of what was made or was there before.
    prelude_state: Option<&'a PreludeState<'a>>,
    /// What in /etc belonged to accounts before any domain changed something there; none when nothing in /etc is new.
    owned: Option<&'a metadata::Owned>,
}

impl<'a> Known<'a> {
    pub(crate) fn accounts(&self) -> Box<dyn Domain + 'a> {
        Box::new(Accounts {
            before: self.before.map(|before| &before.accounts),
            is_untouched: self.before.is_some() && self.owned.is_none(),
        })
    }

    pub(crate) fn altfiles(&self) -> Box<dyn Domain + 'a> {
        Box::new(Altfiles {
            before: self.before.map(|before| &before.accounts),
        })
    }

    pub(crate) fn metadata(&self) -> Box<dyn Domain + 'a> {
        Box::new(Metadata {
            before: self.before.map(|before| &before.metadata),
            owned: self.owned,
        })
    }

    pub(crate) fn opt(&self) -> Box<dyn Domain + 'a> {
        let prelude = self.before.and_then(Snapshot::prelude);
        Box::new(Opt {
            before: self.before.map(|before| &before.opt),
            lower: prelude.map(Prelude::lower),
        })
    }

    pub(crate) fn var(&self) -> Box<dyn Domain + 'a> {
        Box::new(Var {
            prelude_state: self.prelude_state,
            packages: self.before.and_then(|before| before.packages),
        })
    }
}

/// What a commit did.
#[derive(Debug)]
pub struct Committed {
    /// What it did, for the build frontend.
    pub report: StepReport,
    /// The directories, relative to the root, that were emptied of something.
    pub areas: Vec<&'static str>,
    /// What was kept, in a line for each domain that had something to do.
    pub summaries: Vec<String>,
}

/// Hears of each thing done with the reason.
pub type Listener<'a> = &'a mut dyn FnMut(&str, &str);

/// What was there before, so that the commit knows what is new.
pub struct Snapshot {
    origin: Origin,
    /// None where /var is no plain directory.
    prelude: Option<Prelude>,
    pub(crate) accounts: accounts::Snapshot,
    pub(crate) metadata: metadata::Snapshot,
    pub(crate) opt: opt::Snapshot,
    /// What the package databases had; none where nobody asks.
    pub(crate) packages: Option<Moment>,
}

/// What [`Snapshot`] is about.
enum Origin {
    /// The moment at which the command of a RUN began.
    Step {
        /// From when on files are the step's.
        start: StepStart,
        ids: Option<Ledger>,
    },
    /// The base image.
    Base(Base),
}

impl Snapshot {
    /// Makes /var as boot would and as the last command left it, and takes down the rest.
    pub fn of_step(rootfs: &Rootfs, ids: Option<Ledger>) -> Result<Self> {
        let _alone = Lock::take(rootfs)?;
        let start = StepStart::now(rootfs)?;
        prepare(rootfs)?;
        let before = Self {
            origin: Origin::Step { start, ids },
            prelude: Prelude::make(rootfs)?,
            metadata: metadata::Snapshot::take(&Place::of(rootfs))?,
            accounts: accounts::Snapshot::take(rootfs)?,
            opt: opt::Snapshot::take(rootfs)?,
            packages: packages::now(rootfs),
        };
        require_all_read()?;
        Ok(before)
    }

    /// Makes /var in the same way; what was before is what the base image has.
    pub fn of_base(rootfs: &Rootfs, base: Base) -> Result<Self> {
        prepare(rootfs)?;
        let place = Place::of(rootfs);
        Ok(Self {
            prelude: Prelude::make(rootfs)?
                .map(|prelude| prelude.upon(&place, &base))
                .transpose()?,
            metadata: metadata::Snapshot::take(&base.place())?,
            accounts: accounts::Snapshot::take(base.rootfs())?,
            opt: opt::Snapshot::of_base(&base, &place)?,
            packages: None,
            origin: Origin::Base(base),
        })
    }

    /// What layers below have in /var; none where it is no plain directory.
    pub(crate) fn prelude(&self) -> Option<&Prelude> {
        self.prelude.as_ref()
    }

    /// When the step began.
    pub(crate) fn start(&self) -> Option<StepStart> {
        match &self.origin {
            Origin::Step { start, .. } => Some(*start),
            Origin::Base(_) => None,
        }
    }

    fn base(&self) -> Option<&Base> {
        match &self.origin {
            Origin::Step { .. } => None,
            Origin::Base(base) => Some(base),
        }
    }

    fn phase(&self) -> Phase {
        match &self.origin {
            Origin::Step { .. } => Phase::Step,
            Origin::Base(_) => Phase::End,
        }
    }

    fn keep_ids(&self, rootfs: &Rootfs, tell: Tell<'_>) -> Result<DomainOutcome> {
        match &self.origin {
            Origin::Step {
                start,
                ids: Some(ledger),
            } => accounts::keep_ids(rootfs, ledger, &self.accounts, *start, tell),
            _ => Ok(DomainOutcome::default()),
        }
    }
}

/// What a command finds in /var and /opt, besides what it would find there anyway.
pub(crate) fn prepare(rootfs: &Rootfs) -> Result<()> {
    opt::fold(rootfs)
}

/// Commits a root file system: after a step's command, at the end of a build, or by hand.
pub fn commit(
    rootfs: &Rootfs,
    before: Option<&Snapshot>,
    settings: &Settings,
    mut listener: Option<Listener<'_>>,
) -> Result<Committed> {
    let mut tell = |file: &ChangedFile| {
        if let Some(hear) = &mut listener {
            hear(&file.done(), &file.reason);
        }
    };
    let changes = rootfs.changes();
    let mut work = || {
        let outcome = settle(&DOMAINS, rootfs, before, settings, &mut tell)?;
        let mut committed = committed(outcome);
        if let Some(start) = before.and_then(Snapshot::start) {
            committed.report.directories = metadata::suspects(&Place::of(rootfs), start)?;
            committed.report.linked = opt::linked_directories(rootfs)?;
            committed.report.left_bytes += scratch::left_by(rootfs, start)?;
            committed
                .report
                .findings
                .extend(kernel::failed(rootfs, start));
        }
        Ok(committed)
    };
    let _alone = Lock::take(rootfs)?;
    work().map_err(|source| Error::Commit {
        source: Box::new(source),
        is_begun: rootfs.changes() != changes,
    })
}

/// Settles domains, one after the other, in a /var without what boot makes again.
pub(crate) fn settle(
    domains: &[Maker],
    rootfs: &Rootfs,
    before: Option<&Snapshot>,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<DomainOutcome> {
    let place = Place::of(rootfs);
    let prelude = before.and_then(Snapshot::prelude);
    let ids = before.map(|before| before.keep_ids(rootfs, tell));
    let mut outcome = ids.transpose()?.unwrap_or_default();
    let prelude_state = prelude.map(|prelude| prelude.take_away(rootfs));
    let prelude_state = prelude_state.transpose()?;
    let owned = metadata::Owned::take(&place, before.and_then(Snapshot::start))?;
    let work = Work {
        rootfs,
        place: &place,
        settings,
        phase: before.map_or(Phase::ByHand, Snapshot::phase),
        start: before.and_then(Snapshot::start),
        base: before.and_then(Snapshot::base),
    };
    let known = Known {
        before,
        prelude_state: prelude_state.as_ref(),
        owned: owned.as_ref(),
    };
    outcome.add(each(domains, &known, &work, Some(tell))?);
    if let (Some(prelude), Some(prelude_state)) = (prelude, &prelude_state) {
        prelude.finish(rootfs, prelude_state)?;
    }
    Ok(outcome)
}

/// Makes /var as boot would and commits nothing: for a stage beside the image that goes on from a committed step.
///
/// # Errors
/// When something cannot be made.
pub fn make_var(rootfs: &Rootfs) -> Result<()> {
    prepare(rootfs)?;
    Prelude::make(rootfs)?;
    Ok(())
}

/// What a commit by hand would do.
///
/// # Errors
/// When the root file system cannot be looked at.
pub fn preview(rootfs: &Rootfs, settings: &Settings) -> Result<PlanReport> {
    let place = Place::of(rootfs);
    let owned = metadata::Owned::take(&place, None)?;
    let work = Work {
        rootfs,
        place: &place,
        settings,
        phase: Phase::ByHand,
        start: None,
        base: None,
    };
    let known = Known {
        before: None,
        prelude_state: None,
        owned: owned.as_ref(),
    };
    let outcome = each(&DOMAINS, &known, &work, None)?;
    Ok(dry_run::report(outcome))
}

/// Plans and applies the domains; without a listener it only tells what they would do.
fn each(
    domains: &[Maker],
    known: &Known<'_>,
    work: &Work<'_>,
    mut tell: Option<Tell<'_>>,
) -> Result<DomainOutcome> {
    let mut outcome = DomainOutcome::default();
    let is_due = |domain: &dyn Domain| work.phase != Phase::Step || !domain.waits_for_the_end();
    for make in domains {
        let domain = &*make(known);
        if !is_due(domain) {
            continue;
        }
        match &mut tell {
            Some(tell) => {
                outcome.add(domain.recover(work, tell)?);
                outcome.add(planned(domain, work)?.apply(work, tell)?);
            }
            None => outcome.add(planned(domain, work)?.preview()),
        }
    }
    require_all_read()?;
    Ok(outcome)
}

/// A plan that is built upon what is there, all of which could be read.
fn planned<'a>(domain: &dyn Domain, work: &Work<'a>) -> Result<Box<dyn Plan + 'a>> {
    let plan = domain.plan(work)?;
    require_all_read()?;
    Ok(plan)
}

fn committed(outcome: DomainOutcome) -> Committed {
    let is_changed = outcome.is_changed();
    let mut kept: Vec<KeptEntry> = outcome.kept;
    kept.truncate(MAX_LISTED_ENTRIES);
    Committed {
        report: StepReport {
            is_changed,
            removed_entries: outcome.removed.entries,
            removed_bytes: outcome.removed.bytes,
            removed: outcome.removed.listed,
            left_bytes: outcome.left_bytes,
            changed: outcome.changed,
            kept,
            accounts: outcome.accounts,
            findings: outcome.findings,
            ..empty_report(Outcome::Committed)
        },
        areas: outcome.removed.areas.into_iter().collect(),
        summaries: outcome.summaries,
    }
}

/// A report that tells of nothing but the outcome.
pub fn empty_report(outcome: Outcome) -> StepReport {
    StepReport {
        version: REPORT_VERSION,
        outcome,
        is_changed: false,
        removed_entries: 0,
        removed_bytes: 0,
        removed: Vec::new(),
        left_bytes: 0,
        changed: Vec::new(),
        kept: Vec::new(),
        accounts: Vec::new(),
        directories: Vec::new(),
        linked: Vec::new(),
        findings: Vec::<Finding>::new(),
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
