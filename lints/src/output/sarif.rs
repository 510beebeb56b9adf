//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which code hosts and editors
//! read: the base image's findings are `unchanged`, suppressed ones carry their reasons.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::{Report, Shown};
use crate::policy::Suppressed;
use crate::rules::{RULES, Rule};
use crate::{Finding, Severity, unescape_path};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Locations that a result names.
const SHOWN: usize = 20;

/// The report as one run.
pub(super) fn sarif(report: &Shown) -> String {
    let results: Vec<Value> = (report.findings.iter())
        .map(|finding| result(report, finding, None))
        .chain(
            report
                .suppressed
                .iter()
                .map(|one| result(report, &one.finding, Some(one))),
        )
        .collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "osderive",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": RULES.iter().map(described).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { "ROOTFS": {
                "description": { "text": unlinked(&format!("The root file system of {}", report.subject)) },
            }},
            "results": results,
        }],
    });
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn described(rule: &Rule) -> Value {
    let documentation = rule.documentation();
    let mut described = json!({
        "id": rule.name,
        "shortDescription": { "text": rule.summary },
        "fullDescription": { "text": rule.why() },
        "help": { "text": documentation, "markdown": documentation },
        "defaultConfiguration": { "level": level(rule.severity) },
        "properties": { "tags": [rule.scope.name()], "since": rule.since },
    });
    if let Some(url) = rule.url() {
        described["helpUri"] = url.into();
    }
    described
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(report: &Report, finding: &Finding, suppressed: Option<&Suppressed>) -> Value {
    let paths: Vec<Value> = finding
        .paths
        .iter()
        .take(SHOWN)
        .map(|path| in_image(path))
        .collect();
    let mut text = finding.message.clone();
    if finding.paths.len() > SHOWN {
        let _ = write!(text, " ({} paths in all)", finding.paths.len());
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": level(finding.severity),
        "message": { "text": unlinked(&format!("{text}. {}", finding.help)) },
        "partialFingerprints": { "osderive/v1": fingerprint(finding) },
    });
    if let Some(index) = RULES.iter().position(|rule| rule.name == finding.rule) {
        result["ruleIndex"] = index.into();
    }
    // The first location is the one that is shown: a line that people can change, if there is one.
    if let Some((file, lines)) = report.lines(finding) {
        result["locations"] = json!([in_file(&file.file, lines)]);
        let others = finding.related.iter().filter_map(|other| {
            let mut location = in_file(&file.file, other.lines?);
            location["message"] = json!({ "text": "brought a part of it" });
            Some(location)
        });
        let all = paths.into_iter().chain(others).enumerate();
        let numbered = all.map(|(number, mut location)| {
            location["id"] = number.into();
            location
        });
        result["relatedLocations"] = numbered.collect();
    } else if !paths.is_empty() {
        result["locations"] = paths.into();
    }
    if report.has_baseline {
        let state = if super::is_of_base(finding) {
            "unchanged"
        } else {
            "new"
        };
        result["baselineState"] = state.into();
    }
    if let Some(origin) = &finding.origin {
        result["properties"] = json!({ "instruction": origin.instruction, "layer": origin.layer });
    }
    if let Some(confidence) = finding.confidence {
        result["properties"]["confidence"] = json!(confidence);
    }
    if let Some(suppressed) = suppressed {
        let in_source = report
            .containerfile
            .as_ref()
            .is_some_and(|file| file.file == suppressed.place.file);
        let line = suppressed.place.line;
        result["suppressions"] = json!([{
            "kind": if in_source { "inSource" } else { "external" },
            "justification": suppressed.reason,
            "location": in_file(&suppressed.place.file, (line, line)),
        }]);
    }
    result
}

/// Text in which nothing is a link: viewers make one of `[TEXT](TARGET)` in a plain message (SARIF 2.1.0, 3.11.6).
fn unlinked(text: &str) -> String {
    text.replace('[', r"\[").replace(']', r"\]")
}

fn in_file(file: &str, (first, last): (u32, u32)) -> Value {
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(file.as_bytes()) },
        "region": { "startLine": first.max(1), "endLine": last.max(first).max(1) },
    }})
}

fn in_image(path: &str) -> Value {
    let bytes = unescape_path(path);
    let relative = bytes.strip_prefix(b"/").unwrap_or(&bytes);
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(relative), "uriBaseId": "ROOTFS" },
    }})
}

/// What stays the same from run to run, while line numbers and counts change.
fn fingerprint(finding: &Finding) -> String {
    let about = finding.paths.first().unwrap_or(&finding.message);
    format!("{}:{about}", finding.rule)
}

/// A path as a URI reference (RFC 3986). The first part must not look like a scheme.
fn uri(path: &[u8]) -> String {
    percent_encode(path, &IN_PATHS).to_string()
}

const IN_PATHS: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::report;

    #[test]
    fn it_is_valid_by_the_official_schema() {
        let schema = include_str!("../../tests/fixtures/sarif-schema-2.1.0.json");
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        let schema = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema");
        for report in [report(), Report::default()] {
            let mut document: Value =
                serde_json::from_str(&sarif(&Shown::of(&report))).expect("JSON");
            let errors: Vec<_> = schema
                .iter_errors(&document)
                .map(|error| format!("{error} at {}", error.instance_path()))
                .collect();
            assert_eq!(errors, [""; 0]);
            document["runs"][0]["results"] = json!([{ "level": "fatal" }]);
            assert!(!schema.is_valid(&document));
        }
    }

    #[test]
    fn results_look_like_this() {
        let mut document: Value =
            serde_json::from_str(&sarif(&Shown::of(&report()))).expect("JSON");
        let results = &mut document["runs"][0]["results"];
        for result in results.as_array_mut().expect("results") {
            // It changes with each rule that is new.
            let index = result
                .as_object_mut()
                .expect("a result")
                .remove("ruleIndex");
            assert!(index.is_some_and(|index| index.is_number()));
        }
        insta::assert_snapshot!(serde_json::to_string_pretty(results).expect("JSON"));
    }

    #[test]
    fn a_path_is_a_reference() {
        assert_eq!(uri(b"usr/a b:c\xff%"), "usr/a%20b%3Ac%FF%25");
    }
}
