//! What is made of all that was found: warnings with the lines of the Containerfile, and a build that
//! fails over what its author asked it to fail over. What the base image has is never part of it.

use std::collections::BTreeSet;

use osderive_lints::evidence::{is_still_there, put, without};
use osderive_lints::rules::Rule;
use osderive_lints::{Finding, Severity, escape_finding};
use osderive_proto::gateway::{BuildError, Gateway, SourceSnippet, Warning};
use osderive_proto::llb::{Definition, Digest, SourceLocation};

use crate::origins::Origins;

/// Findings of one image's check whose instructions are looked for; the others have no line.
const MAX_TRACED: usize = 20;
/// Findings that an error tells in full; the others are counted.
const MAX_TOLD: usize = 10;
/// Paths that a warning or an error names of each finding.
const MAX_PATHS: usize = 5;

/// A finding, with what brought it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    /// The op that it is about.
    pub(crate) digest: Digest,
    pub(crate) location: Option<SourceLocation>,
}

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
        let mut origins = Origins::of(gateway, self.image);
        let mut found = Vec::new();
        for step in self.steps {
            found.extend(still_there(step, self.check.as_deref(), &mut origins).await);
        }
        let known: Vec<Finding> = found.iter().map(|found| found.finding.clone()).collect();
        let check = self.check.unwrap_or_default();
        let new = check
            .into_iter()
            .filter_map(|finding| without(finding, &known));
        let Some(end) = self.image.output() else {
            return found;
        };
        for (number, finding) in new.enumerate() {
            let traced = trace == Trace::Paths && number < MAX_TRACED;
            let paths = if traced {
                finding.paths.as_slice()
            } else {
                &[]
            };
            let paths: Vec<String> = paths.iter().map(|path| put(&self.moved, path)).collect();
            let brought = brought(&mut origins, &paths).await;
            found.push(Found {
                finding,
                digest: brought.unwrap_or(end.digest),
                location: brought.and_then(|digest| self.image.source_location(&digest)),
            });
        }
        found.sort_by_key(|found| found.line().unwrap_or(i32::MAX));
        found
    }
}

/// The instruction that brought the first path that the base does not have as it is. Without an
/// answer of the engine a finding has no line.
async fn brought(origins: &mut Origins<'_>, paths: &[String]) -> Option<Digest> {
    for path in paths.iter().take(MAX_PATHS) {
        let digest = origins.brought(path).await.unwrap_or_default();
        if digest.is_some() {
            return digest;
        }
    }
    None
}

/// A step's finding, unless the image as it ended does not have it any more: what one instruction
/// breaks, a later one may mend. What only a step can see weighs less once its path has changed.
async fn still_there(
    mut step: Found,
    check: Option<&[Finding]>,
    origins: &mut Origins<'_>,
) -> Option<Found> {
    if step.finding.severity < Severity::Error {
        return Some(step);
    }
    if let Some(is_there) = check.and_then(|check| is_still_there(&step.finding, check)) {
        return is_there.then_some(step);
    }
    if let Some(path) = step.finding.paths.first() {
        let changed = origins.changed_after(&step.digest, path).await;
        if changed.unwrap_or_default() {
            step.finding.severity = Severity::Warning;
        }
    }
    Some(step)
}

impl Found {
    /// The Containerfile's line, from 1.
    fn line(&self) -> Option<i32> {
        let start = self.location.as_ref()?.ranges.first()?.start?;
        Some(start.line)
    }

    /// In one line.
    fn short(&self) -> String {
        let line = self.line();
        let line = line.map(|line| format!(" (line {line})"));
        let Finding { rule, message, .. } = &self.finding;
        format!("{rule}: {message}{}", line.unwrap_or_default())
    }

    fn warning(&self) -> Warning {
        let help = &self.finding.help;
        let mut detail: Vec<String> = help.lines().map(str::to_owned).collect();
        detail.extend(self.finding.paths.iter().take(MAX_PATHS).cloned());
        Warning {
            digest: self.digest,
            short: self.short(),
            detail,
            location: self.location.clone(),
        }
    }

