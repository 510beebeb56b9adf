//! What is committed of a build, and how: planned from its LLB, before anything runs.

use std::collections::BTreeMap;

use osderive_lints::Finding;
use osderive_lints::model::ledger::Ledger;
use osderive_proto::gateway::{BuildError, SolveResult, Warning};
use osderive_proto::llb::{Digest, Lineage, Splice, Stopped};

use crate::diagnostics::decisions::Decisions;
use crate::diagnostics::found::Found;
use crate::diagnostics::image_config;
use crate::diagnostics::previous::Target;
use crate::errors::broken;
use crate::facts::bootable::{Decision, decide};
use crate::facts::lineage;
use crate::facts::location::containerfile;
use crate::facts::result::{config_key, definition, final_refs};
use crate::options::environment::Options;
use crate::splice::runs::{self, missing_tool};

/// What is committed, over all platforms.
#[derive(Default)]
pub(crate) struct CommitPlan {
    /// How to splice each RUN.
    pub(crate) splices: BTreeMap<Digest, Splice>,
    /// The images to end, by their places among the final ones.
    pub(crate) subjects: BTreeMap<usize, Subject>,
    /// Where steps may have been missed.
    pub(crate) warnings: Vec<Warning>,
    /// The images with such RUNs.
    pub(crate) targets: Vec<Target>,
    /// What people say of findings; there is something wherever there is a subject.
    pub(crate) decisions: Option<Decisions>,
}

impl CommitPlan {
    /// Plans a build from the LLB of its images, the id ledger, and `osderive.toml`.
    ///
    /// # Errors
    /// When something in these cannot be understood, or our image has no tool for an image that is to be committed.
    pub(crate) fn of(
        result: &SolveResult,
        options: &Options,
        ids: Option<&Ledger>,
        config_file: &Result<Option<Vec<u8>>, BuildError>,
    ) -> Result<Self, BuildError> {
        let mut plan = Self::default();
        let mut beside = BTreeMap::new();
        for (place, (platform, reference)) in final_refs(result).into_iter().enumerate() {
            let Some(definition) = definition(reference)? else {
                continue;
            };
            let lineage = definition.lineage();
            let config = result.metadata.get(&config_key(platform));
            let decision = decide(options.asked.bootable, config.map(Vec::as_slice), &lineage)
                .map_err(broken)?;
            let decision = decision.given(|| missing_tool(&definition, &lineage))?;
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
            let image = config.map(|config| image_config::findings(&decisions, config, &lineage));
            let configured = image.unwrap_or_default();
            plan.decisions = Some(decisions);
            if decision == Decision::Commit {
                let missed = lineage.stopped.as_ref().map(missed_steps);
                plan.warnings.extend(missed);
            }
            let splices = runs::of_image(&definition, &lineage, decision, options, ids)?;
            plan.splices.extend(splices.own);
            // Of two images, one may begin with what is a stage beside the other.
            beside.extend(splices.beside);
            plan.targets
                .extend(Target::of(platform, &definition, &lineage));
            // A Dockerfile frontend that is osderive too has checked the image already.
            let is_done = splices.is_wrapped && options.may_delegate_to_osderive();
            if !is_done && (decision == Decision::Commit || lineage::ends(&lineage).is_some()) {
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

/// A build without its decisions only tells more.
fn undecided(lineage: &Lineage, error: &BuildError) -> Warning {
    Warning {
        digest: lineage::end(lineage),
        short: format!("osderive: osderive.toml could not be read: {error}"),
        detail: Vec::new(),
        url: None,
        location: None,
    }
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
        url: None,
        location: None,
    }
}
