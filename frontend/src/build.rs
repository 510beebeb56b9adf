//! One build, start to end: have the Dockerfile frontend make the LLB, decide what is committed,
//! splice the tool in, solve, check what came out, and tell what steps and check have found.

use osderive_lints::policy::{Bootable, FailOn};
use osderive_proto::gateway::{BuildError, Gateway, SolveResult};
use osderive_proto::llb::Digest;
use tracing::debug;

use crate::diagnostics::decisions;
use crate::diagnostics::emit::emit;
use crate::diagnostics::previous::{Previous, Target};
use crate::facts::result::final_refs;
use crate::options::context::Context;
use crate::options::delegation::{cache_imports, delegation};
use crate::options::environment::{OptionError, Options};
use crate::options::ids;
use crate::solve::images::solve;
use crate::splice::plan::CommitPlan;
use crate::splice::wrap;
use crate::subrequests;

/// Runs the build that `options` describes.
///
/// # Errors
/// When an option makes no sense, the engine cannot do what is needed, or the build fails.
pub(crate) async fn build(
    gateway: Gateway,
    options: Result<Options, OptionError>,
) -> Result<SolveResult, BuildError> {
    let options = options.map_err(|error| BuildError::new(error.to_string()))?;
    options
        .start_log()
        .map_err(|error| BuildError::new(error.to_string()))?;
    debug!(asked = ?options.asked, subrequest = ?options.subrequest(), "a build begins");
    let caches = cache_imports(&options)?;
    let inputs = gateway.inputs().await?;
    let context = Context {
        gateway: &gateway,
        options: &options,
        inputs: &inputs,
    };
    if let Some(subrequest) = options.subrequest() {
        return subrequests::answer(&context, subrequest, caches).await;
    }
    // These files are read beside the Dockerfile; a mistake in the latter is told first.
    let (ids, config, result) = tokio::join!(
        ids::read(&context),
        config_file(&context),
        gateway.solve(delegation(&options, caches.clone(), inputs.clone())),
    );
    let (mut result, ids) = (result?, ids?);
    let plan = CommitPlan::of(&result, &options, ids.as_ref(), &config)?;
    debug!(
        runs = plan.splices.len(),
        images = plan.subjects.len(),
        "the tool is spliced in"
    );
    for warning in &plan.warnings {
        gateway.warn(warning.clone()).await?;
    }
    if plan.splices.is_empty() && plan.subjects.is_empty() {
        return Ok(result);
    }
    let previous = options.asked.previous.as_deref();
    let previous = previous.map(|name| Previous::ask(&gateway, name, plan.targets.clone()));
    let solved = solve(&gateway, &options, &mut result, &plan, &caches)
        .await
        .map_err(|error| error.map_message(wrap::without_tool))?;
    let (mut found, steps) = (solved.found, solved.steps);
    if let Some(previous) = previous {
        let reference = |target: &Target| {
            let refs = final_refs(&result).into_iter();
            let mut refs = refs.filter(|(key, _)| *key == target.key.as_deref());
            refs.next().map(|(_, reference)| reference.id.clone())
        };
        let changed = previous.compare(&gateway, &steps, reference).await?;
        found.extend(changed.into_iter().filter_map(|found| plan.weigh(found)));
    }
    let asked = options.asked.fail_on;
    let mut fail_on = asked.unwrap_or(FailOn::Error);
    if let Some(decisions) = &plan.decisions {
        let end = steps.last().map_or(Digest::of(&[]), |step| step.digest);
        found = match &solved.of_base {
            Some(of_base) => decisions.apply(found, of_base, end),
            None => decisions.settle_all(found),
        };
        fail_on = decisions.fail_on(asked);
    }
    debug!(
        steps = steps.len(),
        findings = found.len(),
        ?fail_on,
        "the build is judged"
    );
    emit(&gateway, found, fail_on).await?;
    Ok(result)
}

/// `osderive.toml`, which counts for images that may be committed.
async fn config_file(context: &Context<'_>) -> Result<Option<Vec<u8>>, BuildError> {
    match context.options.asked.bootable {
        Bootable::Off => Ok(None),
        Bootable::Auto | Bootable::On => decisions::file(context).await,
    }
}
