//! What a commit would do.

use osderive_lints::{PLAN_VERSION, PlanReport, Planned, PlannedAction};

use crate::outcome::DomainOutcome;

/// The report of what the domains would do.
pub(crate) fn report(outcome: DomainOutcome) -> PlanReport {
    let changed = outcome.changed.into_iter().map(|file| PlannedAction {
        path: file.path,
        action: file.change.into(),
        from: file.from,
        reason: file.reason,
    });
    let kept = outcome.kept.into_iter().map(|kept| PlannedAction {
        path: kept.path,
        action: Planned::Keep,
        from: None,
        reason: kept.reason,
    });
    let mut actions: Vec<PlannedAction> = changed.chain(kept).collect();
    actions.sort();
    PlanReport {
        version: PLAN_VERSION,
        actions,
        findings: outcome.findings,
    }
}
