//! What a bootable image must be: the image model, findings, the rules that make them, and the step report
//! that carries them from the commit tool to the frontend. This crate never prints, never exits
//! and knows nothing of BuildKit.

mod escape;
mod finding;
pub mod model;
mod report;
pub mod rules;

pub use escape::{MAX_PATH_BYTES, escape_path};
pub use finding::{Finding, Severity};
pub use report::{
    Change, ChangedFile, EntryKind, KeptEntry, MAX_LISTED_ENTRIES, MAX_REPORT_BYTES, Outcome,
    REPORT_FILE, REPORT_VERSION, RemovedEntry, ReportError, StepReport,
};
