//! Stages beside the image that begin with a stage of it: a common stage that a builder stage and the
//! image go on from. Commits have taken away what boot makes in /var, so their first RUN is given it
//! again; those after it find it there. Nothing in them is committed.

use std::collections::BTreeSet;

use osderive_proto::llb::{Definition, Digest, Run};

/// The RUNs of a definition that go on from one of those that are `committed`, and are not committed themselves.
pub(crate) fn first_runs(definition: &Definition, committed: &[Digest]) -> Vec<Run> {
    let committed: BTreeSet<Digest> = committed.iter().copied().collect();
    let goes_on = |(run, before): &(Digest, Option<Digest>)| {
        !committed.contains(run) && before.is_some_and(|before| committed.contains(&before))
    };
    let runs = definition.runs_and_those_before().into_iter();
    let runs = runs.filter(goes_on);
    runs.filter_map(|(run, _)| definition.run(&run)).collect()
}
