//! The report of one committed step: versioned JSON, written by the commit tool inside the exec
//! and read back by the frontend, which has no other view of what happened there.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Finding, model::ledger::Entry};

/// The version of the report's schema that this crate writes and reads.
pub const REPORT_VERSION: u32 = 1;

/// The report's file name in the step's report mount.
pub const REPORT_FILE: &str = "report.json";

/// Entries listed by path in [`StepReport::removed`] and [`StepReport::kept`] at the most; the
/// totals count all.
pub const MAX_LISTED_ENTRIES: usize = 500;

/// The size in bytes above which a report is refused unread: a step's command runs as root
/// beside the report mount and may write anything there.
pub const MAX_REPORT_BYTES: usize = 4 << 20;

/// What the tool did after the step's command had succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The rootfs is a bootable image's and the commit was applied.
    Committed,
    /// The rootfs shows no sign of a bootable image; nothing was changed.
    NotBootable,
}

/// What kind of directory entry was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A socket, FIFO or device node.
    Special,
}

/// A directory entry that the commit took away; a directory stands for its whole tree only when
/// each entry below it is listed or counted too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedEntry {
    /// Absolute path in the image, bytes outside UTF-8 as `\xNN`.
    pub path: String,
    /// What it was.
    pub kind: EntryKind,
    /// Size in bytes of a regular file, 0 of anything else.
    pub bytes: u64,
}

/// A path that the commit left alone on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEntry {
    /// Absolute path in the image, bytes outside UTF-8 as `\xNN`.
    pub path: String,
    /// Why it was left, in a few words ("mount point").
    pub reason: String,
}

/// A file that the commit wrote or took away in order to keep what the step made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    /// What was done with it.
    pub change: Change,
    /// Absolute path in the image, bytes outside UTF-8 as `\xNN`.
    pub path: String,
    /// Where a moved file or directory was before, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why.
    pub reason: String,
}

/// What was done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It was written, new or anew.
    Wrote,
    /// It was taken away.
    Removed,
    /// It was moved here, with all that is below it.
    Moved,
}

impl ChangedFile {
    /// What was done, for people: `moved /opt/x to /usr/lib/opt/x`.
    pub fn done(&self) -> String {
        match (self.change, &self.from) {
            (Change::Wrote, _) => format!("wrote {}", self.path),
            (Change::Removed, _) => format!("removed {}", self.path),
            (Change::Moved, None) => format!("moved {}", self.path),
            (Change::Moved, Some(from)) => format!("moved {from} to {}", self.path),
        }
    }
}

/// A directory with its mode and owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Absolute path in the image, bytes outside UTF-8 as `\xNN`.
    pub path: String,
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

/// What one step's commit did and found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// The schema's version, [`REPORT_VERSION`].
    pub version: u32,
    /// What the commit did at all.
    pub outcome: Outcome,
    /// Whether the commit changed anything in the rootfs.
    #[serde(default)]
    pub is_changed: bool,
    /// How many entries were removed.
    pub removed_entries: u64,
    /// The sum in bytes of the regular files that were removed.
    pub removed_bytes: u64,
    /// The first [`MAX_LISTED_ENTRIES`] removed entries, in path order.
    #[serde(default)]
    pub removed: Vec<RemovedEntry>,
    /// The sum in bytes of the regular files that the step left for later ones: in /run, /tmp, /var/tmp and
    /// /var/cache, logs and package lists. They go at the end of the build, and their bytes stay in the step's layer.
    #[serde(default)]
    pub left_bytes: u64,
    /// The files that were changed to keep what the step made, in the order of the changes.
    #[serde(default)]
    pub changed: Vec<ChangedFile>,
    /// What was left alone, at most [`MAX_LISTED_ENTRIES`], in path order.
    #[serde(default)]
    pub kept: Vec<KeptEntry>,
    /// The accounts that the step made or gave another id, at most [`MAX_LISTED_ENTRIES`].
    #[serde(default)]
    pub accounts: Vec<Entry>,
    /// Directories of /usr that the step changed and a lower layer may have with another mode or owner, at most
    /// [`MAX_LISTED_ENTRIES`].
    #[serde(default)]
    pub directories: Vec<Directory>,
    /// Links in /opt and /usr/local to directories that this step or an earlier one brought, and their paths in /var, at
    /// most [`MAX_LISTED_ENTRIES`].
    #[serde(default)]
    pub linked: Vec<String>,
    /// What the commit could not settle.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// The version of [`PlanReport`]'s schema.
