//! The check of final images: one look of the tool at the whole root, and one at the root of the
//! base, in execs of our own that belong to no image. Both come from the cache in a rebuild, the
//! base's in all builds on it.

use osderive_lints::{
    CHECK_FILE, CheckReport, Finding, Gathered, MAX_REPORT_BYTES, STEPS_FILE, StepReports, baseline,
};
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, Gateway, SolveRequest};
use osderive_proto::llb::{Base, Definition, Edge, Lineage, Probe};
use tokio::task::{JoinHandle, JoinSet};

use crate::build::single_ref;
use crate::{tool, wrap};

/// What a look at a root found.
#[derive(Debug)]
struct Look {
    findings: Vec<Finding>,
    /// The reports that it was given to read; none if they could not be gathered.
    steps: Option<Vec<Gathered>>,
}

/// What an image has.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// That its base has not.
    pub(crate) own: Vec<Finding>,
    /// That its base has too.
    pub(crate) of_base: Vec<Finding>,
    /// The reports of its steps; none if they could not be gathered.
    pub(crate) steps: Option<Vec<Gathered>>,
}

/// The checks of all final images, under way.
#[derive(Default)]
pub(crate) struct Checks(JoinSet<(usize, Result<Compared, String>)>);

/// Asks for checks.
pub(crate) struct Checker<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) tool: &'a Definition,
    pub(crate) caches: &'a [CacheOptionsEntry],
}

impl Checks {
    /// What each image has, by the image's place; waits for the execs.
    pub(crate) async fn read(self) -> Vec<(usize, Result<Compared, String>)> {
        let mut found = self.0.join_all().await;
        found.sort_by_key(|(place, _)| *place);
        found
    }
}

impl Checker<'_> {
    /// Begins the check of the image in a place, which gathers the `reports` of its steps, too; it then goes on beside
    /// all else. `platform` is only its name. Answers whether there is something to check.
    ///
    /// # Errors
    /// When our image has no tool for the engine's own platform, or a definition has no such states,
    /// which would be a defect.
    pub(crate) fn begin(
        &self,
        checks: &mut Checks,
        (place, image): (usize, &Definition),
        platform: Option<&str>,
        reports: &[Edge],
    ) -> Result<bool, BuildError> {
        let lineage = image.lineage();
        let base = base(&lineage);
        let Some(root) = lineage.steps.last().filter(|root| Some(**root) != base) else {
            return Ok(false);
        };
        let root = self.look(image, root, reports, &title("the image", platform))?;
        let base = match base {
            Some(base) => Some(self.look(image, &base, &[], &title("the base image", platform))?),
            None => None,
        };
        checks.0.spawn(async move {
            let findings = compare(root, base).await;
            (place, findings)
        });
        Ok(true)
    }

    fn look(
        &self,
        image: &Definition,
        root: &Edge,
        reports: &[Edge],
        title: &str,
    ) -> Result<JoinHandle<Result<Look, String>>, BuildError> {
        let mut args = wrap::CHECK.map(str::to_owned).to_vec();
        if !reports.is_empty() {
            args.extend(["--step-reports", wrap::STEPS_MOUNT].map(str::to_owned));
        }
        let mounted = reports.iter().enumerate();
        let probe = Probe {
            args,
            reads: mounted
                .map(|(number, report)| (*report, format!("{}/{number}", wrap::STEPS_MOUNT)))
                .collect(),
            tool_dest: wrap::TOOL_MOUNT.to_owned(),
            // The engine's own platform: it only looks, so the root may be for any.
            tool_selector: tool::folder(None)?,
            output_dest: wrap::REPORT_MOUNT.to_owned(),
            title: title.to_owned(),
        };
        let definition = image
            .probe(root, self.tool, &probe)
            .map_err(|error| BuildError::new(format!("osderive: {error}")))?;
        let request = SolveRequest {
            definition: Some(definition.to_bytes()),
            cache_imports: self.caches.to_vec(),
            ..SolveRequest::default()
        };
        let gateway = self.gateway.clone();
        let gathers = !reports.is_empty();
        Ok(tokio::spawn(async move {
            let report = read(&gateway, request, gathers).await;
            report.map_err(|error| error.to_string())
        }))
    }
}

/// The state that others answer for; none where the Containerfile made everything.
pub(crate) fn base(lineage: &Lineage) -> Option<Edge> {
    match (&lineage.base, &lineage.stopped) {
        (Base::Scratch, _) => None,
        (_, Some(stopped)) => Some(stopped.edge),
        _ => lineage.steps.first().copied(),
    }
}

fn title(what: &str, platform: Option<&str>) -> String {
    match platform {
        None => format!("[osderive] check {what}"),
        Some(platform) => format!("[{platform} osderive] check {what}"),
    }
}

async fn read(gateway: &Gateway, request: SolveRequest, gathers: bool) -> Result<Look, BuildError> {
    let reference = gateway.solve(request).await.and_then(single_ref)?;
    let file = |name| gateway.read_file(&reference.id, name, MAX_REPORT_BYTES + 1);
    let gathered = async {
        let json = if gathers {
            file(STEPS_FILE).await.ok()
        } else {
            None
        };
        Some(StepReports::from_json(&json?).ok()?.steps)
    };
    let (json, steps) = tokio::join!(file(CHECK_FILE), gathered);
    let report = CheckReport::from_json(&json?);
    let report = report.map_err(|error| BuildError::new(error.to_string()))?;
    Ok(Look {
        findings: report.findings,
        steps,
    })
}

async fn compare(
    root: JoinHandle<Result<Look, String>>,
    base: Option<JoinHandle<Result<Look, String>>>,
) -> Result<Compared, String> {
    let of_base = match base {
        Some(base) => finished(base).await?.findings,
        None => Vec::new(),
    };
    let Look { findings, steps } = finished(root).await?;
    let is_own = |finding: &Finding| finding.origin.as_ref().is_none_or(|origin| !origin.base);
    let marked = baseline::mark(findings, &of_base).into_iter();
    let (own, of_base) = marked.partition(is_own);
    Ok(Compared {
        own,
        of_base,
        steps,
    })
}

async fn finished(look: JoinHandle<Result<Look, String>>) -> Result<Look, String> {
    let ended = look.await;
    ended.unwrap_or_else(|error| Err(error.to_string()))
}
