//! One build, start to end: have the Dockerfile frontend make the LLB, decide what is committed,
//! splice the tool in, solve, check what came out, and tell what steps and check have found.

use std::collections::BTreeMap;

use osderive_lints::model::ledger::Ledger;
use osderive_lints::{Finding, ImageConfig, Severity, unbuilt};
use osderive_proto::gateway::{
    BuildError, CacheOptionsEntry, Gateway, Ref, Refs, SolveRequest, SolveResult, SourceSnippet,
    Warning,
};
use osderive_proto::llb::{
    Base, Definition, Digest, Lineage, LlbError, SourceLocation, Splice, Stopped,
};

use crate::bootable::{Decision, decide};
use crate::context::Context;
use crate::decisions::{self, Decisions};
use crate::options::{OptionError, Options};
use crate::previous::{Previous, Target};
use crate::verdict::{Found, pronounce};
use crate::{check, ids, questions, solve, splices, tool, wrap};
use osderive_lints::policy::{Bootable, FailOn};

/// Where a result keeps the image config; a multi-platform result appends `/PLATFORM`.
const IMAGE_CONFIG: &str = "containerimage.config";

/// Runs the build that `options` describes.
///
/// # Errors
/// When an option makes no sense, the engine cannot do what is needed, or the build fails.
pub(crate) async fn build(
    gateway: Gateway,
    options: Result<Options, OptionError>,
) -> Result<SolveResult, BuildError> {
    let options = options.map_err(|error| BuildError::new(error.to_string()))?;
    let caches = cache_imports(&options)?;
    let inputs = gateway.inputs().await?;
    let context = Context {
        gateway: &gateway,
        options: &options,
        inputs: &inputs,
    };
    if let Some(question) = options.question() {
        return questions::answer(&context, question, caches).await;
    }
    // These files are read beside the Dockerfile; a mistake in the latter is told first.
    let (ids, config, result) = tokio::join!(
        ids::read(&context),
        config_file(&context),
        gateway.solve(delegation(&options, caches.clone(), inputs.clone())),
    );
    let (mut result, ids) = (result?, ids?);
    let plan = plan(&result, &options, ids.as_ref(), &config)?;
    for warning in &plan.warnings {
        gateway.warn(warning.clone()).await?;
    }
    if plan.splices.is_empty() && plan.subjects.is_empty() {
        return Ok(result);
    }
    let previous = options.asked.previous.as_deref();
    let previous = previous.map(|name| Previous::ask(&gateway, name, plan.targets.clone()));
    let solved = solve::solve(&gateway, &options, &mut result, &plan, &caches)
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
    let mut fail_on = Some(Severity::Error);
    if let Some(decisions) = &plan.decisions {
        let end = steps.last().map_or(Digest::of(&[]), |step| step.digest);
        found = match &solved.of_base {
            Some(of_base) => decisions.apply(found, of_base, end),
            None => decisions.settle_all(found),
        };
        fail_on = decisions.fail_on().or(fail_on);
    }
    let fail_on = options.asked.fail_on.map_or(fail_on, FailOn::severity);
    pronounce(&gateway, found, fail_on).await?;
    Ok(result)
}

/// `osderive.toml`, which counts for images that may be committed.
async fn config_file(context: &Context<'_>) -> Result<Option<Vec<u8>>, BuildError> {
    match context.options.asked.bootable {
        Bootable::Off => Ok(None),
        Bootable::Auto | Bootable::On => decisions::file(context).await,
    }
}

fn cache_imports(options: &Options) -> Result<Vec<CacheOptionsEntry>, BuildError> {
    let imports = options
        .cache_imports()
        .map_err(|error| BuildError::new(error.to_string()))?;
    let entries = imports.into_iter().map(|import| CacheOptionsEntry {
        r#type: import.kind,
        attrs: import.attrs.into_iter().collect(),
    });
    Ok(entries.collect())
}