pub const PLAN_VERSION: u32 = 1;

/// What a commit would do: `commit --dry-run --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReport {
    /// The schema's version, [`PLAN_VERSION`].
    pub version: u32,
    /// In path order.
    pub actions: Vec<PlannedAction>,
    /// What the commit cannot settle.
    pub findings: Vec<Finding>,
}

/// One thing that a commit would do, or leave alone on purpose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlannedAction {
    /// Absolute path in the image, bytes outside UTF-8 as `\xNN`.
    pub path: String,
    /// What would be done there.
    pub action: Planned,
    /// Where a moved file or directory is now, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why.
    pub reason: String,
}

/// What would be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planned {
    /// It stays although it stands where things are removed.
    Keep,
    /// It is moved here.
    Move,
    /// It is taken away.
    Remove,
    /// It is written, new or anew.
    Write,
}

impl Planned {
    /// The name for people, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Move => "move",
            Self::Remove => "remove",
            Self::Write => "write",
        }
    }
}

impl From<Change> for Planned {
    fn from(change: Change) -> Self {
        match change {
            Change::Wrote => Self::Write,
            Change::Removed => Self::Remove,
            Change::Moved => Self::Move,
        }
    }
}

/// Why a report could not be read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// It is larger than [`MAX_REPORT_BYTES`].
    #[error("the report has {0} bytes, over the limit of {MAX_REPORT_BYTES}")]
    TooLarge(usize),
    /// It is no JSON, or JSON of another shape.
    #[error("the report is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It was written by a tool of another schema version.
    #[error("the report has schema version {0}, which this osderive does not read")]
    Version(u32),
}

impl StepReport {
    /// Reads a report from its JSON.
    ///
    /// # Errors
    /// When it is too large, malformed, or of another version; the version is looked at first,
    /// so that a newer report is named as such.
    pub fn from_json(json: &[u8]) -> Result<Self, ReportError> {
        read_version(json, REPORT_VERSION)
    }
}

/// Reads a document of one schema version.
pub(crate) fn read_version<T: DeserializeOwned>(
    json: &[u8],
    expected: u32,
) -> Result<T, ReportError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    if json.len() > MAX_REPORT_BYTES {
        return Err(ReportError::TooLarge(json.len()));
    }
    let Versioned { version } = serde_json::from_slice(json)?;
    if version != expected {
        return Err(ReportError::Version(version));
    }
    Ok(serde_json::from_slice(json)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> StepReport {
        StepReport {
            version: REPORT_VERSION,
            outcome: Outcome::Committed,
            is_changed: true,
            removed_entries: 0,
            removed_bytes: 0,
            removed: Vec::new(),
            left_bytes: 0,
            changed: Vec::new(),
            kept: Vec::new(),
            accounts: Vec::new(),
            directories: Vec::new(),
            linked: Vec::new(),
            findings: Vec::new(),
        }
    }

    #[test]
    fn a_report_survives_its_own_json() {
        let json = serde_json::to_vec(&empty()).expect("serialises");
        assert_eq!(StepReport::from_json(&json).expect("reads"), empty());
    }

    #[test]
    fn a_report_of_a_newer_version_is_named_as_such() {
        let error = StepReport::from_json(br#"{"version":2,"shape":"new"}"#).expect_err("newer");
        assert!(matches!(error, ReportError::Version(2)), "{error}");
    }

    #[test]
    fn garbage_and_oversize_are_refused() {
        assert!(matches!(
            StepReport::from_json(b"\xff\xfe"),
            Err(ReportError::Malformed(_))
        ));
        let large = vec![b' '; MAX_REPORT_BYTES + 1];
        assert!(matches!(
            StepReport::from_json(&large),
            Err(ReportError::TooLarge(_))
        ));
    }
}
