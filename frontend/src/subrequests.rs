//! Subrequests, questions about the Dockerfile: the Dockerfile frontend answers them. To that about lints
//! (`docker build --check`) is added what our rules tell of a bootable image without a build
//! (BuildKit `frontend/subrequests/lint/lint.go`, version 1.0.0).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use osderive_lints::Severity;
use osderive_lints::policy::Bootable;
use osderive_lints::rules::Rule;
use osderive_proto::gateway::{BuildError, CacheOptionsEntry, SolveResult};
use osderive_proto::llb::SourceLocation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::diagnostics::decisions::{self, Decisions};
use crate::diagnostics::found::Found;
use crate::diagnostics::image_config;
use crate::errors::broken;
use crate::facts::bootable::{Decision, decide};
use crate::facts::lineage;
use crate::facts::location::{containerfile, lines};
use crate::facts::result::{config_key, definition, final_refs};
use crate::options::context::Context;
use crate::options::delegation::delegation;
use crate::options::environment::Options;

/// The subrequest that is about lints.
const LINT: &str = "frontend.lint";

/// The rule of the Dockerfile frontend that says the same as our `secret-in-env` of a line.
const SAME: (&str, &str) = ("secret-in-env", "SecretsUsedInArgOrEnv");

/// Lines that are shown around those of a warning.
const AROUND: usize = 2;

/// Has a subrequest answered.
///
/// # Errors
/// When the Dockerfile frontend cannot answer, or the session broke.
pub(crate) async fn answer(
    context: &Context<'_>,
    subrequest: &str,
    caches: Vec<CacheOptionsEntry>,
) -> Result<SolveResult, BuildError> {
    let Context {
        gateway,
        options,
        inputs,
    } = *context;
    let asked = delegation(options, caches.clone(), inputs.clone());
    if subrequest != LINT || options.asked.bootable == Bootable::Off {
        return gateway.solve(asked).await;
    }
    let unbuilt = delegation(&options.unasked(), caches, inputs.clone());
    let (answer, config, unbuilt) = tokio::join!(
        gateway.solve(asked),
        decisions::file(context),
        gateway.solve(unbuilt),
    );
    let mut answer = answer?;
    // Why there is nothing to build, the answer says.
    if let Ok(unbuilt) = unbuilt {
        let config = config.ok().flatten();
        let found = foreseen(&unbuilt, options, config.as_deref())?;
        add(&mut answer, &found).map_err(broken)?;
    }
    Ok(answer)
}

/// What is found in the final images before anything is built.
fn foreseen(
    result: &SolveResult,
    options: &Options,
    config_file: Option<&[u8]>,
) -> Result<Vec<Found>, BuildError> {
    let mut all = Vec::new();
    for (platform, reference) in final_refs(result) {
        let Some(definition) = definition(reference)? else {
            continue;
        };
        let lineage = definition.lineage();
        let config = result.metadata.get(&config_key(platform));
        let config = config.map(Vec::as_slice).unwrap_or_default();
        let known = (!config.is_empty()).then_some(config);
        let decision = decide(options.asked.bootable, known, &lineage).map_err(broken)?;
        if decision != Decision::Commit {
            continue;
        }
        let location = containerfile(&definition, &lineage);
        let (decisions, mistakes) = Decisions::read(options.target(), location, config_file);
        let end = lineage::end(&lineage);
        let found = image_config::findings(&decisions, config, &lineage);
        let mistakes = mistakes.iter().map(|mistake| mistake.found(end));
        all.extend(mistakes.chain(decisions.settle_all(found)));
    }
    all.retain(|found| found.finding.severity >= Severity::Warning);
    Ok(all)
}

