//! One build, start to end: have the Dockerfile frontend make the LLB, decide what is committed,
//! splice the tool in, solve, and turn the steps' reports into warnings.

use std::collections::BTreeMap;

use osderive_proto::gateway::{
    BuildError, CacheOptionsEntry, Gateway, Ref, Refs, SolveRequest, SolveResult, SourceSnippet,
    Warning,
};
use osderive_proto::llb::{Definition, Digest, LlbError, Splice, Stopped};
use tokio::task::JoinSet;

use crate::bootable::{Decision, decide};
use crate::options::{OptionError, Options};
use crate::reports::Reports;
use crate::{tool, wrap};

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
    let request = delegation(&options, caches.clone(), gateway.inputs().await?);
    let mut result = gateway.solve(request).await?;
    if options.is_subrequest() {
        return Ok(result);
    }
    let plan = plan(&result, &options)?;
    for warning in plan.warnings {
        gateway.warn(warning).await?;
    }
    if plan.splices.is_empty() {
        return Ok(result);
    }
    solve_spliced(&gateway, &mut result, &plan.splices, &caches)
        .await
        .map_err(|error| error.map_message(wrap::without_tool))?;
    Ok(result)
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
fn delegation(
    options: &Options,
    cache_imports: Vec<CacheOptionsEntry>,
    frontend_inputs: BTreeMap<String, Vec<u8>>,
) -> SolveRequest {
    let mut frontend_opt = options.delegated.clone();
    let frontend = match &options.dockerfile_frontend {
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
struct Plan {
    /// How to splice each RUN.
    splices: BTreeMap<Digest, Splice>,
    /// Where steps may have been missed.
    warnings: Vec<Warning>,
}

fn plan(result: &SolveResult, options: &Options) -> Result<Plan, BuildError> {
    let mut plan = Plan::default();
    for (platform, reference) in final_refs(result) {
        let Some(definition) = definition(reference)? else {
            continue;
        };
        let lineage = definition.lineage();
        let config = result.metadata.get(&config_key(platform));
        let decision =
            decide(options.bootable, config.map(Vec::as_slice), &lineage.base).map_err(broken)?;
        if decision == Decision::LeaveAlone {
            continue;
        }
        if decision == Decision::Commit {
            let missed = lineage.stopped.as_ref().map(missed_steps);
            plan.warnings.extend(missed);
        }
        let runs = lineage.runs.iter().filter_map(|run| definition.run(run));
        for run in runs.filter(|run| !wrap::is_wrapped(run)) {
            let splice = wrap::splice(&run, decision, options)
                .map_err(|error| at_step(error, &definition, &run.digest))?;
            plan.splices.insert(run.digest, splice);
        }
    }
    Ok(plan)
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

/// Splices the tool into every definition of `result`, those of attestations too: an SBOM scanner
/// mounts the final root, and with the old definition every RUN would run twice. The final images
/// are solved to the end and what their steps reported is shown.
async fn solve_spliced(
    gateway: &Gateway,
    result: &mut SolveResult,
    splices: &BTreeMap<Digest, Splice>,
    caches: &[CacheOptionsEntry],
) -> Result<(), BuildError> {
    let solver = Solver {
        gateway,
        splices,
        tool: tool::own_image()?,
        caches,
    };
    let refs: Vec<&mut Ref> = result.refs_mut().collect();
    let images = solver.rewrite(&refs)?;
    // A step that came from an imported cache came without its report, which is no part of the
    // image; reading it would run the step again.
    let reports = match caches {
        [] => Some(Reports::ask(gateway, images.values())?),
        _ => None,
    };
    solver.solve(refs, &images, Evaluate::Now).await?;
    let attestations = result.attestations.values_mut();
    let attested = attestations
        .flat_map(|platform| &mut platform.attestation)
        .filter_map(|attestation| attestation.r#ref.as_mut());
    let refs: Vec<&mut Ref> = attested.collect();
    let scans = solver.rewrite(&refs)?;
    solver.solve(refs, &scans, Evaluate::Later).await?;
    match reports {
        Some(reports) => reports.show(gateway).await,
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Evaluate {
    Now,
    Later,
}

struct Solver<'a> {
    gateway: &'a Gateway,
    splices: &'a BTreeMap<Digest, Splice>,
    tool: Definition,
    caches: &'a [CacheOptionsEntry],
}

impl Solver<'_> {
    /// The spliced definition of each ref that has something to splice, by its place.
    fn rewrite(&self, refs: &[&mut Ref]) -> Result<BTreeMap<usize, Definition>, BuildError> {
        let mut definitions = BTreeMap::new();
        for (place, reference) in refs.iter().enumerate() {
            let Some(definition) = definition(reference)? else {
                continue;
            };
            let rewritten = definition
                .rewrite(self.splices, Some(&self.tool))
                .map_err(broken)?;
            if !rewritten.digests.is_empty() {
                definitions.insert(place, rewritten.definition);
            }
        }
        Ok(definitions)
    }

    /// Replaces the refs in those places by what the definitions give, solved side by side.
    async fn solve(
        &self,
        mut refs: Vec<&mut Ref>,
        definitions: &BTreeMap<usize, Definition>,
        evaluate: Evaluate,
    ) -> Result<(), BuildError> {
        let mut solves = JoinSet::new();
        for (&place, definition) in definitions {
            let request = SolveRequest {
                definition: Some(definition.to_bytes()),
                cache_imports: self.caches.to_vec(),
                evaluate: evaluate == Evaluate::Now,
                ..SolveRequest::default()
            };
            let gateway = self.gateway.clone();
            solves.spawn(async move { (place, gateway.solve(request).await) });
        }
        while let Some(solved) = solves.join_next().await {
            let (place, result) = solved.map_err(broken)?;
            *refs[place] = single_ref(result?)?;
        }
        Ok(())
    }
}

/// The refs of the final images and the platform of each, which a single-platform result omits.
fn final_refs(result: &SolveResult) -> Vec<(Option<&str>, &Ref)> {
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

fn config_key(platform: Option<&str>) -> String {
    match platform {
        None => IMAGE_CONFIG.to_owned(),
        Some(platform) => format!("{IMAGE_CONFIG}/{platform}"),
    }
}

/// The definition behind a ref; none for an empty image.
fn definition(reference: &Ref) -> Result<Option<Definition>, BuildError> {
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

fn at_step(error: BuildError, definition: &Definition, digest: &Digest) -> BuildError {
    match definition.source_location(digest) {
        Some(location) => error.at(SourceSnippet::from(&location)),
        None => error,
    }
}

/// An error that no input of the user should be able to cause.
fn broken(error: impl std::fmt::Display) -> BuildError {
    BuildError::new(format!("osderive: {error}"))
}
