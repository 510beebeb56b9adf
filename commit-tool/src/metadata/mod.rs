//! Directories whose mode or owner a step changed although a lower layer has them: the importer
//! keeps what the first layer says. In /etc, systemd-tmpfiles repairs it at boot; in /usr nobody can,
//! and the frontend, which can ask what the layers below have, is told where to look.
//!
//! It also gives what in /etc is of a package's account to that account by name: on a machine where
//! somebody has the id already, the account gets another one, and the file would be theirs.

mod observe;
mod plan;

use crate::{
    commit::Before,
    domain::{self, Domain, Work},
    error::Result,
    settled::Plan,
};

pub(crate) use observe::{Owned, Snapshot, suspects};

/// The domain. After a step it is about what the step changed, at the end also about what COPY did; by hand only
/// about owners.
pub(crate) struct Metadata;

impl Domain for Metadata {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let place = work.place;
        let began = work.before.and_then(Before::began);
        let (before, after) = match work.before {
            Some(before) => before.metadata.again(place, began)?,
            None => Snapshot::take(place)?.again(place, began)?,
        };
        let mut plan = Plan::default();
        if let Some(owned) = work.owned {
            let owned = owned.again(place)?;
            if before != after || !owned.0.is_empty() {
                let accounts = observe::Accounts::read(place);
                let declared = observe::Declared::read(work.rootfs)?;
                let lines = plan::lines(&before, &after, &owned, &accounts, &declared);
                plan.actions.extend(lines);
            }
        }
        Ok(Box::new(plan))
    }
}

#[cfg(test)]
mod tests;
