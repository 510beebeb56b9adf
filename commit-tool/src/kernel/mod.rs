//! Kernels: what a package puts into /boot goes beside its modules, where ostree and bootc look for
//! it, with an initramfs that can boot a deployment. Observe, plan, apply; a step that touches
//! neither /boot nor a directory of /usr/lib/modules costs a list of the names there.

mod make;
mod observe;
mod plan;

use crate::{
    began::Began,
    error::Result,
    place::Place,
    rootfs::Rootfs,
    settled::{Settled, Tell},
};

pub(crate) use observe::Snapshot;
use plan::Plan;

/// What shall be done about the kernels that a step touched; without a state of before, about all.
fn plan(place: &Place<'_>, before: Option<(&Snapshot, Began)>) -> Result<Plan> {
    let before = before.map(|(before, began)| (before, began.checked()));
    if observe::is_as_before(place, before)? {
        return Ok(Plan::default());
    }
    let seen = observe::Seen::look(place, before)?;
    Ok(seen.as_ref().map(plan::plan).unwrap_or_default())
}

/// What would be done without knowing what was there before.
pub(crate) fn preview(place: &Place<'_>) -> Result<Settled> {
    Ok(plan(place, None)?.preview())
}

/// Makes the plan and applies it: what is moved first, so that depmod and dracut find it, then what
/// they make, then what that has replaced.
pub(crate) fn settle(
    rootfs: &Rootfs,
    before: Option<(&Snapshot, Began)>,
    tell: Tell<'_>,
) -> Result<Settled> {
    let place = Place::of(rootfs);
    let plan = plan(&place, before)?;
    let mut settled = plan.files.apply(&place, tell)?;
    let maker = make::Maker::new(rootfs, &place);
    for version in plan.depmod {
        settled.add(maker.depmod(&version, tell));
    }
    for wanted in plan.initramfs {
        settled.add(maker.initramfs(wanted, tell)?);
    }
    Ok(settled)
}

#[cfg(test)]
mod tests;
