//! What each machine has for itself: ids, host keys, seeds. A step's are taken out of the image in
//! a way that the first boot makes them anew; secrets that a step put there are told, never removed.

mod observe;
mod plan;

use crate::{began::Began, error::Result, place::Place, settled::Plan};

pub(crate) use observe::Snapshot;

/// What shall be done about what a step made; without a state of before, about all there is.
pub(crate) fn plan(place: &Place<'_>, before: Option<(&Snapshot, Began)>) -> Result<Plan> {
    let seen = observe::Seen::look(place, before)?;
    Ok(seen.as_ref().map(plan::plan).unwrap_or_default())
}

#[cfg(test)]
mod tests;
