//! A committed step, as findings name it.

use osderive_lints::Finding;
use osderive_lints::model::ledger::Entry;
use osderive_proto::llb::{Digest, SourceLocation};

use crate::diagnostics::found::Found;
use crate::facts::location::first_line;

/// A committed step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) digest: Digest,
    pub(crate) location: Option<SourceLocation>,
    /// The accounts that it made, as its report says.
    pub(crate) accounts: Vec<Entry>,
    /// Bytes that it left for later steps and that go at the end of the build.
    pub(crate) left_bytes: u64,
}

impl Step {
    pub(crate) fn new(digest: Digest, location: Option<SourceLocation>) -> Self {
        Self {
            digest,
            location,
            accounts: Vec::new(),
            left_bytes: 0,
        }
    }

    /// Its first line in the Containerfile, from 1.
    pub(crate) fn line(&self) -> Option<i32> {
        first_line(self.location.as_ref()?)
    }

    /// A finding in this step.
    pub(crate) fn found(&self, finding: Finding) -> Found {
        Found {
            finding,
            digest: self.digest,
            location: self.location.clone(),
        }
    }
}
