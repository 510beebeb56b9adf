//! What a bootable image must be: the image model, findings, the rules that make them, and the
//! step report that carries them from the commit tool to the frontend. This crate never prints,
//! never exits and knows nothing of BuildKit.

pub mod baseline;
pub mod budget;
mod build_argument;
mod check;
mod config;
mod escape;
pub mod evidence;
mod finding;
pub mod history;
mod image;
mod input;
pub mod knowledge;
mod lint;
mod lost_access;
pub mod machine;
pub mod model;
mod oci;
pub mod oci_runtime;
pub mod output;
pub mod packages;
pub mod policy;
pub mod predict;
mod report;
mod request;
pub mod rules;
mod top_level;
pub mod tree;
pub mod unbuilt;
pub mod units;
mod var_state;

pub use build_argument::{BUILD_ARGUMENT, BuildArgument, BuildArgumentError};
pub use check::{
    BASE_CHECK_FILE, CHECK_FILE, CHECK_VERSION, CheckReport, MAX_CHECKED_PATHS, STEPS_FILE,
    StepRecord, StepReports,
};
pub use config::{Container, History, ImageConfig, Layers};
pub use escape::{
    MAX_PATH_BYTES, escape_finding, escape_lines, escape_path, escape_text, unescape_path,
};
pub use finding::{Certainty, Finding, Origin, Severity};
pub use image::{File, Image, MAX_FILE_BYTES};
pub use input::{Input, InputError, Opened};
pub use lint::{Outcome as LintOutcome, Selection, lint};
pub use oci::ImageError;
pub use report::{
    Change, ChangedFile, Directory, EntryKind, KeptEntry, MAX_LISTED_ENTRIES, MAX_REPORT_BYTES,
    Outcome, PLAN_VERSION, PlanReport, Planned, PlannedAction, REPORT_FILE, REPORT_VERSION,
    RemovedEntry, ReportError, StepReport,
};
pub use request::{
    BASE_MOUNT, EndRequest, Ordinary, PathSettings, REPORT_MOUNT, StepRequest, StepUser, TOOL,
    TOOL_MOUNT,
};
