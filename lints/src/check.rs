//! The report of a look at a whole root in a build: versioned JSON, written by the tool inside of an
//! exec and read back by the frontend. It is no output for people: those are in `output/`.

use serde::{Deserialize, Serialize};

use crate::report::read_version;
use crate::{Finding, MAX_REPORT_BYTES, ReportError, StepReport};

/// The version of [`CheckReport`]'s schema.
pub const CHECK_VERSION: u32 = 1;

/// The report's file name in the directory that the tool is given.
pub const CHECK_FILE: &str = "lint.json";

/// The file name of the base image's, where that is asked for at the same time.
pub const BASE_CHECK_FILE: &str = "base.json";

/// The file name of [`StepReports`] beside it.
pub const STEPS_FILE: &str = "steps.json";

/// More bytes than stand around the reports in [`StepReports`], and than one has that says it was left out.
const ENVELOPE: usize = 100;

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
    pub steps: Vec<StepRecord>,
}

/// The report of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepRecord {
    /// What it says.
    Report(StepReport),
    /// Why it could not be read: the step's command runs as root beside it.
    Unread(String),
}

impl StepReports {
    /// The JSON of reports. Where they are larger together than a reader takes, the largest are left out.
    pub fn to_json(mut steps: Vec<StepRecord>) -> Vec<u8> {
        let version = CHECK_VERSION;
        let size = |step: &StepRecord| serde_json::to_vec(step).map_or(0, |json| json.len());
        let mut sizes: Vec<usize> = steps.iter().map(size).collect();
        let mut total = sizes.iter().sum::<usize>() + steps.len() + ENVELOPE;
        while total > MAX_REPORT_BYTES
            && let Some((largest, bytes)) = sizes.iter().copied().enumerate().max_by_key(|it| it.1)
            && bytes > ENVELOPE
        {
            let left_out = StepRecord::Unread("it is too large".to_owned());
            sizes[largest] = size(&left_out);
            total -= bytes - sizes[largest];
            steps[largest] = left_out;
        }
        serde_json::to_vec(&Self { version, steps }).unwrap_or_default()
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
            confidence: None,
            related: Vec::new(),
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
    fn gathered_reports_survive_their_own_json_and_the_largest_are_left_out_where_all_are_too_large()
     {
        let steps = vec![StepRecord::Unread("no such file".to_owned())];
        let json = StepReports::to_json(steps.clone());
        assert_eq!(StepReports::from_json(&json).expect("reads").steps, steps);
        let large = |bytes| StepRecord::Unread(" ".repeat(bytes));
        let small = steps[0].clone();
        let steps = vec![
            large(MAX_REPORT_BYTES),
            small.clone(),
            large(MAX_REPORT_BYTES - 1000),
        ];
        let json = StepReports::to_json(steps.clone());
        let read = StepReports::from_json(&json).expect("reads").steps;
        let left_out = StepRecord::Unread("it is too large".to_owned());
        assert_eq!(read, [left_out, small, steps[2].clone()]);
    }

    #[test]
    fn other_versions_and_sizes_are_refused() {
        let newer = CheckReport::from_json(br#"{"version":2}"#);
        assert!(matches!(newer, Err(ReportError::Version(2))), "{newer:?}");
        let large = CheckReport::from_json(&vec![b' '; MAX_REPORT_BYTES + 1]);
        assert!(matches!(large, Err(ReportError::TooLarge(_))), "{large:?}");
    }
}
