//! Directories whose mode or owner a step changed although a lower layer has them: the importer
//! keeps what the first layer says. In /etc, systemd-tmpfiles repairs it at boot; in /usr nobody can,
//! and the frontend, which can ask what the layers below have, is told where to look.
//!
//! It also gives what in /etc is of a package's account to that account by name: on a machine where
//! somebody has the id already, the account gets another one, and the file would be theirs.

mod observe;
mod plan;

use crate::{began::Began, error::Result, place::Place, rootfs::Rootfs, settled::Plan};

pub(crate) use observe::{Owned, Snapshot, suspects};

/// What shall be done about what a step changed; without a state of before, only about owners. `owned` is what was
/// owned when the command had ended; none when the step changed nothing in /etc.
pub(crate) fn plan(
    rootfs: &Rootfs,
    place: &Place<'_>,
    before: Option<(&Snapshot, Began)>,
    owned: Option<&Owned>,
) -> Result<Plan> {
    let (before, began) = match before {
        Some((before, began)) => (before, Some(began)),
        None => (&Snapshot::take(place)?, None),
    };
    let (before, after) = before.again(place, began)?;
    let mut plan = Plan::default();
    if let Some(owned) = owned {
        let owned = owned.again(place)?;
        if before != after || !owned.0.is_empty() {
            let accounts = observe::Accounts::read(place);
            let declared = observe::Declared::read(rootfs)?;
            let lines = plan::lines(&before, &after, &owned, &accounts, &declared);
            plan.actions.extend(lines);
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests;
