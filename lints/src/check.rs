//! The report of a look at a whole root in a build: versioned JSON, written by the tool inside of an
//! exec and read back by the frontend. It is no output for people: those are in `output/`.

use serde::{Deserialize, Serialize};

use crate::report::read_version;
use crate::{Finding, MAX_REPORT_BYTES, ReportError, StepReport};

/// The version of [`CheckReport`]'s schema.
pub const CHECK_VERSION: u32 = 1;

/// The report's file name in the directory that the tool is given.
pub const CHECK_FILE: &str = "lint.json";

/// The file name of [`StepReports`] beside it.
pub const STEPS_FILE: &str = "steps.json";

/// Paths that one finding lists in a report at most, those that sort first, so that a report stays
/// below [`MAX_REPORT_BYTES`].
pub const MAX_CHECKED_PATHS: usize = 1_000;

/// What was found in a root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The schema's version, [`CHECK_VERSION`].
    pub version: u32,
    /// In the order of the rules' names.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// The report of findings, each with its first [`MAX_CHECKED_PATHS`].
    pub fn new(mut findings: Vec<Finding>) -> Self {
        for finding in &mut findings {
            finding.paths.sort();
            finding.paths.truncate(MAX_CHECKED_PATHS);
        }
        Self {
            version: CHECK_VERSION,
            findings,
        }
    }

    /// Reads a report from its JSON.
    ///
    /// # Errors
    /// When it is too large, malformed, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self, ReportError> {
        read_version(json, CHECK_VERSION)
    }
}

/// The reports of an image's steps, gathered by the look at its root, so that one file is to be read back
/// instead of one for each step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReports {
    /// The schema's version, [`CHECK_VERSION`].
    pub version: u32,
    /// In the order in which they were mounted.
    pub steps: Vec<Gathered>,
}

/// The report of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gathered {
    /// What it says.
    Report(StepReport),
    /// Why it could not be read: the step's command runs as root beside it.
    Unread(String),
}

impl StepReports {
    /// The JSON of reports; none when it is larger than a reader takes.
    pub fn to_json(steps: Vec<Gathered>) -> Option<Vec<u8>> {
        let version = CHECK_VERSION;
        let json = serde_json::to_vec(&Self { version, steps }).ok()?;
        (json.len() <= MAX_REPORT_BYTES).then_some(json)
    }

    /// Reads reports from their JSON.
    ///
    /// # Errors
    /// When they are too large, malformed, or of another version.
    pub fn from_json(json: &[u8]) -> Result<Self, ReportError> {
        read_version(json, CHECK_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    fn finding(paths: usize) -> Finding {
        let names = (0..paths).rev().map(|number| format!("/usr/{number:06}"));
        Finding {
            rule: "import-special-file".to_owned(),
            severity: Severity::Error,
            message: "m".to_owned(),
            help: "h".to_owned(),
            paths: names.collect(),
            origin: None,
        }
    }

    #[test]
    fn a_report_survives_its_own_json_and_lists_the_first_paths() {
        let report = CheckReport::new(vec![finding(MAX_CHECKED_PATHS + 5), finding(0)]);
        let json = serde_json::to_vec(&report).expect("serialises");
        let read = CheckReport::from_json(&json).expect("reads");
        assert_eq!(read, report);
        let paths = &read.findings[0].paths;
        assert_eq!(paths.len(), MAX_CHECKED_PATHS);
        assert_eq!(paths[0], "/usr/000000");
    }

    #[test]
    fn gathered_reports_survive_their_own_json_unless_they_are_too_large() {
        let steps = vec![Gathered::Unread("no such file".to_owned())];
        let json = StepReports::to_json(steps.clone()).expect("small");
        assert_eq!(StepReports::from_json(&json).expect("reads").steps, steps);
        let large = Gathered::Unread(" ".repeat(MAX_REPORT_BYTES));
        assert_eq!(StepReports::to_json(vec![large]), None);
    }

    #[test]
    fn other_versions_and_sizes_are_refused() {
        let newer = CheckReport::from_json(br#"{"version":2}"#);
        assert!(matches!(newer, Err(ReportError::Version(2))), "{newer:?}");
        let large = CheckReport::from_json(&vec![b' '; MAX_REPORT_BYTES + 1]);
        assert!(matches!(large, Err(ReportError::TooLarge(_))), "{large:?}");
    }
}
