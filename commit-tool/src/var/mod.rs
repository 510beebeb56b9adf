//! /var starts empty on a machine and belongs to it afterwards: before a step's command it is made
//! as boot makes it, and after it what the command did not change of that is taken away. What it
//! added is declared: directories and links as lines of tmpfiles.d, files in /usr/share/factory.

use std::{ffi::OsString, path::Path};

use osderive_lints::MAX_LISTED_ENTRIES;

use crate::{
    error::Result,
    place::Place,
    rootfs::Rootfs,
    settings::Settings,
    settled::{Settled, Tell},
};

mod apply;
mod boot;
mod known;
mod observe;
mod plan;
mod prelude;
pub(crate) use boot::pattern_of;
use plan::Plan;
pub(crate) use prelude::{Left, Prelude};

const VAR: &str = "var";

/// Whether /var is a plain directory.
fn is_open(place: &Place<'_>) -> bool {
    place
        .meta(Path::new(VAR))
        .is_ok_and(|found| found.is_some_and(|meta| meta.is_open_directory()))
}

fn plan(
    place: &Place<'_>,
    rootfs: &Rootfs,
    left: Option<&Left<'_>>,
    settings: &Settings,
) -> Result<Plan> {
    if !is_open(place) {
        return Ok(Plan::default());
    }
    let seen = observe::observe(place, rootfs, left, settings.package_lists)?;
    let plan = |seen| plan::plan(seen, settings);
    Ok(seen.as_ref().map(plan).unwrap_or_default())
}

/// What would be done about all that is below /var.
pub(crate) fn preview(rootfs: &Rootfs, settings: &Settings) -> Result<Settled> {
    let Plan {
        actions, findings, ..
    } = plan(&Place::of(rootfs), rootfs, None, settings)?;
    Ok(Settled {
        changed: actions.iter().map(plan::Action::as_changed_file).collect(),
        findings,
        ..Settled::default()
    })
}

/// Declares what a step's command left below /var and takes it away there; without a state of
/// before, all that is there.
pub(crate) fn settle(
    rootfs: &Rootfs,
    left: Option<&Left<'_>>,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Settled> {
    let place = Place::of(rootfs);
    let plan = plan(&place, rootfs, left, settings)?;
    let mut settled = Settled {
        summaries: plan.summaries(),
        ..Settled::default()
    };
    apply::apply(&place, &plan.actions, &mut settled, tell)?;
    settled.changed.truncate(MAX_LISTED_ENTRIES);
    settled.findings = plan.findings;
    Ok(settled)
}

/// Whether apt has its directory for package lists, and nothing to install from in it.
pub(crate) fn lacks_package_lists(rootfs: &Rootfs) -> bool {
    let names = Place::of(rootfs).names(Path::new(known::APT_LISTS));
    let is_list = |name: &OsString| name.to_string_lossy().contains("_Packages");
    names.is_some_and(|names| !names.iter().any(is_list))
}

#[cfg(test)]
mod tests;
