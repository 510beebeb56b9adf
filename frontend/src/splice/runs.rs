//! How the RUNs of one image are wrapped, and those of other stages that go on from them.

use std::collections::BTreeMap;

use osderive_lints::model::ledger::Ledger;
use osderive_proto::gateway::BuildError;
use osderive_proto::llb::{Definition, Digest, Lineage, Run, Splice};

use crate::errors::at_step;
use crate::facts::bootable::Decision;
use crate::facts::branches;
use crate::options::environment::Options;
use crate::splice::{tool, wrap};

/// How to splice each RUN.
pub(crate) struct Splices {
    /// Of the image.
    pub(crate) own: BTreeMap<Digest, Splice>,
    /// Of other stages.
    pub(crate) beside: BTreeMap<Digest, Splice>,
    /// Whether some RUNs of the image were wrapped already.
    pub(crate) is_wrapped: bool,
}

/// The splices for an image and the stages beside it.
///
/// # Errors
/// When our image has no tool for the platform of a RUN.
pub(crate) fn of_image(
    definition: &Definition,
    lineage: &Lineage,
    decision: Decision,
    options: &Options,
    ids: Option<&Ledger>,
) -> Result<Splices, BuildError> {
    let runs = lineage.runs.iter().filter_map(|run| definition.run(run));
    let (wrapped, runs): (Vec<Run>, Vec<Run>) = runs.partition(wrap::is_wrapped);
    let at = |run: &Run, splice: Result<Splice, BuildError>| {
        let splice = splice.map_err(|error| at_step(error, definition, &run.digest))?;
        Ok((run.digest, splice))
    };
    let own = runs.iter();
    let own = own.map(|run| at(run, wrap::splice(run, decision, options, ids)));
    let has_tool = |run: &&Run| tool::folder(run.platform.as_ref()).is_ok();
    let beside = branches::first_runs(definition, &lineage.runs);
    let beside = beside.iter().filter(|run| !wrap::is_wrapped(run));
    let beside = beside.filter(has_tool);
    let beside = beside.map(|run| at(run, wrap::prepare(run, decision)));
    Ok(Splices {
        own: own.collect::<Result<_, BuildError>>()?,
        beside: beside.collect::<Result<_, BuildError>>()?,
        is_wrapped: !wrapped.is_empty(),
    })
}

/// Why an image cannot be committed and checked, if it cannot: our image lacks the tool for one of its RUNs,
/// or for the engine's own platform.
pub(crate) fn missing_tool(definition: &Definition, lineage: &Lineage) -> Option<BuildError> {
    let runs = lineage.runs.iter().filter_map(|run| definition.run(run));
    let mut to_wrap = runs.filter(|run| !wrap::is_wrapped(run));
    let of_run = to_wrap.find_map(|run| {
        let missing = tool::folder(run.platform.as_ref()).err()?;
        Some(at_step(missing, definition, &run.digest))
    });
    of_run.or_else(|| tool::folder(None).err())
}
