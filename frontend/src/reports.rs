//! From step reports to warnings: each committed RUN left a report in an output of its own, also
//! when it came from the cache; what it found is shown with the RUN's Containerfile line.

use osderive_lints::{Finding, MAX_REPORT_BYTES, REPORT_FILE, Severity, StepReport};
use osderive_proto::gateway::{BuildError, Gateway, SolveRequest, Warning};
use osderive_proto::llb::{Definition, Digest, Edge};
use tokio::task::JoinSet;

use crate::build::single_ref;
use crate::wrap;

/// Reads the reports of all committed steps of the final images and shows their findings, in the
/// order of the Containerfile; a finding that several platforms share is shown once.
///
/// # Errors
/// When the session broke; a report that cannot be read is a warning too.
pub(crate) async fn show(gateway: &Gateway, images: &[Definition]) -> Result<(), BuildError> {
    let mut shown = Vec::new();
    for warning in read_all(gateway, images).await? {
        if !shown.contains(&warning.short) {
            shown.push(warning.short.clone());
            gateway.warn(warning).await?;
        }
    }
    Ok(())
}

async fn read_all(gateway: &Gateway, images: &[Definition]) -> Result<Vec<Warning>, BuildError> {
    let mut reads = JoinSet::new();
    let mut steps = Vec::new();
    for image in images {
        for digest in image.lineage().runs {
            let Some(index) = image
                .run(&digest)
                .and_then(|run| run.output_index(wrap::REPORT_MOUNT))
            else {
                continue;
            };
            let definition = image
                .subgraph(&Edge { digest, index })
                .map_err(|error| BuildError::new(error.to_string()))?
                .to_bytes();
            let place = steps.len();
            steps.push((image, digest));
            let gateway = gateway.clone();
            reads.spawn(async move { (place, read(&gateway, definition).await) });
        }
    }
    let mut reports = reads.join_all().await;
    reports.sort_by_key(|(place, _)| *place);
    let warnings = reports.into_iter().flat_map(|(place, report)| {
        let (image, digest) = steps[place];
        warnings(image, digest, report)
    });
    Ok(warnings.collect())
}

async fn read(gateway: &Gateway, definition: Vec<u8>) -> Result<StepReport, String> {
    let request = SolveRequest {
        definition: Some(definition),
        ..SolveRequest::default()
    };
    let solved = gateway
        .solve(request)
        .await
        .and_then(single_ref)
        .map_err(|error| error.to_string())?;
    let json = gateway
        .read_file(&solved.id, REPORT_FILE, MAX_REPORT_BYTES + 1)
        .await
        .map_err(|error| error.to_string())?;
    StepReport::from_json(&json).map_err(|error| error.to_string())
}

fn warnings(
    image: &Definition,
    digest: Digest,
    report: Result<StepReport, String>,
) -> Vec<Warning> {
    let location = image.source_location(&digest);
    let line = location
        .as_ref()
        .and_then(|location| location.ranges.first()?.start)
        .map(|start| format!(" (line {})", start.line))
        .unwrap_or_default();
    let warning = |short: String, detail: Vec<String>| Warning {
        digest,
        short: format!("{short}{line}"),
        detail,
        location: location.clone(),
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
