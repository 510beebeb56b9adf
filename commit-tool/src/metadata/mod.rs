//! Directories whose mode or owner a step changed although a lower layer has them: the importer
//! keeps what the first layer says. In /etc, systemd-tmpfiles repairs it at boot; in /usr nobody can.
//!
//! It also gives what in /etc is of a package's account to that account by name: on a machine where
//! somebody has the id already, the account gets another one, and the file would be theirs.

mod observe;
mod plan;

use crate::{error::Result, place::Place, rootfs::Rootfs, settled::Plan};

pub(crate) use observe::Snapshot;

/// What shall be done about what a step changed; without a state of before, only about owners.
pub(crate) fn plan(rootfs: &Rootfs, place: &Place<'_>, before: Option<&Snapshot>) -> Result<Plan> {
    let Some(before) = before else {
        return plan(rootfs, place, Some(&Snapshot::take(place)?));
    };
    let after = before.again(place)?;
    let accounts = observe::Accounts::read(place);
    let owned = observe::Owned::take(place, &accounts)?;
    if *before == after && owned.0.is_empty() {
        return Ok(Plan::default());
    }
    let declared = observe::Declared::read(rootfs)?;
    Ok(plan::plan(before, &after, &owned, &accounts, &declared))
}

#[cfg(test)]
mod tests;
