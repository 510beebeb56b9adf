//! Kernels: what a package puts into /boot goes beside its modules, where ostree and bootc look for
//! it, with an initramfs that can boot a deployment. Later RUNs may look for it in /boot, so this
//! waits for the end. Observe, plan, apply.

mod akmods;
mod make;
mod observe;
mod plan;

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    outcome::{DomainOutcome, Tell},
};

pub(crate) use akmods::failed;
use plan::KernelPlan;

/// The domain.
pub(crate) struct Kernels;

impl Domain for Kernels {
    fn waits_for_the_end(&self) -> bool {
        true
    }

    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let seen = observe::Seen::look(work.place, work.base)?;
        let plan: KernelPlan = seen.as_ref().map(plan::plan).unwrap_or_default();
        Ok(Box::new(plan))
    }
}

impl domain::Plan for KernelPlan {
    fn preview(self: Box<Self>) -> DomainOutcome {
        KernelPlan::preview(*self)
    }

    /// What is moved comes first, so that depmod and dracut find it, then what they make, then what
    /// that has replaced.
    fn apply(self: Box<Self>, work: &Work<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = self.files.apply(work.place, tell)?;
        let maker = make::Maker::new(work.rootfs, work.place);
        for version in self.depmod {
            outcome.add(maker.depmod(&version, tell));
        }
        for wanted in self.initramfs {
            outcome.add(maker.initramfs(wanted, tell)?);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests;
