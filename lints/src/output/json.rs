//! One versioned JSON document for programs, as `docs/schema/lint-1.json` describes it, and the findings
//! of one that was written earlier.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Report;
use crate::Finding;
use crate::policy::Suppressed;
use crate::rules::RULES;

/// The version of the document's schema.
pub const LINT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    subject: &'a str,
    findings: &'a [Finding],
    suppressed: &'a [Suppressed],
    unasked: Vec<Unasked<'a>>,
    rules: Vec<About>,
}

#[derive(Serialize)]
struct Unasked<'a> {
    rule: &'a str,
    needs: &'a str,
}

/// A rule that found something.
#[derive(Serialize)]
struct About {
    rule: &'static str,
    summary: &'static str,
    since: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What of an earlier document counts.
#[derive(Deserialize)]
struct Earlier {
    version: u32,
    findings: Vec<Finding>,
    #[serde(default)]
    suppressed: Vec<Suppressed>,
}

/// Why an earlier document cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It is none.
    #[error("it is no report of a lint: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version.
    #[error("it is a report of version {0}; this tool reads version {LINT_VERSION}")]
    Version(u32),
}

/// The report as JSON with a line feed at its end.
pub(super) fn json(report: &Report) -> String {
    let unasked = report.unasked.iter();
    let suppressed = report.suppressed.iter().map(|one| &one.finding);
    let found: BTreeSet<&str> = (report.findings.iter().chain(suppressed))
        .map(|finding| finding.rule.as_str())
        .collect();
    let rules = RULES.iter().filter(|rule| found.contains(rule.name));
    let document = Document {
        version: LINT_VERSION,
        subject: &report.subject,
        findings: &report.findings,
        suppressed: &report.suppressed,
        unasked: unasked
            .map(|&(rule, needs)| Unasked { rule, needs })
            .collect(),
        rules: rules
            .map(|rule| About {
                rule: rule.name,
                summary: rule.summary,
                since: rule.since,
                url: rule.url(),
            })
            .collect(),
    };
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text + "\n"
}

/// All that an earlier lint found, suppressed or not.
///
/// # Errors
/// When the text is no report of this version.
pub fn findings_of(json: &[u8]) -> Result<Vec<Finding>, ReadError> {
    let earlier: Earlier = serde_json::from_slice(json)?;
    if earlier.version != LINT_VERSION {
        return Err(ReadError::Version(earlier.version));
    }
    let suppressed = earlier.suppressed.into_iter().map(|one| one.finding);
    Ok(earlier.findings.into_iter().chain(suppressed).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::output::testing::report;

    #[test]
    fn the_document_is_as_its_schema_says() {
        let schema = include_str!("../../../docs/schema/lint-1.json");
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        let schema = jsonschema::validator_for(&schema).expect("a schema");
        let mut document: Value = serde_json::from_str(&json(&report())).expect("JSON");
        let errors: Vec<_> = schema
            .iter_errors(&document)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(errors, [""; 0]);
        document["findings"][0]["severity"] = json!("fatal");
        assert!(!schema.is_valid(&document));
    }

    #[test]
    fn it_looks_like_this() {
        insta::assert_snapshot!(json(&report()));
    }

    #[test]
    fn an_earlier_report_is_read_with_what_was_suppressed() {
        let report = report();
        let read = findings_of(json(&report).as_bytes()).expect("a report");
        assert_eq!(read[..4], report.findings);
        assert_eq!(read[4], report.suppressed[0].finding);
        let other = findings_of(br#"{"version": 2, "findings": []}"#).expect_err("another version");
        assert_eq!(
            other.to_string(),
            "it is a report of version 2; this tool reads version 1"
        );
        assert!(findings_of(b"{}").is_err());
    }
}
