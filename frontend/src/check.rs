//! The look at a base image's root, in an exec of our own that belongs to no image. What it finds is the
//! base's. It comes from the cache in all builds on that base.

use osderive_lints::{CHECK_FILE, CheckReport, Finding, MAX_REPORT_BYTES};
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, Gateway, SolveRequest};
use osderive_proto::llb::{Base, Definition, Edge, Lineage, Probe, RootAccess, Wanted};

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

/// Whether instructions went on from that state.
pub(crate) fn has_end(lineage: &Lineage) -> bool {
    base(lineage).is_some_and(|base| lineage.steps.last() != Some(&base))
}

/// What the root of a base image has, as `image` knows it.
///
/// # Errors
/// When our image has no tool for the engine's own platform, the exec fails, or its report cannot be read.
pub(crate) async fn look(
    gateway: &Gateway,
    request: Result<SolveRequest, BuildError>,
) -> Result<Vec<Finding>, BuildError> {
    let reference = gateway.solve(request?).await.and_then(single_ref)?;
    let limit = MAX_REPORT_BYTES + 1;
    let json = gateway.read_file(&reference.id, CHECK_FILE, limit).await?;
    Ok(CheckReport::from_json(&json).map_err(broken)?.findings)
}

/// The request for that look.
///
/// # Errors
/// As [`look`].
pub(crate) fn request(
    image: &Definition,
    base: &Edge,
    tool: &Definition,
    caches: &[CacheOptionsEntry],
    platform: Option<&str>,
) -> Result<SolveRequest, BuildError> {
    let probe = Probe {
        args: wrap::CHECK.map(str::to_owned).to_vec(),
        reads: Vec::new(),
        root: RootAccess::Read,
        tool_dest: wrap::TOOL_MOUNT.to_owned(),
        // The engine's own platform: it only looks, so the root may be for any.
        tool_selector: tool::folder(None)?,
        output_dest: wrap::REPORT_MOUNT.to_owned(),
        title: title("check the base image", platform),
    };
    let definition = image.probe(base, tool, &probe, Wanted::Report);
    Ok(SolveRequest {
        definition: Some(definition.map_err(broken)?.to_bytes()),
        cache_imports: caches.to_vec(),
        ..SolveRequest::default()
    })
}

/// What progress shows of an exec of ours.
pub(crate) fn title(what: &str, platform: Option<&str>) -> String {
    match platform {
        None => format!("[osderive] {what}"),
        Some(platform) => format!("[{platform} osderive] {what}"),
    }
}
