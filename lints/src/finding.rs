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

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Info];

    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The severity with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|severity| severity.name() == name)
    }
}

/// How sure a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// systemd itself refuses to start the unit.
    Certain,
    /// The program of the unit misses what nearly all do not run without.
    Likely,
    /// It misses what its package has made for it, and may do without.
    Possible,
}

/// A finding of one rule about one step or one image.
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
    /// What brought it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// How sure it is, where it says what will be; none where it says what is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Certainty>,
    /// What else brought a part of what it is about, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Origin>,
}

/// What brought a finding into an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// Whether the base image has it already: then it is nothing that a derived build is to blame for.
    pub base: bool,
    /// The instruction, as the image's history or the Containerfile has it; empty if not known.
    pub instruction: String,
    /// The Containerfile's lines from and to, counted from 1; none if not known.
    pub lines: Option<(u32, u32)>,
    /// The layer's hash; empty if not known.
    pub layer: String,
}

impl Origin {
    /// In one line, by what of it is known; empty if nothing is.
    pub fn name(&self) -> String {
        let line = self.lines.map(|(first, _)| format!("line {first}"));
        let parts = [line.as_deref().unwrap_or_default(), &self.instruction];
        let known: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        if known.is_empty() {
            return self.layer.clone();
        }
        known.join(": ")
    }
}

impl Finding {
    /// What else brought it, each in one line.
    pub fn also(&self) -> impl Iterator<Item = String> {
        let related = self.related.iter().map(Origin::name);
        related.filter(|name| !name.is_empty())
    }
}
