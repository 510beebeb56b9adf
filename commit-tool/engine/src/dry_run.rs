//! What a commit would do.

use osderive_lints::{PLAN_VERSION, PlanReport, Planned, PlannedAction};

use crate::settled::Settled;

/// The report of what the domains would do.
pub(crate) fn report(settled: Settled) -> PlanReport {
    let changed = settled.changed.into_iter().map(|file| PlannedAction {
        path: file.path,
        action: file.change.into(),
        from: file.from,
        reason: file.reason,
    });
    let kept = settled.kept.into_iter().map(|kept| PlannedAction {
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
        findings: settled.findings,
    }
}
