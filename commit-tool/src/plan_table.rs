//! What a commit would do, for people.

use std::fmt;

use osderive_lints::{PlanReport, PlannedAction};

/// The widest column of paths, in characters.
const MAX_COLUMN: usize = 60;

/// A plan as a table of action, path and reason.
pub(crate) struct PlanTable<'a>(pub(crate) &'a PlanReport);

impl fmt::Display for PlanTable<'_> {
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
