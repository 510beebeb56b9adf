//! What is made of all that was found, as the build frontend makes it: findings with the lines of the Containerfile,
//! after what people have decided about them, and those of the base image apart.

use osderive_lints::evidence::{is_still_there, without};
use osderive_lints::output::Report;
use osderive_lints::policy::{Instruction, Policy};
use osderive_lints::rules::{Need, RULES, size_deleted_later};
use osderive_lints::{Finding, Origin, Severity, StepReport, baseline};

use crate::reports::Reported;

/// Judges a build. `runs` are the RUNs of the image.
pub(crate) fn judge(
    subject: String,
    runs: &[Instruction],
    reported: &Reported,
    policy: Policy,
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
    findings.extend(
        of_end
            .into_iter()
            .filter_map(|finding| without(finding, &known)),
    );
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

/// What a RUN's own report tells, unless a later RUN has mended it.
fn of_step(run: &Instruction, report: &StepReport, check: Option<&[Finding]>) -> Vec<Finding> {
    let origin = Origin {
        instruction: run.text.clone(),
        lines: Some(run.lines),
        ..Origin::default()
    };
    let findings = report.findings.iter().filter(|finding| {
        finding.severity < Severity::Error
            || check.is_none_or(|check| is_still_there(finding, check) != Some(false))
    });
    findings
        .map(|finding| Finding {
            origin: Some(origin.clone()),
            ..finding.clone()
        })
        .collect()
}
