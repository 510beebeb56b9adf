//! The end of an image: one exec of ours on the finished root commits what had to wait for the last
//! instruction and what COPY and ADD brought, and looks at the result. It has the base image's root at hand. Where it
//! changes nothing, the image stays as it was.

use osderive_lints::{
    BASE_MOUNT, CHECK_FILE, CheckReport, Finding, MAX_REPORT_BYTES, Outcome, REPORT_FILE,
    STEPS_FILE, StepRecord, StepReport, StepReports, baseline,
};
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, Gateway, Ref, SolveRequest};
use osderive_proto::llb::{Definition, Edge, Probe, RootAccess, Wanted};
use tokio::task::JoinSet;

use crate::errors::broken;
use crate::facts::bootable::Decision;
use crate::facts::lineage;
use crate::facts::result::single_ref;
use crate::options::environment::Options;
use crate::splice::exec;

/// Ends images.
pub(crate) struct Finisher<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) options: &'a Options,
    pub(crate) tool: &'a Definition,
    pub(crate) caches: &'a [CacheOptionsEntry],
}

/// An image whose steps have run.
pub(crate) struct Unfinished<'a> {
    /// Among the final images.
    pub(crate) place: usize,
    pub(crate) image: &'a Definition,
    pub(crate) decision: Decision,
    /// Only where there are several.
    pub(crate) platform: Option<&'a str>,
    /// The reports of its steps.
    pub(crate) reports: Vec<Edge>,
}

/// What became of an image at its end.
pub(crate) struct Finished {
    /// The root as it was committed, and how it was made; none where that changed nothing.
    pub(crate) root: Option<(Ref, Definition)>,
    /// What the commit did and could not settle.
    pub(crate) commit: StepReport,
    /// The reports that it was given to read.
    pub(crate) steps: Vec<StepRecord>,
    /// What the result has, with what its base has too apart; why not, if that is not known.
    pub(crate) check: Result<Check, String>,
}

/// What was found in a root.
#[derive(Default)]
pub(crate) struct Check {
    /// That its base has not.
    pub(crate) own: Vec<Finding>,
    /// That its base has too.
    pub(crate) of_base: Vec<Finding>,
}

/// The ends of all images, under way.
#[derive(Default)]
pub(crate) struct Ends(JoinSet<(usize, Result<Finished, BuildError>)>);

impl Ends {
    /// What became of each image, by its place; waits for the execs.
    ///
    /// # Errors
    /// When a commit fails: then the image is not what it should be.
    pub(crate) async fn wait(self) -> Result<Vec<(usize, Finished)>, BuildError> {
        let ended = self.0.join_all().await.into_iter();
        ended
            .map(|(place, finished)| Ok((place, finished?)))
            .collect()
    }
}

impl Finisher<'_> {
    /// Begins to end an image, if it has a base, or someone's root file system in which RUNs went on, and instructions
    /// upon that.
    ///
    /// # Errors
    /// When our image has no tool for the engine's own platform, or a definition has no such states, which would be
    /// a defect.
    pub(crate) fn begin(
        &self,
        ends: &mut Ends,
        unfinished: Unfinished<'_>,
    ) -> Result<(), BuildError> {
        let Unfinished {
            place,
            image,
            decision,
            platform,
            reports,
        } = unfinished;
        let Some((base, last)) = lineage::ends(&image.lineage()) else {
            return Ok(());
        };
        let probe = |args, root, what| exec::probe(args, root, exec::title(what, platform));
        let mut commit = probe(
            exec::end(decision, self.options),
            RootAccess::Write,
            "commit the image",
        )?;
        commit.reads = vec![(base, BASE_MOUNT.to_owned())];
        let definition = |root: &Edge, probe: &Probe, wanted| {
            let definition = image.probe(root, self.tool, probe, wanted);
            definition.map_err(broken)
        };
        let root = definition(&last, &commit, Wanted::Root)?;
        let report_request = self.request(&definition(&last, &commit, Wanted::Report)?);
        // Apart from the commit: an imported cache has no reports, and what the commit is made from must not differ
        // by that.
        let gather_request = if reports.is_empty() {
            None
        } else {
            let args = exec::GATHER.map(str::to_owned).to_vec();
            let mut gather = probe(args, RootAccess::Read, "gather the reports of steps")?;
            gather.reads = (reports.into_iter().enumerate())
                .map(|(number, report)| (report, format!("{}/{number}", exec::STEPS_MOUNT)))
                .collect();
            Some(self.request(&definition(&last, &gather, Wanted::Report)?))
        };
        let args = exec::CHECK.map(str::to_owned).to_vec();
        let look = probe(args, RootAccess::Read, "check the base image")?;
        let look = self.request(&definition(&base, &look, Wanted::Report)?);
        let gateway = self.gateway.clone();
        let root_request = self.request(&root);
        let is_imported = !self.caches.is_empty();
        ends.0.spawn(async move {
            let root_ref = gateway.solve(root_request);
            let others = async {
                tokio::join!(
                    Reports::read(&gateway, report_request, gather_request),
                    look_at_base(&gateway, look),
                )
            };
            // An imported cache may have the root but never the reports: asked for both at once, an engine makes
            // another root.
            let (root_ref, (reports, of_base)) = if is_imported {
                (root_ref.await, others.await)
            } else {
                tokio::join!(root_ref, others)
            };
            let finished = async {
                let root_ref = root_ref.and_then(single_ref)?;
                Ok(reports?.finished((root_ref, root), of_base))
            };
            (place, finished.await)
        });
        Ok(())
    }

    fn request(&self, definition: &Definition) -> SolveRequest {
        SolveRequest {
            definition: Some(definition.to_bytes()),
            cache_imports: self.caches.to_vec(),
            evaluate: true,
            ..SolveRequest::default()
        }
    }
}

