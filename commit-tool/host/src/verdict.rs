//! What is made of all that was found, as the build frontend makes it: findings with the lines of the Containerfile,
//! after what people have decided about them, and those of the base image apart.

use osderive_lints::evidence::{is_still_there, put, without};
use osderive_lints::output::Report;
use osderive_lints::policy::{Evidence, Instruction, Policy};
use osderive_lints::rules::size_deleted_later;
use osderive_lints::unbuilt;
use osderive_lints::{Change, Finding, Origin, Severity, StepReport, baseline};

use crate::containerfile::Build;
use crate::layers::Layers;
use crate::reports::Reported;

/// What was found in an image. `of_runs` is what was found beside the reports, with the place of the RUN that it is of;
/// `layers` are asked for the instructions that findings without one are of.
pub(crate) fn found(
    build: &Build,
    reported: &Reported,
    of_runs: Vec<(Option<usize>, Finding)>,
    layers: &dyn Fn() -> Option<Layers>,
) -> Vec<Finding> {
    let end = &reported.end;
    let check = end.check.as_ref().map(|check| check.findings.clone());
    let of_base = end.base.as_ref().map(|base| base.findings.as_slice());
    let check = check.map(|found| baseline::mark(found, of_base.unwrap_or_default()));
    let mut findings = Vec::new();
    let mut left = Vec::new();
    for (run, report) in build.runs().iter().zip(&reported.steps) {
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
    findings.extend(of_runs.into_iter().map(|(run, finding)| Finding {
        origin: run.map(|run| origin(&build.runs()[run])),
        ..finding
    }));
    findings.extend(size_deleted_later::of_build(&left));
    // What is copied brings nothing of its configuration.
    let has_base = !build.is_from_scratch() && !build.is_copy();
    findings.extend(unbuilt::of_config(
        &build.configuring(),
        &reported.config,
        has_base,
    ));
    findings
}

/// Judges what was found in the images that a build makes, each thing once although several of them have it.
/// `is_of_image` tells whether lines of the Containerfile are of one of them.
pub(crate) fn judge(
    subject: String,
    found: Vec<Finding>,
    has_baseline: bool,
    policy: Policy,
    is_of_image: &dyn Fn((u32, u32)) -> bool,
) -> Report {
    let mut findings: Vec<Finding> = Vec::new();
    for finding in found {
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    let selection = policy.selection(&std::collections::BTreeSet::new());
    let judgement = policy.judge(Evidence {
        found: findings.into_iter().map(|finding| (finding, ())).collect(),
        of_base: &[],
        selection: &selection,
        unasked: &unbuilt::unasked(),
        is_of_image,
    });
    let (findings, suppressed) = judgement.by_rule();
    Report {
        subject,
        findings,
        suppressed,
        unasked: Vec::new(),
        selection,
        has_baseline,
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
            let paths = || finding.paths.iter().map(|path| put(&moved, path));
            let first = paths().find_map(|path| layers.brought(&path));
            let mut others: Vec<&Instruction> = Vec::new();
            for other in paths().filter_map(|path| layers.brought_itself(&path)) {
                if first != Some(other) && !others.contains(&other) {
                    others.push(other);
                }
            }
            others.sort_by_key(|other| std::cmp::Reverse(other.lines));
            finding.origin = first.map(origin);
            finding.related = others.into_iter().map(origin).collect();
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

#[cfg(test)]
mod tests {
    use osderive_lints::policy::Containerfile;
    use osderive_lints::{CheckReport, ImageConfig, Outcome, REPORT_VERSION};
    use serde_json::json;

    use super::*;
    use crate::reports::End;

    const TEXT: &str = "\
FROM os AS tools
# osderive: allow=kernel-count -- of another image
RUN make
FROM os
# osderive: allow=import-special-file /usr/wanted -- a test
RUN one
# osderive: allow=kernel-count -- nothing needs it
ENV API_TOKEN=abcdefgh
RUN two
";

    fn finding(rule: &str, severity: Severity, paths: &[&str]) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity,
            message: format!("{rule} found"),
            help: "mend it".to_owned(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            origin: None,
            confidence: None,
            related: Vec::new(),
        }
    }

    fn step(findings: &[Finding]) -> StepReport {
        let report = json!({
            "version": REPORT_VERSION,
            "outcome": Outcome::Committed,
            "removed_entries": 0,
            "removed_bytes": 0,
            "findings": findings,
        });
        StepReport::from_json(report.to_string().as_bytes()).expect("a report")
    }

    fn judged(
        config: &ImageConfig,
        steps: [Vec<Finding>; 2],
        check: Vec<Finding>,
        base: Vec<Finding>,
    ) -> Vec<(String, Option<u32>, bool)> {
        let file = Containerfile::parse("Containerfile", TEXT.as_bytes()).expect("a file");
        let build = Build::of(file.clone(), None, &|_| None, None).expect("an image");
        let reported = Reported {
            steps: steps
                .into_iter()
                .map(|findings| Some(step(&findings)))
                .collect(),
            end: End {
                commit: step(&[]),
                check: Some(CheckReport::new(check)),
                base: Some(CheckReport::new(base)),
            },
            config: config.clone(),
        };
        let policy = Policy {
            containerfile: Some(file),
            ..Policy::default()
        };
        let mut all = found(&build, &reported, Vec::new(), &|| None);
        // Of another platform.
        all.extend(found(&build, &reported, Vec::new(), &|| None));
        let report = judge("x".to_owned(), all, true, policy, &|lines| build.has(lines));
        let findings = report.findings.into_iter().map(|finding| {
            let origin = finding.origin.unwrap_or_default();
            (finding.rule, origin.lines.map(|lines| lines.0), origin.base)
        });
        findings.collect()
    }

    #[test]
    fn a_finding_is_told_once_at_its_run_and_what_the_base_has_is_the_bases() {
        let fifo = |path| finding("import-special-file", Severity::Error, &[path]);
        let config = json!({"config": {"Env": ["A=b", "API_TOKEN=abcdefgh"]}});
        let config = serde_json::from_value(config).expect("a configuration");
        let found = judged(
            &config,
            [
                vec![fifo("/usr/wanted"), fifo("/usr/a")],
                vec![fifo("/usr/mended")],
            ],
            vec![fifo("/usr/a"), fifo("/usr/old"), fifo("/usr/wanted")],
            vec![fifo("/usr/old")],
        );
        let rule = |name: &str| name.to_owned();
        assert_eq!(
            found,
            [
                (rule("import-special-file"), Some(6), false),
                (rule("import-special-file"), None, true),
                (rule("secret-in-env"), Some(8), false),
                (rule("unused-suppression"), Some(7), false),
            ]
        );
    }
}