    /// In several lines: rule and message, where, what happens, what to do.
    fn paragraph(&self) -> String {
        let mut lines = vec![self.short()];
        let paths = &self.finding.paths;
        lines.extend(
            paths
                .iter()
                .take(MAX_PATHS)
                .map(|path| format!("  --> {path}")),
        );
        if paths.len() > MAX_PATHS {
            lines.push(format!("  ... and {} more", paths.len() - MAX_PATHS));
        }
        if let Some(rule) = Rule::named(&self.finding.rule) {
            lines.push(format!("  = at boot: {}", rule.why()));
        }
        lines.push(format!("  = help: {}", self.finding.help));
        lines.join("\n")
    }
}

/// Shows what was found in all images, each thing once although several platforms have it.
///
/// # Errors
/// When something of the severity `fail_on` or above is among it, or the session broke.
pub(crate) async fn pronounce(
    gateway: &Gateway,
    found: Vec<Found>,
    fail_on: Option<Severity>,
) -> Result<(), BuildError> {
    let mut told = BTreeSet::new();
    let mut failing = Vec::new();
    for mut found in found {
        found.finding = escape_finding(found.finding);
        if !told.insert(found.short()) {
            continue;
        }
        if fail_on.is_some_and(|threshold| found.finding.severity >= threshold) {
            failing.push(found);
        } else if found.finding.severity >= Severity::Warning {
            gateway.warn(found.warning()).await?;
        }
    }
    match failure(&failing) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The error about findings, with the lines that they come from.
fn failure(failing: &[Found]) -> Option<BuildError> {
    if failing.is_empty() {
        return None;
    }
    let told = failing.iter().take(MAX_TOLD);
    let mut text = vec!["osderive: the image would not work on a machine as it is".to_owned()];
    text.extend(told.clone().map(Found::paragraph));
    if failing.len() > MAX_TOLD {
        text.push(format!("... and {} more", failing.len() - MAX_TOLD));
    }
    text.push(
        "to build it all the same: docker build --build-arg OSDERIVE_FAIL_ON=never, or \
         `# syntax=IMAGE --fail-on=never`; where it is wanted, write above the instruction: \
         # osderive: allow=RULE -- REASON"
            .to_owned(),
    );
    let locations = told.filter_map(|found| found.location.as_ref());
    let mut snippets: Vec<SourceSnippet> = Vec::new();
    for snippet in locations.map(SourceSnippet::from) {
        if !snippets.contains(&snippet) {
            snippets.push(snippet);
        }
    }
    let error = BuildError::new(text.join("\n"));
    Some(snippets.into_iter().fold(error, BuildError::at))
}

#[cfg(test)]
mod tests {
    use osderive_proto::pb;

    use super::*;

    fn finding(rule: &str, paths: &[&str]) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity: Severity::Error,
            message: "is wrong".to_owned(),
            help: "mend it".to_owned(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            origin: None,
        }
    }

    fn found(finding: Finding, line: i32) -> Found {
        let position = pb::Position { line, character: 0 };
        let range = pb::Range {
            start: Some(position),
            end: Some(position),
        };
        Found {
            finding,
            digest: Digest::of(b""),
            location: Some(SourceLocation {
                info: pb::SourceInfo::default(),
                ranges: vec![range],
            }),
        }
    }

    #[test]
    fn an_error_says_all_that_is_needed_to_go_on() {
        assert!(failure(&[]).is_none());
        let many: Vec<String> = (0..7).map(|number| format!("/p{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let failing = [
            found(finding("kernel-count", &many), 4),
            found(finding("unknown", &[]), 5),
        ];
        let error = failure(&failing).expect("an error").to_string();
        let why = Rule::named("kernel-count").expect("a rule").why();
        for part in [
            "\nkernel-count: is wrong (line 4)\n  --> /p0\n",
            "\n  ... and 2 more\n",
            &format!("\n  = at boot: {why}\n  = help: mend it\n"),
            "\nunknown: is wrong (line 5)\n  = help: mend it\n",
            "OSDERIVE_FAIL_ON=never",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
