//! What is made of all that was found: warnings with the lines of the Containerfile, and a build that
//! fails over what its author asked it to fail over.

use std::collections::BTreeSet;

use osderive_lints::policy::FailOn;
use osderive_lints::{Severity, escape_finding};
use osderive_proto::gateway::{BuildError, Gateway, SourceSnippet};

use crate::diagnostics::found::Found;

/// Findings that an error tells in full; the others are counted.
const MAX_TOLD: usize = 10;

/// Shows what was found in all images, each thing once although several platforms have it.
///
/// # Errors
/// When something that fails is among it, or the session broke.
pub(crate) async fn emit(
    gateway: &Gateway,
    found: Vec<Found>,
    fail_on: FailOn,
) -> Result<(), BuildError> {
    let mut told = BTreeSet::new();
    let mut failing = Vec::new();
    for mut found in found {
        found.finding = escape_finding(found.finding);
        if !told.insert(found.short()) {
            continue;
        }
        if fail_on.is_met_by(found.finding.severity) {
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
    use osderive_lints::Finding;
    use osderive_lints::rules::Rule;
    use osderive_proto::llb::{Digest, SourceLocation};
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
            confidence: None,
            related: Vec::new(),
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