/// The request that has the engine's Dockerfile frontend, or the image that the user chose, make
/// the LLB. Nothing is built yet.
pub(crate) fn delegation(
    options: &Options,
    cache_imports: Vec<CacheOptionsEntry>,
    frontend_inputs: BTreeMap<String, Vec<u8>>,
) -> SolveRequest {
    let mut frontend_opt = options.delegated.clone();
    let frontend = match &options.asked.dockerfile_frontend {
        None => "dockerfile.v0",
        Some(image) => {
            frontend_opt.insert("source".to_owned(), image.clone());
            frontend_opt.insert("cmdline".to_owned(), image.clone());
            "gateway.v0"
        }
    };
    SolveRequest {
        frontend: frontend.to_owned(),
        frontend_opt,
        frontend_inputs,
        cache_imports,
        ..SolveRequest::default()
    }
}

/// What is committed, over all platforms.
#[derive(Default)]
pub(crate) struct Plan {
    /// How to splice each RUN.
    pub(crate) splices: BTreeMap<Digest, Splice>,
    /// The images to end, by their places among the final ones.
    pub(crate) subjects: BTreeMap<usize, Subject>,
    /// Where steps may have been missed.
    warnings: Vec<Warning>,
    /// The images with such RUNs.
    targets: Vec<Target>,
    /// What people say of findings; there is something wherever there is a subject.
    decisions: Option<Decisions>,
}

impl Plan {
    /// A finding with the severity that was decided for it; none if its rule is off.
    pub(crate) fn weigh(&self, found: Found) -> Option<Found> {
        let finding = self.weigh_alone(found.finding)?;
        Some(Found { finding, ..found })
    }

    /// The same of a finding whose instruction is not known yet.
    pub(crate) fn weigh_alone(&self, finding: Finding) -> Option<Finding> {
        match &self.decisions {
            Some(decisions) => decisions.weigh(finding),
            None => Some(finding),
        }
    }
}

/// An image to end.
pub(crate) struct Subject {
    /// Only where there are several.
    pub(crate) platform: Option<String>,
    pub(crate) decision: Decision,
    /// About its configuration.
    pub(crate) configured: Vec<Found>,
}

fn plan(
    result: &SolveResult,
    options: &Options,
    ids: Option<&Ledger>,
    config_file: &Result<Option<Vec<u8>>, BuildError>,
) -> Result<Plan, BuildError> {
    let mut plan = Plan::default();
    let mut beside = BTreeMap::new();
    for (place, (platform, reference)) in final_refs(result).into_iter().enumerate() {
        let Some(definition) = definition(reference)? else {
            continue;
        };
        let lineage = definition.lineage();
        let config = result.metadata.get(&config_key(platform));
        let decision =
            decide(options.asked.bootable, config.map(Vec::as_slice), &lineage).map_err(broken)?;
        let decision = decision.given(|| tool::missing(&definition, &lineage))?;
        if decision == Decision::LeaveAlone {
            continue;
        }
        let decisions = if let Some(decisions) = plan.decisions.take() {
            decisions
        } else {
            let location = containerfile(&definition, &lineage);
            let file = match config_file {
                Ok(file) => file.as_deref(),
                Err(error) => {
                    plan.warnings.push(undecided(&lineage, error));
                    None
                }
            };
            Decisions::of(options.target(), location, file)?
        };
        let image = config.map(|config| configured(&decisions, config, &lineage));
        let configured = image.unwrap_or_default();
        plan.decisions = Some(decisions);
        if decision == Decision::Commit {
            let missed = lineage.stopped.as_ref().map(missed_steps);
            plan.warnings.extend(missed);
        }
        let splices = splices::of_image(&definition, &lineage, decision, options, ids)?;
        plan.splices.extend(splices.own);
        // Of two images, one may begin with what is a stage beside the other.
        beside.extend(splices.beside);
        plan.targets.extend(target(platform, &definition, &lineage));
        // A Dockerfile frontend that is osderive too has checked the image already.
        let is_done = splices.is_wrapped && options.may_delegate_to_osderive();
        if !is_done && (decision == Decision::Commit || check::ends(&lineage).is_some()) {
            let platform = platform.map(str::to_owned);
            let subject = Subject {
                platform,
                decision,
                configured,
            };
            plan.subjects.insert(place, subject);
        }
    }
    for (digest, splice) in beside {
        plan.splices.entry(digest).or_insert(splice);
    }
    Ok(plan)
}

/// The Containerfile, at some op of the image.
pub(crate) fn containerfile(definition: &Definition, lineage: &Lineage) -> Option<SourceLocation> {
    let steps = lineage.steps.iter().rev();
    let mut located = steps.filter_map(|step| definition.source_location(&step.digest));
    located.next()
}