/// What a look at the root of a base image finds. The exec belongs to no image: it comes from the cache in all builds
/// on that base.
///
/// # Errors
/// When the exec fails, or its report cannot be read.
async fn look_at_base(
    gateway: &Gateway,
    request: SolveRequest,
) -> Result<Vec<Finding>, BuildError> {
    let reference = gateway.solve(request).await.and_then(single_ref)?;
    let limit = MAX_REPORT_BYTES + 1;
    let json = gateway.read_file(&reference.id, CHECK_FILE, limit).await?;
    Ok(CheckReport::from_json(&json).map_err(broken)?.findings)
}

/// What the exec left.
struct Reports {
    commit: StepReport,
    check: Result<Vec<Finding>, String>,
    steps: Vec<StepRecord>,
}

impl Reports {
    async fn read(
        gateway: &Gateway,
        request: SolveRequest,
        gather: Option<SolveRequest>,
    ) -> Result<Self, BuildError> {
        let steps = async {
            let reference = gateway.solve(gather?).await.and_then(single_ref).ok()?;
            let json = gateway.read_file(&reference.id, STEPS_FILE, MAX_REPORT_BYTES + 1);
            Some(StepReports::from_json(&json.await.ok()?).ok()?.steps)
        };
        let of_commit = async {
            let reference = gateway.solve(request).await.and_then(single_ref)?;
            let file = |name| gateway.read_file(&reference.id, name, MAX_REPORT_BYTES + 1);
            Ok::<_, BuildError>(tokio::join!(file(REPORT_FILE), file(CHECK_FILE)))
        };
        let (steps, of_commit) = tokio::join!(steps, of_commit);
        let (commit, check) = of_commit?;
        let commit = StepReport::from_json(&commit?).map_err(broken)?;
        let check = match (commit.outcome, check) {
            (Outcome::NotBootable, _) => Ok(Vec::new()),
            (Outcome::Committed, Ok(json)) => CheckReport::from_json(&json)
                .map(|report| report.findings)
                .map_err(|error| error.to_string()),
            (Outcome::Committed, Err(error)) => Err(error.to_string()),
        };
        Ok(Self {
            commit,
            check,
            steps: steps.unwrap_or_default(),
        })
    }

    fn finished(
        self,
        root: (Ref, Definition),
        of_base: Result<Vec<Finding>, BuildError>,
    ) -> Finished {
        let of_base = of_base.map_err(|error| error.to_string());
        let check = match (self.check, of_base) {
            (Ok(found), Ok(of_base)) => Ok(compare(found, &of_base)),
            (Err(reason), _) | (_, Err(reason)) => Err(reason),
        };
        Finished {
            root: self.commit.is_changed.then_some(root),
            commit: self.commit,
            steps: self.steps,
            check,
        }
    }
}

fn compare(found: Vec<Finding>, of_base: &[Finding]) -> Check {
    let is_own = |finding: &Finding| finding.origin.as_ref().is_none_or(|origin| !origin.base);
    let marked = baseline::mark(found, of_base).into_iter();
    let (own, of_base) = marked.partition(is_own);
    Check { own, of_base }
}
