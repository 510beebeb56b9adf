//! The reports of steps: each committed RUN left one in an output of its own, also when it came from
//! the cache; it is read back with the RUN's Containerfile line.

use std::collections::BTreeMap;

use osderive_lints::model::ledger::Entry;
use osderive_lints::{
    Directory, Finding, MAX_REPORT_BYTES, Outcome, REPORT_FILE, Severity, StepReport,
};
use osderive_proto::gateway::{BuildError, Gateway, Ref, SolveRequest};
use osderive_proto::llb::{Definition, Digest, Edge, SourceLocation};
use tokio::task::JoinSet;

use crate::build::single_ref;
use crate::verdict::Found;
use crate::wrap;

/// The reports of all committed steps of the final images, in the order of the Containerfile.
pub(crate) struct Reports {
    /// Each with the place of its image among the final ones.
    steps: Vec<(usize, Step)>,
    refs: JoinSet<(usize, Result<Ref, BuildError>)>,
}

/// A committed step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) digest: Digest,
    location: Option<SourceLocation>,
    /// The accounts that it made, as its report says.
    pub(crate) accounts: Vec<Entry>,
}

/// Directories that a lower layer may have otherwise, of a step.
pub(crate) struct Suspects {
    pub(crate) step: Step,
    pub(crate) directories: Vec<Directory>,
}

impl Step {
    pub(crate) fn new(digest: Digest, location: Option<SourceLocation>) -> Self {
        Self {
            digest,
            location,
            accounts: Vec::new(),
        }
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

/// What the steps of an image have reported.
#[derive(Default)]
pub(crate) struct Reported {
    /// In the order of the Containerfile.
    pub(crate) found: Vec<Found>,
    pub(crate) suspects: Vec<Suspects>,
    /// Whether one of them was committed: then the image is a bootable one.
    pub(crate) committed: bool,
}

impl Reports {
    /// Asks the engine for handles on the reports, which takes no step's running and can go on
    /// beside it.
    ///
    /// # Errors
    /// When a definition has no such step, which would be a defect.
    pub(crate) fn ask<'a>(
        gateway: &Gateway,
        images: impl Iterator<Item = (usize, &'a Definition)>,
    ) -> Result<Self, BuildError> {
        let mut reports = Self {
            steps: Vec::new(),
            refs: JoinSet::new(),
        };
        for (place, image) in images {
            for run in image.lineage().runs.iter().filter_map(|run| image.run(run)) {
                if let Some(index) = run.output_index(wrap::REPORT_MOUNT) {
                    let digest = run.digest;
                    let report = image
                        .subgraph(&Edge { digest, index })
                        .map_err(|error| BuildError::new(format!("osderive: {error}")))?;
                    let step = Step::new(digest, image.source_location(&digest));
                    reports.ask_one(gateway, (place, step), &report);
                }
            }
        }
        Ok(reports)
    }

    fn ask_one(&mut self, gateway: &Gateway, step: (usize, Step), report: &Definition) {
        let number = self.steps.len();
        self.steps.push(step);
        let request = SolveRequest {
            definition: Some(report.to_bytes()),
            ..SolveRequest::default()
        };
        let gateway = gateway.clone();
        self.refs.spawn(async move {
            let solved = gateway.solve(request).await;
            (number, solved.and_then(single_ref))
        });
    }

    /// Reads the reports, once the steps have run, by the places of their images; answers with the
    /// steps, too. A report that cannot be read is a finding.
    pub(crate) async fn read(self, gateway: &Gateway) -> (BTreeMap<usize, Reported>, Vec<Step>) {
        let mut reads = JoinSet::new();
        for (number, reference) in self.refs.join_all().await {
            let gateway = gateway.clone();
            reads.spawn(async move { (number, read(&gateway, reference).await) });
        }
        let mut reports = reads.join_all().await;
        reports.sort_by_key(|(number, _)| *number);
        let mut images: BTreeMap<usize, Reported> = BTreeMap::new();
        let mut steps = Vec::new();
        for ((_, report), (place, mut step)) in reports.into_iter().zip(self.steps) {
            let reported = images.entry(place).or_default();
            let findings = match report {
                Ok(report) => {
                    reported.committed |= report.outcome == Outcome::Committed;
                    step.accounts = report.accounts;
                    if !report.directories.is_empty() {
                        reported.suspects.push(Suspects {
                            step: Step::new(step.digest, step.location.clone()),
                            directories: report.directories,
                        });
                    }
                    report.findings
                }
                Err(reason) => vec![unread(&reason)],
            };
            let found = findings.into_iter().map(|finding| step.found(finding));
            reported.found.extend(found);
            steps.push(step);
        }
        (images, steps)
    }
}

async fn read(gateway: &Gateway, reference: Result<Ref, BuildError>) -> Result<StepReport, String> {
    let unread = |error: BuildError| error.to_string();
    let reference = reference.map_err(unread)?;
    let json = gateway
        .read_file(&reference.id, REPORT_FILE, MAX_REPORT_BYTES + 1)
        .await
        .map_err(unread)?;
    StepReport::from_json(&json).map_err(|error| error.to_string())
}

/// What a step's command has made of the report, as root beside it, is no reason to fail.
fn unread(reason: &str) -> Finding {
    Finding {
        rule: "osderive".to_owned(),
        severity: Severity::Warning,
        message: format!("the report of a committed step could not be read: {reason}"),
        help: String::new(),
        paths: Vec::new(),
        origin: None,
    }
}
