//! One thing that is wrong with an image: which rule says so, where, and what to do about it.

use serde::{Deserialize, Serialize};

/// How much a finding matters to the image's next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; the image boots as its author expects.
    Info,
    /// Something of the step may be missing or different after boot.
    Warning,
    /// The image would not boot, or a service would not start.
    Error,
}

/// A finding of one rule about one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's stable kebab-case name.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, in one line without a closing full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// Absolute paths in the image that the finding is about, bytes outside UTF-8 as `\xNN`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}
