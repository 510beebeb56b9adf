//! What each machine has for itself: ids, host keys, seeds. A build's are taken out of the image in
//! a way that the first boot makes them anew; secrets that a build put there are told, never removed.
//! Later RUNs may need them (`sshd -t`), so nothing is done before the end.

mod observe;
mod plan;

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    outcome::FilePlan,
};

/// The domain.
pub(crate) struct Identity;

impl Domain for Identity {
    fn waits_for_the_end(&self) -> bool {
        true
    }

    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let seen = observe::Seen::look(work.place, work.base)?;
        let plan: FilePlan = seen.as_ref().map(plan::plan).unwrap_or_default();
        Ok(Box::new(plan))
    }
}

#[cfg(test)]
mod tests;