/// The answer about lints; what is not asked here stays as it is.
#[derive(Serialize, Deserialize)]
struct Results {
    // Go writes an empty list as null.
    warnings: Option<Vec<Value>>,
    sources: Option<Vec<Value>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Adds what was found to an answer about lints, what it says already left out.
fn add(answer: &mut SolveResult, found: &[Found]) -> Result<(), serde_json::Error> {
    let Some(json) = answer.metadata.get("result.json") else {
        return Ok(());
    };
    let mut results: Results = serde_json::from_slice(json)?;
    let text = answer.metadata.get("result.txt");
    let text = text.map(|text| String::from_utf8_lossy(text).into_owned());
    let mut text = text.unwrap_or_default();
    let mut is_changed = false;
    for found in found {
        let location = found.location.as_ref();
        let Some(location) = location.filter(|place| !results.tells(&found.finding.rule, place))
        else {
            continue;
        };
        results.add(found, location);
        text.push_str(&shown(found, location));
        is_changed = true;
    }
    if is_changed {
        let json = serde_json::to_vec_pretty(&results)?;
        let metadata = [
            ("result.json", json),
            ("result.txt", text.into_bytes()),
            ("result.statuscode", b"1".to_vec()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        answer.metadata.extend(metadata);
    }
    Ok(())
}

impl Results {
    fn add(&mut self, found: &Found, location: &SourceLocation) {
        let data = BASE64.encode(&location.info.data);
        let sources = self.sources.get_or_insert_default();
        let known = sources.iter().position(|source| source["data"] == data);
        let source = known.unwrap_or(sources.len());
        if known.is_none() {
            sources.push(json!({
                "filename": location.info.filename,
                "language": location.info.language,
                "data": data,
            }));
        }
        let warnings = self.warnings.get_or_insert_default();
        warnings.push(warning(found, location, source));
    }

    /// Whether a warning says this of these lines.
    fn tells(&self, rule: &str, location: &SourceLocation) -> bool {
        let Some((start, end)) = lines(location) else {
            return false;
        };
        let data = BASE64.encode(&location.info.data);
        let sources = self.sources.as_deref().unwrap_or_default();
        self.warnings.iter().flatten().any(|warning| {
            let known = warning["ruleName"].as_str().unwrap_or_default();
            let place = &warning["location"];
            let source = usize::try_from(place["sourceIndex"].as_u64().unwrap_or(0));
            let source = source.ok().and_then(|index| sources.get(index));
            let line = |position: &Value| position["line"].as_u64().unwrap_or(0);
            let mut ranges = place["ranges"].as_array().into_iter().flatten();
            (known == rule || (rule, known) == SAME)
                && source.is_some_and(|source| source["data"] == data)
                && ranges.any(|range| {
                    let (from, to) = (line(&range["start"]), line(&range["end"]));
                    from <= u64::from(end) && u64::from(start) <= to.max(from)
                })
        })
    }
}

fn warning(found: &Found, location: &SourceLocation, source: usize) -> Value {
    let ranges = location.ranges.iter().map(|range| {
        let line = |position: Option<osderive_proto::pb::Position>| {
            json!({"line": position.unwrap_or_default().line})
        };
        json!({"start": line(range.start), "end": line(range.end)})
    });
    let rule = &found.finding.rule;
    let known = Rule::named(rule);
    let mut warning = json!({
        "ruleName": rule,
        "description": known.map(|rule| rule.summary),
        "detail": detail(found),
        "location": {"sourceIndex": source, "ranges": ranges.collect::<Vec<_>>()},
    });
    if let Some(url) = known.and_then(Rule::url) {
        warning["url"] = url.into();
    }
    warning
}

/// What is wrong, what happens, what to do.
fn detail(found: &Found) -> String {
    let finding = &found.finding;
    let mut text = finding.message.clone();
    if let Some(rule) = Rule::named(&finding.rule) {
        let _ = write!(text, "\n  = at boot: {}", rule.why());
    }
    if !finding.help.is_empty() {
        let _ = write!(text, "\n  = help: {}", finding.help);
    }
    text
}

/// A warning as the client would show it, for one that cannot read the JSON.
fn shown(found: &Found, location: &SourceLocation) -> String {
    let mut text = format!("\nWARNING: {}\n{}\n", found.finding.rule, detail(found));
    let Some((start, end)) = lines(location) else {
        return text;
    };
    let place = |line: u32| usize::try_from(line).unwrap_or(usize::MAX);
    let (start, end) = (place(start), place(end));
    let rule = "-".repeat(20);
    let _ = writeln!(text, "{}:{start}\n{rule}", location.info.filename);
    let content = String::from_utf8_lossy(&location.info.data);
    for (number, line) in (1..).zip(content.split('\n')) {
        if number + AROUND < start || number > end.saturating_add(AROUND) {
            continue;
        }
        let mark = if (start..=end).contains(&number) {
            ">>>"
        } else {
            "   "
        };
        let _ = writeln!(text, " {number:3} | {mark} {line}");
    }
    let _ = writeln!(text, "{rule}");
    text
}

#[cfg(test)]
mod tests {
    use osderive_lints::Finding;
    use osderive_proto::llb::Digest;
    use osderive_proto::pb;

    use super::*;
    use crate::facts::location::in_file;

    const TEXT: &str = "FROM a\nENV A_TOKEN=abcdef \\\n  B=c\n";

    fn found(rule: &str, file: &str, text: &str, lines: (u32, u32)) -> Found {
        let info = pb::SourceInfo {
            filename: file.to_owned(),
            data: text.as_bytes().to_vec(),
            ..pb::SourceInfo::default()
        };
        Found {
            finding: Finding {
                rule: rule.to_owned(),
                severity: Severity::Warning,
                message: "is wrong".to_owned(),
                help: "mend it".to_owned(),
                paths: Vec::new(),
                origin: None,
                confidence: None,
                related: Vec::new(),
            },
            digest: Digest::of(b""),
            location: Some(in_file(&info, lines)),
        }
    }

    fn answer(warnings: &Value) -> SolveResult {
        let json = json!({
            "warnings": warnings,
            "sources": [{"filename": "Containerfile", "data": BASE64.encode(TEXT), "kept": 1}],
        });
        let metadata = [
            ("result.json", json.to_string()),
            ("result.txt", "\nFIRST\n".to_owned()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.into_bytes()));
        SolveResult {
            metadata: metadata.into(),
            ..SolveResult::default()
        }
    }

    fn json_of(answer: &SolveResult) -> Value {
        serde_json::from_slice(&answer.metadata["result.json"]).expect("JSON")
    }

    #[test]
    fn findings_become_warnings_at_their_files_and_lines() {
        let mut answer = answer(&Value::Null);
        let toml = "[rules]\n";
        let all = [
            found("secret-in-env", "Containerfile", TEXT, (2, 3)),
            found("policy-rejected", "osderive.toml", toml, (1, 1)),
        ];
        add(&mut answer, &all).expect("an answer");
        let results = json_of(&answer);
        assert_eq!(results["sources"][0]["kept"], 1);
        assert_eq!(results["sources"][1]["filename"], "osderive.toml");
        let [env, rejected] = &results["warnings"].as_array().expect("warnings")[..] else {
            panic!("{results}");
        };
        let location = json!({
            "sourceIndex": 0,
            "ranges": [{"start": {"line": 2}, "end": {"line": 3}}],
        });
        assert_eq!(env["location"], location);
        assert_eq!(rejected["location"]["sourceIndex"], 1);
        let detail = env["detail"].as_str().expect("a text");
        assert!(detail.starts_with("is wrong\n  = at boot: "), "{detail}");
        assert_eq!(answer.metadata["result.statuscode"], b"1");
        let text = String::from_utf8_lossy(&answer.metadata["result.txt"]).into_owned();
        for part in [
            "\nFIRST\n\nWARNING: secret-in-env\nis wrong\n",
            "Containerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> ENV A_TOKEN",
            "\n   3 | >>>   B=c\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_is_told_already_is_not_told_again() {
        let warning = |rule: &str| {
            let ranges = json!([{"start": {"line": 3}, "end": {"line": 3}}]);
            json!([{"ruleName": rule, "location": {"ranges": ranges}}])
        };
        for (rule, count) in [
            ("SecretsUsedInArgOrEnv", 1),
            ("secret-in-env", 1),
            ("Other", 2),
        ] {
            let mut answer = answer(&warning(rule));
            let all = [found("secret-in-env", "Containerfile", TEXT, (2, 3))];
            add(&mut answer, &all).expect("an answer");
            let results = json_of(&answer);
            let told = results["warnings"].as_array().expect("warnings").len();
            assert_eq!(told, count, "{rule}");
        }
    }

    #[test]
    fn without_findings_an_answer_is_as_it_was() {
        let before = answer(&json!([]));
        let mut after = before.clone();
        add(&mut after, &[]).expect("an answer");
        assert_eq!(after, before);
    }
}
