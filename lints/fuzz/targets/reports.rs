//! Reports of steps and of looks, and those of an earlier lint as a baseline: the commands of a build run beside them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::output::{Form, Look, Report, findings_of, text};
use osderive_lints::{CheckReport, StepReport, StepReports, baseline};
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|json: &[u8]| in_proportion(json, 20_000, || {
    if let Ok(report) = StepReport::from_json(json) {
        let again = serde_json::to_vec(&report).expect("JSON");
        assert_eq!(StepReport::from_json(&again).expect("a report"), report);
    }
    let _ = StepReports::from_json(json);
    let check = CheckReport::from_json(json).map(|report| report.findings);
    for findings in check.into_iter().chain(findings_of(json)) {
        let marked = baseline::mark(findings.clone(), &findings);
        let is_base =
            |finding: &osderive_lints::Finding| finding.origin.as_ref().is_some_and(|one| one.base);
        assert!(marked.iter().all(is_base), "{marked:?}");
        let report = Report {
            findings: marked,
            ..Report::default()
        };
        for form in [
            Form::Human(Look::default()),
            Form::Sarif,
            Form::Github,
            Form::Junit,
        ] {
            let text = text(&report, form);
            assert!(
                !text.contains(|sign: char| sign.is_control() && sign != '\n'),
                "{text:?}"
            );
        }
    }
}));
