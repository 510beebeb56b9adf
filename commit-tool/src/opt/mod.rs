//! /opt and /usr/local: where the image has them in /var, what a step puts there is lost on machines
//! that are upgraded. It moves to /usr/lib/opt and /usr/lib/usrlocal; links lead there, for later
//! steps in the layer and at boot by tmpfiles.d `L+`. What software writes at run time below them,
//! where /usr is read-only, moves the other way, to /var. Observe, plan, apply.

mod apply;
mod observe;
mod plan;

use crate::{
    error::Result,
    place::{Entries, Place},
    rootfs::Rootfs,
    settings::Settings,
    settled::{Settled, Tell},
};

pub(crate) use observe::Before;

/// A directory that software is installed into beside /usr. Paths are relative to the root.
#[derive(Debug, PartialEq, Eq)]
struct Area {
    /// As users know it.
    public: &'static str,
    /// Where its content is part of the image.
    image: &'static str,
    /// Where what is written at run time goes.
    state: &'static str,
    /// Directories in it that belong to nobody, so that only what is in them moves.
    shared: &'static [&'static str],
}

const AREAS: [Area; 2] = [
    Area {
        public: "opt",
        image: "usr/lib/opt",
        state: "var/lib/opt",
        shared: &[],
    },
    Area {
        public: "usr/local",
        image: "usr/lib/usrlocal",
        state: "var/lib/usrlocal",
        // Filesystem Hierarchy Standard 3.0, 4.9.2; libexec is in use without it.
        shared: &[
            "bin", "etc", "games", "include", "lib", "lib32", "lib64", "libexec", "man", "sbin",
            "share", "src",
        ],
    },
];

/// What a commit would do without knowing what a step did.
pub(crate) fn preview(rootfs: &Rootfs, settings: &Settings) -> Result<Settled> {
    let place = Place::of(rootfs);
    let Some(seen) = observe::observe(&place, rootfs, None)? else {
        return Ok(Settled::default());
    };
    let plan = plan::plan(&seen, settings);
    let mut settled = plan.settled;
    settled.changed.extend(
        plan.actions
            .iter()
            .filter_map(plan::Action::as_changed_file),
    );
    Ok(settled)
}

/// Moves what the step put into /opt and /usr/local; without `before`, which comes with what the
/// layers below have in /var, all that is there.
pub(crate) fn settle(
    rootfs: &Rootfs,
    before: Option<(&Before, &Entries)>,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Settled> {
    settle_in(&Place::of(rootfs), rootfs, before, settings, tell)
}

fn settle_in(
    place: &Place<'_>,
    rootfs: &Rootfs,
    before: Option<(&Before, &Entries)>,
    settings: &Settings,
    tell: Tell<'_>,
) -> Result<Settled> {
    let restored = if let Some((before, _)) = before {
        apply::restore(place, before)?
    } else {
        apply::finish_parts(place)?;
        Vec::new()
    };
    restored.iter().for_each(&mut *tell);
    let Some(seen) = observe::observe(place, rootfs, before)? else {
        return Ok(Settled {
            changed: restored,
            ..Settled::default()
        });
    };
    let plan = plan::plan(&seen, settings);
    let mut settled = plan.settled;
    settled.changed = restored;
    apply::apply(place, &plan.actions, &mut settled, tell)?;
    Ok(settled)
}

#[cfg(test)]
mod tests;