/// What is wrong with the configuration of an image, which is known before it is built.
pub(crate) fn configured(decisions: &Decisions, config: &[u8], lineage: &Lineage) -> Vec<Found> {
    let Ok(config) = serde_json::from_slice::<ImageConfig>(config) else {
        return Vec::new();
    };
    // What is copied whole brings none of its configuration.
    let has_base = lineage.base != Base::Scratch && !lineage.is_flattened;
    let findings = unbuilt::of_config(&decisions.lineage(), &config, has_base);
    let findings = findings.into_iter();
    let findings = findings.filter_map(|finding| decisions.weigh(finding));
    let end = end(lineage);
    findings
        .map(|finding| decisions.located(finding, end))
        .collect()
}

/// What findings about no other op are about.
pub(crate) fn end(lineage: &Lineage) -> Digest {
    lineage
        .steps
        .last()
        .map_or_else(|| Digest::of(&[]), |step| step.digest)
}

/// A build without its decisions only tells more.
fn undecided(lineage: &Lineage, error: &BuildError) -> Warning {
    Warning {
        digest: end(lineage),
        short: format!("osderive: osderive.toml could not be read: {error}"),
        detail: Vec::new(),
        location: None,
    }
}

/// The image as it is compared with the previous one; none where nothing runs.
fn target(key: Option<&str>, definition: &Definition, lineage: &Lineage) -> Option<Target> {
    let digest = lineage.runs.last()?;
    Some(Target {
        key: key.map(ToOwned::to_owned),
        platform: definition.run(digest)?.platform,
        digest: *digest,
    })
}

/// Steps below an operation that this version cannot follow are not committed, which must not go
/// unnoticed.
fn missed_steps(stopped: &Stopped) -> Warning {
    Warning {
        digest: stopped.edge.digest,
        short: format!(
            "osderive: steps before this could not be found and are not committed: {stopped}"
        ),
        detail: vec![
            "Build the lower image on its own, with osderive, and derive from that".to_owned(),
        ],
        location: None,
    }
}

/// The refs of the final images and the platform of each, which a single-platform result omits.
pub(crate) fn final_refs(result: &SolveResult) -> Vec<(Option<&str>, &Ref)> {
    match &result.refs {
        Some(Refs::Single(single)) => vec![(None, single)],
        Some(Refs::Many(many)) => {
            let refs = many.refs.iter();
            refs.map(|(platform, reference)| (Some(platform.as_str()), reference))
                .collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn config_key(platform: Option<&str>) -> String {
    match platform {
        None => IMAGE_CONFIG.to_owned(),
        Some(platform) => format!("{IMAGE_CONFIG}/{platform}"),
    }
}

/// The definition behind a ref; none for an empty image.
pub(crate) fn definition(reference: &Ref) -> Result<Option<Definition>, BuildError> {
    if reference.id.is_empty() {
        return Ok(None);
    }
    let bytes = reference.def.as_deref().ok_or_else(|| {
        BuildError::new(
            "osderive: the engine does not hand out what the Dockerfile frontend made; osderive needs Docker 24 or BuildKit 0.11, or newer",
        )
    })?;
    let definition = Definition::parse(bytes).map_err(|error: LlbError| {
        BuildError::new(format!(
            "osderive: cannot read the build that the Dockerfile frontend made: {error}"
        ))
    })?;
    Ok(Some(definition))
}

/// The one ref that a solved definition gives.
pub(crate) fn single_ref(result: SolveResult) -> Result<Ref, BuildError> {
    match result.refs {
        Some(Refs::Single(reference)) => Ok(reference),
        Some(Refs::SingleDeprecated(id)) => Ok(Ref { id, def: None }),
        _ => Err(BuildError::new(
            "osderive: the engine solved one definition and did not return one result",
        )),
    }
}

pub(crate) fn at_step(error: BuildError, definition: &Definition, digest: &Digest) -> BuildError {
    match definition.source_location(digest) {
        Some(location) => error.at(SourceSnippet::from(&location)),
        None => error,
    }
}

/// An error that no input of the user should be able to cause.
pub(crate) fn broken(error: impl std::fmt::Display) -> BuildError {
    BuildError::new(format!("osderive: {error}"))
}
