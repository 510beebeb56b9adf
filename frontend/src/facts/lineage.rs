//! Where the lineage of an image begins and ends.

use osderive_proto::llb::{Base, Digest, Edge, Lineage};

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

/// What findings about no other op are about.
pub(crate) fn end(lineage: &Lineage) -> Digest {
    lineage
        .steps
        .last()
        .map_or_else(|| Digest::of(&[]), |step| step.digest)
}
