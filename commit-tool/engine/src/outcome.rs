//! What one domain of a commit did, or would do.

use std::{collections::BTreeSet, path::PathBuf};

use osderive_lints::{ChangedFile, Finding, KeptEntry, RemovedEntry, model::ledger::Entry};

use crate::{
    error::Result,
    files::{self, FileAction},
    place::Place,
};

/// Hears of each thing done.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(&ChangedFile);

/// What went from directories that are emptied.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// The first of them.
    pub(crate) listed: Vec<RemovedEntry>,
    /// The directories that they went from, relative to the root.
    pub(crate) areas: BTreeSet<&'static str>,
}

/// What was done about a domain.
#[derive(Debug, Default)]
pub(crate) struct DomainOutcome {
    pub(crate) removed: Removed,
    /// In the order in which it was done.
    pub(crate) changed: Vec<ChangedFile>,
    /// The bytes of files that later RUNs may need and that go at the end of the build.
    pub(crate) left_bytes: u64,
    /// Whether something was done that nobody needs to hear of.
    pub(crate) is_quietly_changed: bool,
    pub(crate) kept: Vec<KeptEntry>,
    pub(crate) findings: Vec<Finding>,
    /// Accounts that the step made or gave another id.
    pub(crate) accounts: Vec<Entry>,
    /// What was kept, in one line for each domain that has many files to tell of.
    pub(crate) summaries: Vec<String>,
}

impl DomainOutcome {
    /// Applies actions on files; those that cannot be reached are kept as they are.
    pub(crate) fn apply(
        &mut self,
        place: &Place<'_>,
        actions: &[FileAction],
        tell: Tell<'_>,
    ) -> Result<()> {
        let undone = files::apply(place, actions)?;
        for action in actions {
            let changed = action.as_changed_file();
            if undone.contains(&action) {
                self.kept.push(KeptEntry {
                    path: changed.path,
                    reason: "behind a mount or a link".to_owned(),
                });
            } else {
                tell(&changed);
                self.changed.push(changed);
            }
        }
        Ok(())
    }

    /// Adds what was done about another domain.
    pub(crate) fn add(&mut self, other: Self) {
        self.removed.entries += other.removed.entries;
        self.removed.bytes += other.removed.bytes;
        self.removed.listed.extend(other.removed.listed);
        self.removed.areas.extend(other.removed.areas);
        self.changed.extend(other.changed);
        self.is_quietly_changed |= other.is_quietly_changed;
        self.left_bytes += other.left_bytes;
        self.kept.extend(other.kept);
        self.findings.extend(other.findings);
        self.accounts.extend(other.accounts);
        self.summaries.extend(other.summaries);
    }

    /// Whether anything was done.
    pub(crate) fn is_changed(&self) -> bool {
        self.removed.entries > 0 || !self.changed.is_empty() || self.is_quietly_changed
    }

    /// What the actions would do.
    pub(crate) fn preview(mut self, actions: &[FileAction]) -> Self {
        self.changed
            .extend(actions.iter().map(FileAction::as_changed_file));
        self
    }
}

/// What shall be done about a domain, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct FilePlan {
    /// In the order in which they are applied.
    pub(crate) actions: Vec<FileAction>,
    /// What is left alone, and what was found.
    pub(crate) outcome: DomainOutcome,
}

impl FilePlan {
    pub(crate) fn write(&mut self, path: impl Into<PathBuf>, content: Vec<u8>, reason: &str) {
        self.actions.push(FileAction::Write {
            path: path.into(),
            content,
            reason: reason.to_owned(),
        });
    }

    pub(crate) fn link(&mut self, path: impl Into<PathBuf>, target: String, reason: &str) {
        self.actions.push(FileAction::Link {
            path: path.into(),
            target,
            reason: reason.to_owned(),
        });
    }

    pub(crate) fn rename(&mut self, from: PathBuf, path: PathBuf, reason: &str) {
        self.actions.push(FileAction::Move {
            from,
            path,
            reason: reason.to_owned(),
        });
    }

    pub(crate) fn remove(&mut self, path: impl Into<PathBuf>, reason: &str) {
        self.actions.push(FileAction::Remove {
            path: path.into(),
            reason: reason.to_owned(),
        });
    }

    /// Does it.
    pub(crate) fn apply(self, place: &Place<'_>, tell: Tell<'_>) -> Result<DomainOutcome> {
        let mut outcome = self.outcome;
        outcome.apply(place, &self.actions, tell)?;
        Ok(outcome)
    }

    /// What it would do.
    pub(crate) fn preview(self) -> DomainOutcome {
        self.outcome.preview(&self.actions)
    }
}
