//! What one image's steps and check have found together: each thing once, with the instruction that
//! brought it. What the base image has is never part of it.

use osderive_lints::evidence::{is_still_there, put, without};
use osderive_lints::{Finding, Origin, Severity};
use osderive_proto::gateway::Gateway;
use osderive_proto::llb::{Definition, Digest};

use crate::diagnostics::found::{Found, MAX_PATHS};
use crate::diagnostics::provenance::Provenance;
use crate::facts::location::lines;

/// Findings of one image's check whose instructions are looked for; the others have no line.
const MAX_TRACED: usize = 20;

/// What one final image's steps and check have found.
pub(crate) struct Evidence<'a> {
    pub(crate) image: &'a Definition,
    /// Of the steps, in the order of the Containerfile.
    pub(crate) steps: Vec<Found>,
    /// Of the check and the commit at the end; none where there was none.
    pub(crate) check: Option<Vec<Finding>>,
    /// What that commit moved: where it is now, and where the instructions put it.
    pub(crate) moved: Vec<(String, String)>,
}

/// Whether states between the base and the end may be asked about: with an imported cache that could
/// run steps again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    Paths,
    Nothing,
}

impl Evidence<'_> {
    /// All findings, each once and with the instruction that brought it.
    pub(crate) async fn weigh(self, gateway: &Gateway, trace: Trace) -> Vec<Found> {
        let mut provenance = Provenance::of(gateway, self.image);
        let mut found = Vec::new();
        for step in self.steps {
            found.extend(still_there(step, self.check.as_deref(), &mut provenance).await);
        }
        let known: Vec<Finding> = found.iter().map(|found| found.finding.clone()).collect();
        let check = self.check.unwrap_or_default();
        let new = check
            .into_iter()
            .filter_map(|finding| without(finding, &known));
        let Some(end) = self.image.output() else {
            return found;
        };
        for (number, mut finding) in new.enumerate() {
            let traced = trace == Trace::Paths && number < MAX_TRACED;
            let paths = if traced {
                finding.paths.as_slice()
            } else {
                &[]
            };
            let paths: Vec<String> = paths.iter().map(|path| put(&self.moved, path)).collect();
            let mut brought = brought(&mut provenance, &paths).await.into_iter();
            let first = brought.next();
            let location = |digest| self.image.source_location(&digest);
            finding.related = brought
                .filter_map(|digest| lines(&location(digest)?))
                .map(|lines| Origin {
                    lines: Some(lines),
                    ..Origin::default()
                })
                .collect();
            found.push(Found {
                finding,
                digest: first.unwrap_or(end.digest),
                location: first.and_then(location),
            });
        }
        found.sort_by_key(|found| found.line().unwrap_or(i32::MAX));
        found
    }
}

/// The instructions that brought the first paths, as far as the base does not have them as they are. Without an
/// answer of the engine a finding has no line.
async fn brought(provenance: &mut Provenance<'_>, paths: &[String]) -> Vec<Digest> {
    let mut all = Vec::new();
    for path in paths.iter().take(MAX_PATHS) {
        let digest = provenance.brought(path).await.unwrap_or_default();
        all.extend(digest.filter(|digest| !all.contains(digest)));
    }
    all
}

/// A step's finding, unless the image as it ended does not have it any more: what one instruction
/// breaks, a later one may mend. What only a step can see weighs less once its path has changed.
async fn still_there(
    mut step: Found,
    check: Option<&[Finding]>,
    provenance: &mut Provenance<'_>,
) -> Option<Found> {
    if step.finding.severity < Severity::Error {
        return Some(step);
    }
    if let Some(is_there) = check.and_then(|check| is_still_there(&step.finding, check)) {
        return is_there.then_some(step);
    }
    if let Some(path) = step.finding.paths.first() {
        let changed = provenance.changed_after(&step.digest, path).await;
        if changed.unwrap_or_default() {
            step.finding.severity = Severity::Warning;
        }
    }
    Some(step)
}
