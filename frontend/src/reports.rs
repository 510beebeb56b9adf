//! From step reports to warnings: each committed RUN left a report in an output of its own, also
//! when it came from the cache; what it found is shown with the RUN's Containerfile line.

use osderive_lints::{Finding, MAX_REPORT_BYTES, REPORT_FILE, Severity, StepReport};
use osderive_proto::gateway::{BuildError, Gateway, Ref, SolveRequest, Warning};
use osderive_proto::llb::{Definition, Digest, Edge, SourceLocation};
use tokio::task::JoinSet;

use crate::build::single_ref;
use crate::wrap;

/// The reports of all committed steps of the final images, in the order of the Containerfile.
pub(crate) struct Reports {
    steps: Vec<Step>,
    refs: JoinSet<(usize, Result<Ref, BuildError>)>,
}

/// A committed step.
struct Step {
    digest: Digest,
    location: Option<SourceLocation>,
}

impl Reports {
    /// Asks the engine for handles on the reports, which takes no step's running and can go on
    /// beside it.
    ///
    /// # Errors
    /// When a definition has no such step, which would be a defect.
    pub(crate) fn ask<'a>(
        gateway: &Gateway,
        images: impl Iterator<Item = &'a Definition>,
    ) -> Result<Self, BuildError> {
        let mut reports = Self {
            steps: Vec::new(),
            refs: JoinSet::new(),
        };
        for image in images {
            for run in image.lineage().runs.iter().filter_map(|run| image.run(run)) {
                if let Some(index) = run.output_index(wrap::REPORT_MOUNT) {
                    let digest = run.digest;
                    let report = image
                        .subgraph(&Edge { digest, index })
                        .map_err(|error| BuildError::new(format!("osderive: {error}")))?;
                    reports.ask_one(gateway, image, digest, &report);
                }
            }
        }
        Ok(reports)
    }

    fn ask_one(
        &mut self,
        gateway: &Gateway,
        image: &Definition,
        digest: Digest,
        report: &Definition,
    ) {
        let place = self.steps.len();
        self.steps.push(Step {
            digest,
            location: image.source_location(&digest),
        });
        let request = SolveRequest {
            definition: Some(report.to_bytes()),
            ..SolveRequest::default()
        };
        let gateway = gateway.clone();
        self.refs.spawn(async move {
            let solved = gateway.solve(request).await;
            (place, solved.and_then(single_ref))
        });
    }

    /// Reads the reports, once the steps have run, and shows their findings; one that several
    /// platforms share is shown once.
    ///
    /// # Errors
    /// When the session broke; a report that cannot be read is a warning too.
    pub(crate) async fn show(self, gateway: &Gateway) -> Result<(), BuildError> {
        let mut reads = JoinSet::new();
        for (place, reference) in self.refs.join_all().await {
            let gateway = gateway.clone();
            reads.spawn(async move { (place, read(&gateway, reference).await) });
        }
        let mut reports = reads.join_all().await;
        reports.sort_by_key(|(place, _)| *place);
        let mut shown = Vec::new();
        for (place, report) in reports {
            for warning in warnings(&self.steps[place], report) {
                if !shown.contains(&warning.short) {
                    shown.push(warning.short.clone());
                    gateway.warn(warning).await?;
                }
            }
        }
        Ok(())
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

fn warnings(step: &Step, report: Result<StepReport, String>) -> Vec<Warning> {
    let line = step
        .location
        .as_ref()
        .and_then(|location| location.ranges.first()?.start)
        .map(|start| format!(" (line {})", start.line))
        .unwrap_or_default();
    let warning = |short: String, detail: Vec<String>| Warning {
        digest: step.digest,
        short: format!("{short}{line}"),
        detail,
        location: step.location.clone(),
    };
    match report {
        Ok(report) => report
            .findings
            .into_iter()
            .filter(|finding| finding.severity >= Severity::Warning)
            .map(|finding| {
                warning(
                    format!("{}: {}", finding.rule, finding.message),
                    detail(finding),
                )
            })
            .collect(),
        Err(reason) => vec![warning(
            format!("osderive: the report of a committed step could not be read: {reason}"),
            Vec::new(),
        )],
    }
}

fn detail(finding: Finding) -> Vec<String> {
    let mut detail = vec![finding.help];
    detail.extend(finding.paths);
    detail
}
