//! A planned build: the spliced definitions are solved, each image is ended, and attestations follow them.

use std::collections::BTreeMap;

use osderive_lints::{Outcome, StepRecord, history};
use osderive_proto::gateway::{
    BuildError, CacheOptionsEntry, Gateway, Ref, SolveRequest, SolveResult,
};
use osderive_proto::llb::{Definition, Edge};
use tokio::task::JoinSet;

use crate::diagnostics::evidence::Trace;
use crate::errors::broken;
use crate::facts::bootable::Decision;
use crate::facts::result::{config_key, definition, single_ref};
use crate::options::environment::Options;
use crate::solve::findings::Solved;
use crate::solve::finish::{Ends, Finished, Finisher, Unfinished};
use crate::solve::reports::{self, Pending};
use crate::solve::unfold::Unfolder;
use crate::splice::plan::CommitPlan;
use crate::splice::tool;

/// Splices the tool into every definition of `result`, those of attestations too: an SBOM scanner
/// mounts the final root, and with the old definition every RUN would run twice. The final images
/// are solved to the end, committed and checked.
///
/// # Errors
/// When a step or a commit fails, or the session broke.
pub(crate) async fn solve(
    gateway: &Gateway,
    options: &Options,
    result: &mut SolveResult,
    plan: &CommitPlan,
    caches: &[CacheOptionsEntry],
) -> Result<Solved, BuildError> {
    let engine = Engine {
        gateway,
        options,
        plan,
        tool: tool::own_image()?,
        caches,
    };
    let refs: Vec<&mut Ref> = result.refs_mut().collect();
    let mut images = engine.rewrite(&refs, |place| plan.subjects.contains_key(&place))?;
    let spliced: BTreeMap<usize, Option<Edge>> =
        (images.iter().map(|(place, image)| (*place, image.output()))).collect();
    let unfolded = engine.unfold(&mut images).await?;
    engine.solve(refs, &images, Evaluate::Now).await?;
    // A step that came from an imported cache came without its report, which is no part of the
    // image; reading it would run the step again.
    let (trace, has_reports) = match caches {
        [] => (Trace::Paths, true),
        _ => (Trace::Nothing, false),
    };
    let with_reports = images.iter().filter(|_| has_reports);
    let mut pending: BTreeMap<usize, Vec<Pending>> =
        (with_reports.map(|(place, image)| (*place, reports::pending(image)))).collect();
    // Not before the steps have run: an engine that is asked for a step's report beside the step may not tell that
    // it was cached.
    let mut ends = engine.end(&images, &pending).await?;
    for (place, subject) in &plan.subjects {
        let followed_by = unfolded.get(place).map_or(&[][..], Vec::as_slice);
        let root = ends.get(place).and_then(|end| end.root.as_ref());
        if let (Some((root, _)), Some(reference)) = (root, result.refs_mut().nth(*place)) {
            *reference = root.clone();
        }
        let key = config_key(subject.platform.as_deref());
        if let Some(config) = result.metadata.get_mut(&key)
            && (root.is_some() || !followed_by.is_empty())
        {
            *config = history::with_layers(config, followed_by, root.is_some()).map_err(broken)?;
        }
    }
    let became = images.iter().filter_map(|(place, image)| {
        let root = ends.get(place).and_then(|end| end.root.as_ref());
        Some((spliced[place]?, root.map_or(image, |(_, root)| root)))
    });
    engine
        .solve_attestations(result, &images, &became.collect::<Vec<_>>())
        .await?;
    let mut all = Solved {
        found: Vec::new(),
        steps: Vec::new(),
        of_base: Some(Vec::new()),
    };
    for (place, image) in &images {
        let pending = pending.remove(place).unwrap_or_default();
        let end = ends.remove(place);
        all.add(gateway, plan, (*place, image), pending, end, trace)
            .await?;
    }
    Ok(all)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Evaluate {
    Now,
    Later,
}

/// The engine, and what it is asked to build.
struct Engine<'a> {
    gateway: &'a Gateway,
    options: &'a Options,
    plan: &'a CommitPlan,
    tool: Definition,
    caches: &'a [CacheOptionsEntry],
}

