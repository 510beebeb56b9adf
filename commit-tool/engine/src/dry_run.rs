//! What a commit would do, for people as a table and for machines as a document.

use std::fmt;

use osderive_lints::{PLAN_VERSION, PlanReport, Planned, PlannedAction};

use crate::settled::Settled;

/// The widest column of paths in a table, in characters.
const MAX_COLUMN: usize = 60;

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

/// A plan as a table of action, path and reason.
pub struct Table<'a>(pub &'a PlanReport);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.actions.iter();
        let rows: Vec<_> = rows.map(|row| (place_of(row), row)).collect();
        let widths = rows.iter().map(|(place, _)| place.chars().count());
        let width = widths.max().unwrap_or(0).min(MAX_COLUMN);
        for (place, PlannedAction { action, reason, .. }) in &rows {
            writeln!(out, "{:<8}{place:<width$}  {reason}", action.name())?;
        }
        Ok(())
    }
}

fn place_of(row: &PlannedAction) -> String {
    match &row.from {
        Some(from) => format!("{from} -> {}", row.path),
        None => row.path.clone(),
    }
}
