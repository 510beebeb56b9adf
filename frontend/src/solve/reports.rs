//! The reports of steps: each committed RUN left one in an output of its own, also when it came from
//! the cache. The commit at the end gathers them.

use osderive_lints::{
    Directory, MAX_REPORT_BYTES, REPORT_FILE, REPORT_MOUNT, StepRecord, StepReport,
    rules::report_unread,
};
use osderive_proto::gateway::{BuildError, Gateway, SolveRequest};
use osderive_proto::llb::{Definition, Edge};

use crate::diagnostics::found::Found;
use crate::diagnostics::step::Step;
use crate::errors::broken;
use crate::facts::result::single_ref;

/// A committed step whose report is still to be read.
pub(crate) struct Pending {
    step: Step,
    /// What its report is in.
    pub(crate) report: Edge,
}

/// Directories that a lower layer may have otherwise, of a step.
pub(crate) struct Suspects {
    pub(crate) step: Step,
    pub(crate) directories: Vec<Directory>,
}

/// What the steps of an image have reported.
#[derive(Default)]
pub(crate) struct Reported {
    /// In the order of the Containerfile.
    pub(crate) found: Vec<Found>,
    pub(crate) suspects: Vec<Suspects>,
    pub(crate) steps: Vec<Step>,
}

/// The steps of an image that leave reports, in the order of the Containerfile.
pub(crate) fn pending(image: &Definition) -> Vec<Pending> {
    let runs = image.lineage().runs;
    let pending = runs.iter().filter_map(|run| {
        let run = image.run(run)?;
        let (digest, index) = (run.digest, run.output_index(REPORT_MOUNT)?);
        Some(Pending {
            step: Step::new(digest, image.source_location(&digest)),
            report: Edge { digest, index },
        })
    });
    pending.collect()
}

/// The report of one step, which runs for it if it has not.
///
/// # Errors
/// When the step fails, or the image has no such step.
pub(crate) async fn read_one(
    gateway: &Gateway,
    image: &Definition,
    report: &Edge,
) -> Result<StepRecord, BuildError> {
    let report = image.subgraph(report).map_err(broken)?;
    let request = SolveRequest {
        definition: Some(report.to_bytes()),
        evaluate: true,
        ..SolveRequest::default()
    };
    let reference = gateway.solve(request).await.and_then(single_ref)?;
    let limit = MAX_REPORT_BYTES + 1;
    let json = gateway.read_file(&reference.id, REPORT_FILE, limit).await;
    let report = match json {
        Ok(json) => StepReport::from_json(&json).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    Ok(report.map_or_else(StepRecord::Unread, StepRecord::Report))
}

impl Reported {
    /// What the steps have reported. A report that cannot be read is a finding.
    pub(crate) fn of(pending: Vec<Pending>, reports: Vec<StepRecord>) -> Self {
        let unread = StepRecord::Unread("it was not gathered".to_owned());
        let reports = reports.into_iter().chain(std::iter::repeat(unread));
        let mut reported = Self::default();
        for (Pending { mut step, .. }, report) in pending.into_iter().zip(reports) {
            let findings = match report {
                StepRecord::Report(report) => {
                    step.accounts = report.accounts;
                    step.left_bytes = report.left_bytes;
                    if !report.directories.is_empty() {
                        reported.suspects.push(Suspects {
                            step: Step::new(step.digest, step.location.clone()),
                            directories: report.directories,
                        });
                    }
                    report.findings
                }
                // What a step's command has made of the report, as root beside it, is no reason to fail.
                StepRecord::Unread(reason) => vec![report_unread::finding(&reason)],
            };
            let found = findings.into_iter().map(|finding| step.found(finding));
            reported.found.extend(found);
            reported.steps.push(step);
        }
        reported
    }
}