impl Engine<'_> {
    /// Has COPY go on in software of earlier RUNs; answers with how many layers come after each exec that is added, by
    /// the image's place.
    async fn unfold(
        &self,
        images: &mut BTreeMap<usize, Definition>,
    ) -> Result<BTreeMap<usize, Vec<usize>>, BuildError> {
        let unfolder = Unfolder {
            gateway: self.gateway,
            tool: &self.tool,
            caches: self.caches,
        };
        let mut followed_by = BTreeMap::new();
        for (place, subject) in &self.plan.subjects {
            if let Some(image) = images.get_mut(place) {
                let platform = subject.platform.as_deref();
                let with_execs = unfolder.unfold(image, platform).await?;
                *image = with_execs.image;
                followed_by.insert(*place, with_execs.followed_by);
            }
        }
        Ok(followed_by)
    }

    /// Ends the images, side by side.
    async fn end(
        &self,
        images: &BTreeMap<usize, Definition>,
        pending: &BTreeMap<usize, Vec<Pending>>,
    ) -> Result<BTreeMap<usize, Finished>, BuildError> {
        let finisher = Finisher {
            gateway: self.gateway,
            options: self.options,
            tool: &self.tool,
            caches: self.caches,
        };
        let mut ends = Ends::default();
        for (place, subject) in &self.plan.subjects {
            let Some(image) = images.get(place) else {
                continue;
            };
            let pending = pending.get(place).map_or(&[][..], Vec::as_slice);
            if subject.decision == Decision::Detect && self.is_ordinary(image, pending).await? {
                continue;
            }
            let reports = pending.iter();
            let unfinished = Unfinished {
                place: *place,
                image,
                decision: subject.decision,
                platform: subject.platform.as_deref(),
                reports: reports.map(|pending| pending.report).collect(),
            };
            finisher.begin(&mut ends, unfinished)?;
        }
        Ok(ends.wait().await?.into_iter().collect())
    }

    /// Whether the first step of an image has seen that its root is no bootable one.
    async fn is_ordinary(
        &self,
        image: &Definition,
        pending: &[Pending],
    ) -> Result<bool, BuildError> {
        let Some(first) = pending.first() else {
            return Ok(false);
        };
        let report = reports::read_one(self.gateway, image, &first.report).await?;
        Ok(matches!(report, StepRecord::Report(report) if report.outcome == Outcome::NotBootable))
    }

    /// The spliced definition of each ref that has something to splice, by its place, and those of
    /// the others that are wanted.
    fn rewrite(
        &self,
        refs: &[&mut Ref],
        is_wanted: impl Fn(usize) -> bool,
    ) -> Result<BTreeMap<usize, Definition>, BuildError> {
        let mut definitions = BTreeMap::new();
        for (place, reference) in refs.iter().enumerate() {
            let Some(definition) = definition(reference)? else {
                continue;
            };
            let rewritten = definition
                .rewrite(&self.plan.splices, Some(&self.tool))
                .map_err(broken)?;
            if !rewritten.digests.is_empty() || is_wanted(place) {
                definitions.insert(place, rewritten.definition);
            }
        }
        Ok(definitions)
    }

    /// Those of the attestations, which nobody has to wait for, after those of the `images`. What they are about are
    /// the images as they became in the end, each here with the state that it was when the tool was spliced in.
    async fn solve_attestations(
        &self,
        result: &mut SolveResult,
        images: &BTreeMap<usize, Definition>,
        ends: &[(Edge, &Definition)],
    ) -> Result<(), BuildError> {
        let attestations = result.attestations.values_mut();
        let attested = attestations
            .flat_map(|platform| &mut platform.attestation)
            .filter_map(|attestation| attestation.r#ref.as_mut());
        let refs: Vec<&mut Ref> = attested.collect();
        let mut scans = self.rewrite(&refs, |_| !ends.is_empty())?;
        for scan in scans.values_mut() {
            for (spliced, end) in ends
                .iter()
                .filter(|(spliced, end)| end.output() != Some(*spliced))
            {
                *scan = scan.graft(*spliced, end, |_| true).map_err(broken)?;
            }
            *scan = scan.after(images.values()).map_err(broken)?;
        }
        self.solve(refs, &scans, Evaluate::Later).await
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
