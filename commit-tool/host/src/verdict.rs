//! What is made of all that was found, as the build frontend makes it: findings with the lines of the Containerfile,
//! after what people have decided about them, and those of the base image apart.

use osderive_lints::evidence::{is_still_there, put, without};
use osderive_lints::output::Report;
use osderive_lints::policy::{Instruction, Policy};
use osderive_lints::rules::{Need, RULES, size_deleted_later};
use osderive_lints::{Change, Finding, Origin, Severity, StepReport, baseline};

use crate::layers::Layers;
use crate::reports::Reported;

/// Judges a build. `runs` are the RUNs of the image; `layers` are asked for the instructions that findings without one
/// are of.
pub(crate) fn judge(
    subject: String,
    runs: &[Instruction],
    reported: &Reported,
    policy: Policy,
    layers: &dyn Fn() -> Option<Layers>,
) -> Report {
    let end = &reported.end;
    let check = end.check.as_ref().map(|check| check.findings.clone());
    let of_base = end.base.as_ref().map(|base| base.findings.as_slice());
    let check = check.map(|found| baseline::mark(found, of_base.unwrap_or_default()));
    let mut findings = Vec::new();
    let mut left = Vec::new();
    for (run, report) in runs.iter().zip(&reported.steps) {
        let Some(report) = report else { continue };
        left.push((i32::try_from(run.lines.0).ok(), report.left_bytes));
        findings.extend(of_step(run, report, check.as_deref()));
    }
    let known: Vec<Finding> = findings.clone();
    let mut of_end = check.unwrap_or_default();
    let more = end.commit.findings.iter().cloned();
    let more: Vec<Finding> = more
        .filter_map(|finding| without(finding, &of_end))
        .collect();
    of_end.extend(more);
    let new = of_end
        .into_iter()
        .filter_map(|finding| without(finding, &known));
    findings.extend(brought(new.collect(), &end.commit, layers));
    findings.extend(size_deleted_later::of_build(&left));

    let selection = policy.selection(&std::collections::BTreeSet::new());
    findings.retain(|finding| {
        let mut of_rule = RULES.iter().filter(|rule| rule.name == finding.rule);
        of_rule.all(|rule| selection.takes(rule))
    });
    // The look within the build has neither the image's configuration nor its layers.
    let unasked = RULES
        .iter()
        .filter(|rule| !matches!(rule.needs, Need::Tree));
    let unasked: Vec<&str> = unasked.map(|rule| rule.name).collect();
    let settled = policy.apply(findings, &selection, &unasked);
    Report {
        subject,
        findings: settled.findings,
        suppressed: settled.suppressed,
        unasked: Vec::new(),
        selection,
        has_baseline: end.base.is_some(),
        containerfile: policy.containerfile,
    }
}

/// Findings with the instructions that brought their paths, as far as the layers tell.
fn brought(
    mut findings: Vec<Finding>,
    commit: &StepReport,
    layers: &dyn Fn() -> Option<Layers>,
) -> Vec<Finding> {
    let is_open = |finding: &Finding| finding.origin.is_none() && !finding.paths.is_empty();
    if findings.iter().any(is_open)
        && let Some(layers) = layers()
    {
        let moved = commit
            .changed
            .iter()
            .filter(|file| file.change == Change::Moved);
        let moved: Vec<(String, String)> = moved
            .filter_map(|file| Some((file.path.clone(), file.from.clone()?)))
            .collect();
        for finding in findings.iter_mut().filter(|finding| is_open(finding)) {
            let mut paths = finding.paths.iter().map(|path| put(&moved, path));
            let found = paths.find_map(|path| layers.brought(&path));
            finding.origin = found.map(origin);
        }
    }
    findings
}

fn origin(instruction: &Instruction) -> Origin {
    Origin {
        instruction: instruction.text.clone(),
        lines: Some(instruction.lines),
        ..Origin::default()
    }
}

/// What a RUN's own report tells, unless a later RUN has mended it.
fn of_step(run: &Instruction, report: &StepReport, check: Option<&[Finding]>) -> Vec<Finding> {
    let findings = report.findings.iter().filter(|finding| {
        finding.severity < Severity::Error
            || check.is_none_or(|check| is_still_there(finding, check) != Some(false))
    });
    findings
        .map(|finding| Finding {
            origin: Some(origin(run)),
            ..finding.clone()
        })
        .collect()
}
