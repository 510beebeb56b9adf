//! Directories whose mode or owner a step changed although a lower layer has them: the importer
//! keeps what the first layer says. In /etc, systemd-tmpfiles repairs it at boot; in /usr nobody can,
//! and the frontend, which can ask what the layers below have, is told where to look.
//!
//! It also gives what in /etc is of a package's account to that account by name: on a machine where
//! somebody has the id already, the account gets another one, and the file would be theirs.

mod observe;
mod plan;

use osderive_lints::rules::directory_metadata;

use crate::{
    domain::{self, Domain, Work},
    error::Result,
    outcome::FilePlan,
    snippets::{Folder, TMPFILES_D},
    tmpfiles_tool::can_set_lists,
};

pub(crate) use observe::{Owned, Snapshot, suspects};

/// The domain. After a step it is about what the step changed, at the end also about what COPY did; by hand only
/// about owners.
pub(crate) struct Metadata<'a> {
    /// What was before: before the command, or in the base image.
    pub(crate) before: Option<&'a Snapshot>,
    /// What in /etc belonged to accounts before any domain changed something there; none when nothing in /etc is new.
    pub(crate) owned: Option<&'a Owned>,
}

impl Domain for Metadata<'_> {
    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let place = work.place;
        let looked = match self.before {
            Some(before) => before.again(place, work.start)?,
            None => Snapshot::take(place)?.again(place, work.start)?,
        };
        let mut plan = FilePlan::default();
        if let Some(owned) = self.owned {
            let owned = owned.again(place)?;
            let own = Folder::read_own(work.rootfs, TMPFILES_D.directory)?;
            let listed = looked.lists(place, &own)?;
            let mut ours = own.own_lines().filter_map(observe::path_of_list);
            let has_lists = listed.values().any(|lists| !lists.is_empty()) || ours.next().is_some();
            if has_lists || looked.changed().next().is_some() || !owned.0.is_empty() {
                let accounts = observe::Accounts::read(place);
                let declared = observe::Declared::read(work.rootfs)?;
                let lines = plan::lines(&looked, &listed, &owned, &accounts, &declared);
                plan.actions.extend(lines);
            }
            if has_lists && !can_set_lists(work.rootfs) {
                let finding = directory_metadata::lists_lost(&looked.with_lists(&listed));
                plan.outcome.findings.extend(finding);
            }
        }
        Ok(Box::new(plan))
    }
}

#[cfg(test)]
mod tests;
