//! The look at a base image's root, in an exec of our own that belongs to no image. What it finds is the
//! base's. It comes from the cache in all builds on that base.

use osderive_lints::{CHECK_FILE, CheckReport, Finding, MAX_REPORT_BYTES};
use osderive_proto::gateway::{BuildError, Gateway, SolveRequest};
use osderive_proto::llb::{Base, Edge, Lineage, Probe, RootAccess};

use crate::build::{broken, single_ref};
use crate::{tool, wrap};

/// The state that others answer for; none where the Containerfile made everything. Where it began with nothing, that
/// is what there was when the first RUN began: someone's root file system, which ADD or COPY brought.
pub(crate) fn base(lineage: &Lineage) -> Option<Edge> {
    if let Some(stopped) = &lineage.stopped {
        return Some(stopped.edge);
    }
    if lineage.base != Base::Scratch {
        return lineage.steps.first().copied();
    }
    let first = lineage.runs.first()?;
    let mut states = lineage.steps.iter().rev();
    states.find(|state| state.digest == *first)?;
    states.next().copied()
}

/// That state and the last one, where instructions went on from it.
pub(crate) fn ends(lineage: &Lineage) -> Option<(Edge, Edge)> {
    let (base, last) = (base(lineage)?, *lineage.steps.last()?);
    (last != base).then_some((base, last))
}

/// What a look at the root of a base image finds.
///
/// # Errors
/// When the exec fails, or its report cannot be read.
pub(crate) async fn look(
    gateway: &Gateway,
    request: SolveRequest,
) -> Result<Vec<Finding>, BuildError> {
    let reference = gateway.solve(request).await.and_then(single_ref)?;
    let limit = MAX_REPORT_BYTES + 1;
    let json = gateway.read_file(&reference.id, CHECK_FILE, limit).await?;
    Ok(CheckReport::from_json(&json).map_err(broken)?.findings)
}

/// An exec of ours on a root.
pub(crate) fn probe(
    args: Vec<String>,
    root: RootAccess,
    title: String,
) -> Result<Probe, BuildError> {
    Ok(Probe {
        args,
        reads: Vec::new(),
        root,
        tool_dest: wrap::TOOL_MOUNT.to_owned(),
        // The engine's own platform, whatever the root is for: programs of the image run only to make an initramfs.
        tool_selector: tool::folder(None)?,
        output_dest: wrap::REPORT_MOUNT.to_owned(),
        title,
    })
}

/// What progress shows of an exec of ours.
pub(crate) fn title(what: &str, platform: Option<&str>) -> String {
    match platform {
        None => format!("[osderive] {what}"),
        Some(platform) => format!("[{platform} osderive] {what}"),
    }
}
