//! What was found in images that are built: all that steps, ends and checks tell is brought together.

use osderive_lints::evidence::without;
use osderive_lints::rules::{directory_metadata, size_deleted_later};
use osderive_lints::{Change, Finding, Outcome};
use osderive_proto::gateway::{BuildError, Gateway, Warning};
use osderive_proto::llb::{Definition, Digest};

use crate::diagnostics::evidence::{Evidence, Trace};
use crate::diagnostics::found::Found;
use crate::diagnostics::provenance::Provenance;
use crate::diagnostics::step::Step;
use crate::facts::bootable::Decision;
use crate::solve::finish::{Check, Finished};
use crate::solve::reports::{Pending, Reported, Suspects};
use crate::splice::plan::CommitPlan;

/// Directories of a step that the engine is asked about, a millisecond each.
const MAX_SUSPECTS: usize = 20;

/// What was found in images that are built.
pub(crate) struct Solved {
    pub(crate) found: Vec<Found>,
    pub(crate) steps: Vec<Step>,
    /// What the bases have too; none where something could not be looked at.
    pub(crate) of_base: Option<Vec<Finding>>,
}

impl Solved {
    /// Adds what was found in one image.
    pub(crate) async fn add(
        &mut self,
        gateway: &Gateway,
        plan: &CommitPlan,
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
        // What is copied whole is in one layer.
        let of_layers = image.lineage().of_layers();
        let mut suspects = reported.suspects;
        suspects.retain(|suspect| of_layers.contains(&suspect.step.digest));
        if trace == Trace::Paths && !suspects.is_empty() {
            own.extend(lost_metadata(gateway, image, &suspects).await);
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
    let mut provenance = Provenance::of(gateway, image);
    let mut found = Vec::new();
    for Suspects { step, directories } in suspects {
        let asked = &directories[..directories.len().min(MAX_SUSPECTS)];
        let changed = provenance.changed_metadata(&step.digest, asked).await;
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
        url: None,
        location: None,
    }
}
