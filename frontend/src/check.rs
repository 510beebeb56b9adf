//! The check of final images: one look of the tool at the whole root, and one at the root of the
//! base, in execs of our own that belong to no image. Both come from the cache in a rebuild, the
//! base's in all builds on it.

use std::collections::BTreeMap;

use osderive_lints::{CHECK_FILE, CheckReport, Finding, MAX_REPORT_BYTES, baseline};
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, Gateway, SolveRequest};
use osderive_proto::llb::{Base, Definition, Edge, Lineage, Probe};
use tokio::task::{JoinHandle, JoinSet};

use crate::build::single_ref;
use crate::{tool, wrap};

/// What a look at a root found, or why there was none.
pub(crate) type Look = Result<Vec<Finding>, String>;

/// What an image has.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// That its base has not.
    pub(crate) own: Vec<Finding>,
    /// That its base has too.
    pub(crate) of_base: Vec<Finding>,
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
    /// Begins the checks of those images for which `wanted` says their platform, if they have one;
    /// they then go on beside the build.
    ///
    /// # Errors
    /// When our image has no tool for the engine's own platform, or a definition has no such states,
    /// which would be a defect.
    pub(crate) fn begin_all<'p>(
        &self,
        checks: &mut Checks,
        images: &BTreeMap<usize, Definition>,
        wanted: impl Fn(usize) -> Option<Option<&'p str>>,
    ) -> Result<(), BuildError> {
        for (place, image) in images {
            if let Some(platform) = wanted(*place) {
                self.begin(checks, *place, platform, image)?;
            }
        }
        Ok(())
    }

    fn begin(
        &self,
        checks: &mut Checks,
        place: usize,
        platform: Option<&str>,
        image: &Definition,
    ) -> Result<(), BuildError> {
        let lineage = image.lineage();
        let base = base(&lineage);
        let Some(root) = lineage.steps.last().filter(|root| Some(**root) != base) else {
            return Ok(());
        };
        let root = self.look(image, root, &title("the image", platform))?;
        let base = match base {
            Some(base) => Some(self.look(image, &base, &title("the base image", platform))?),
            None => None,
        };
        checks.0.spawn(async move {
            let findings = compare(root, base).await;
            (place, findings)
        });
        Ok(())
    }

    fn look(
        &self,
        image: &Definition,
        root: &Edge,
        title: &str,
    ) -> Result<JoinHandle<Look>, BuildError> {
        let probe = Probe {
            args: wrap::CHECK.map(str::to_owned).into(),
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
        Ok(tokio::spawn(async move {
            let report = read(&gateway, request).await;
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

async fn read(gateway: &Gateway, request: SolveRequest) -> Result<Vec<Finding>, BuildError> {
    let reference = gateway.solve(request).await.and_then(single_ref)?;
    let json = gateway
        .read_file(&reference.id, CHECK_FILE, MAX_REPORT_BYTES + 1)
        .await?;
    let report = CheckReport::from_json(&json);
    Ok(report
        .map_err(|error| BuildError::new(error.to_string()))?
        .findings)
}

async fn compare(
    root: JoinHandle<Look>,
    base: Option<JoinHandle<Look>>,
) -> Result<Compared, String> {
    let of_base = match base {
        Some(base) => finished(base).await?,
        None => Vec::new(),
    };
    let findings = finished(root).await?;
    let is_own = |finding: &Finding| finding.origin.as_ref().is_none_or(|origin| !origin.base);
    let marked = baseline::mark(findings, &of_base).into_iter();
    let (own, of_base) = marked.partition(is_own);
    Ok(Compared { own, of_base })
}

async fn finished(look: JoinHandle<Look>) -> Look {
    let ended = look.await;
    ended.unwrap_or_else(|error| Err(error.to_string()))
}
