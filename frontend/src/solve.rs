//! A planned build: the spliced definitions are solved, each image is ended, and all that steps, ends and
//! checks have found is brought together.

use std::collections::BTreeMap;

use osderive_lints::evidence::without;
use osderive_lints::rules::{directory_metadata, size_deleted_later};
use osderive_lints::{Change, Finding, Gathered, Outcome, history};
use osderive_proto::gateway::{
    BuildError, CacheOptionsEntry, Gateway, Ref, SolveRequest, SolveResult, Warning,
};
use osderive_proto::llb::{Definition, Digest, Edge};
use tokio::task::JoinSet;

use crate::bootable::Decision;
use crate::build::{Plan, broken, config_key, definition, single_ref};
use crate::finish::{Check, Ends, Finished, Finisher, Unfinished};
use crate::options::Options;
use crate::origins::Origins;
use crate::reports::{self, Pending, Reported, Step, Suspects};
use crate::tool;
use crate::unfold::Unfolder;
use crate::verdict::{Evidence, Found, Trace};

/// Directories of a step that the engine is asked about, a millisecond each.
const MAX_SUSPECTS: usize = 20;

/// What was found in images that are built.
pub(crate) struct Solved {
    pub(crate) found: Vec<Found>,
    pub(crate) steps: Vec<Step>,
    /// What the bases have too; none where something could not be looked at.
    pub(crate) of_base: Option<Vec<Finding>>,
}

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
    plan: &Plan,
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

impl Solved {
    /// Adds what was found in one image.
    async fn add(
        &mut self,
        gateway: &Gateway,
        plan: &Plan,
        (place, image): (usize, &Definition),
        pending: Vec<Pending>,
        mut end: Option<Finished>,
        trace: Trace,
    ) -> Result<(), BuildError> {
        // Without an end nothing was committed, or another one of us has told it.
        let reported = match &mut end {
            Some(end) => Reported::of(pending, std::mem::take(&mut end.steps)),
            None => Reported::default(),
        };
        let is_committed = |end: &Finished| end.commit.outcome == Outcome::Committed;
        let is_bootable = end.as_ref().is_some_and(is_committed);
        if let Some(subject) = plan.subjects.get(&place)
            && (subject.decision == Decision::Commit || is_bootable)
        {
            self.found.extend(subject.configured.iter().cloned());
        }
        let mut moved = Vec::new();
        let mut check = None;
        if let Some(end) = end {
            let changed = end.commit.changed.into_iter();
            let changed = changed.filter(|file| file.change == Change::Moved);
            moved.extend(changed.filter_map(|file| Some((file.path, file.from?))));
            let of_commit = end.commit.findings;
            check = match end.check {
                Ok(Check { mut own, of_base }) => {
                    if let Some(all) = &mut self.of_base {
                        all.extend(of_base);
                    }
                    let more = of_commit.into_iter();
                    let more: Vec<_> = more.filter_map(|finding| without(finding, &own)).collect();
                    own.extend(more);
                    Some(own)
                }
                Err(reason) => {
                    gateway.warn(unchecked(image, &reason)).await?;
                    self.of_base = None;
                    None
                }
            };
            let left = reported
                .steps
                .iter()
                .map(|step| (step.line(), step.left_bytes));
            let left = size_deleted_later::of_build(&left.collect::<Vec<_>>());
            // It is worth knowing and no reason to fail.
            if let Some(finding) = left.and_then(|left| plan.weigh_alone(left)) {
                let short = format!("{}: {}", finding.rule, finding.message);
                gateway
                    .warn(of_whole(image, short, vec![finding.help]))
                    .await?;
            }
        } else {
            self.of_base = None;
        }
        let mut own = reported.found;
        if trace == Trace::Paths && !reported.suspects.is_empty() {
            own.extend(lost_metadata(gateway, image, &reported.suspects).await);
        }
        self.steps.extend(reported.steps);
        let weighed = |found| plan.weigh(found);
        let check = check.map(|check| {
            let check = check.into_iter();
            check
                .filter_map(|finding| plan.weigh_alone(finding))
                .collect()
        });
        let evidence = Evidence {
            image,
            steps: own.into_iter().filter_map(weighed).collect(),
            check,
            moved,
        };
        self.found.extend(evidence.weigh(gateway, trace).await);
        Ok(())
    }
}

/// The directories of /usr whose new mode or owner is lost. Without an answer of the engine there are none.
async fn lost_metadata(gateway: &Gateway, image: &Definition, suspects: &[Suspects]) -> Vec<Found> {
    let mut origins = Origins::of(gateway, image);
    let mut found = Vec::new();
    for Suspects { step, directories } in suspects {
        let asked = &directories[..directories.len().min(MAX_SUSPECTS)];
        let changed = origins.changed_metadata(&step.digest, asked).await;
        let finding = directory_metadata::finding(&changed.unwrap_or_default());
        found.extend(finding.map(|finding| step.found(finding)));
    }
    found
}

/// A check that could not be made is no reason to fail what was built.
fn unchecked(image: &Definition, reason: &str) -> Warning {
    let short = format!("osderive: the image could not be checked: {reason}");
    of_whole(image, short, Vec::new())
}

fn of_whole(image: &Definition, short: String, detail: Vec<String>) -> Warning {
    let output = image.output();
    Warning {
        digest: output.map_or_else(|| Digest::of(&[]), |edge| edge.digest),
        short,
        detail,
        location: None,
    }
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
    plan: &'a Plan,
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
        Ok(matches!(report, Gathered::Report(report) if report.outcome == Outcome::NotBootable))
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
