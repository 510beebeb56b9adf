//! `JUnit` XML, which most CI systems show as tests: each rule that was asked is one.

use quick_junit::{NonSuccessKind, Report as Tests, TestCase, TestCaseStatus, TestSuite};

use super::{Report, Shown};
use crate::{Finding, Severity};

/// The report as a suite of tests.
pub(super) fn junit(report: &Shown) -> String {
    let mut suite = TestSuite::new(&*report.subject);
    let mut names: Vec<&str> = report.asked().map(|rule| rule.name).collect();
    names.extend(report.findings.iter().map(|finding| finding.rule.as_str()));
    names.sort_unstable();
    names.dedup();
    for name in names {
        suite.add_test_case(case(report, name));
    }
    for (name, needs) in &report.unasked {
        let mut status = TestCaseStatus::skipped();
        status.set_message(format!("it needs {needs}"));
        suite.add_test_case(TestCase::new(*name, status));
    }
    let mut tests = Tests::new("osderive lint");
    tests.add_test_suite(suite);
    tests.to_string().unwrap_or_default()
}

fn case(report: &Report, name: &str) -> TestCase {
    let findings = || report.own().filter(|finding| finding.rule == name);
    let (notes, failures): (Vec<_>, Vec<_>) =
        findings().partition(|finding| finding.severity == Severity::Info);
    let mut status = TestCaseStatus::success();
    if let Some(first) = failures.first() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(
            failures
                .iter()
                .map(|one| one.severity)
                .max()
                .unwrap_or(first.severity)
                .name(),
        );
        status.set_message(&*first.message);
        status.set_description(described(&failures));
    }
    let mut case = TestCase::new(name, status);
    case.set_classname("osderive");
    let of_base = report.of_base().filter(|finding| finding.rule == name);
    let notes: Vec<&Finding> = notes.into_iter().chain(of_base).collect();
    if !notes.is_empty() {
        case.set_system_out(described(&notes));
    }
    case
}

fn described(findings: &[&Finding]) -> String {
    let described = findings.iter().map(|finding| {
        let base = if super::is_of_base(finding) {
            " (of the base image)"
        } else {
            ""
        };
        let paths = finding.paths.join("\n");
        format!(
            "{}{base}\n{paths}\nhelp: {}\n",
            finding.message, finding.help
        )
    });
    described.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::report;
    use crate::rules::RULES;

    #[test]
    fn rules_are_tests() {
        let mut report = report();
        report.selection.skip = (RULES.iter())
            .filter(|rule| !["import-special-file", "kernel-count", "var-log"].contains(&rule.name))
            .map(|rule| rule.name.to_owned())
            .collect();
        let text = junit(&Shown::of(&report));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn what_xml_cannot_hold_is_escaped() {
        let mut report = report();
        report.findings[0].message = "a\x1b[31mb\u{0}<c>".to_owned();
        let text = junit(&Shown::of(&report));
        assert!(text.contains(r"a\x1b[31mb\x00&lt;c&gt;"), "{text}");
    }
}
