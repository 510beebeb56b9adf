//! The history in an image's configuration: each layer that osderive adds has an entry there, as builders have it
//! (the OCI image specification, `history`). The configuration stays as it is otherwise, whatever is in it.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::model::secrets::is_secret;

/// What the history says of the commit at the end of a build.
pub const CREATED_BY: &str = "osderive: commit of the finished image";

/// What it says of an exec of ours before a COPY.
pub const UNFOLDED_BY: &str = "osderive: directories for COPY to go on in";

/// An image's configuration with our layers in its history, each of the time of the layer before: one before as
/// many layers as it is `followed_by`, and one at the end if the commit `ended` it with one. All else stays.
///
/// # Errors
/// When the configuration is no JSON.
pub fn with_layers(
    config: &[u8],
    followed_by: &[usize],
    ended: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut config: Value = serde_json::from_slice(config)?;
    if let Some(history) = config.get_mut("history").and_then(Value::as_array_mut) {
        for count in followed_by {
            let layers = history.iter().enumerate();
            let mut layers = layers
                .filter(|(_, entry)| entry["empty_layer"] != true)
                .rev();
            let at = layers.nth(count.saturating_sub(1)).map_or(0, |(at, _)| at);
            history.insert(at, entry(history, at, UNFOLDED_BY));
        }
        if ended {
            history.push(entry(history, history.len(), CREATED_BY));
        }
    }
    serde_json::to_vec(&config)
}

/// An entry of a history for the place `at`.
fn entry(history: &[Value], at: usize, created_by: &str) -> Value {
    let mut entry = json!({"created_by": created_by, "comment": "osderive"});
    let before = history[..at].last().or_else(|| history.first());
    if let Some(created) = before.and_then(|before| before.get("created")) {
        entry["created"] = created.clone();
    }
    entry
}

/// What stands in the place of a secret.
const MASK: &str = "***";

/// The assignments that an entry shows: of ENV and ARG, and of the arguments that builders write before a RUN's
/// command, as `|2 NAME=VALUE NAME=VALUE /bin/sh -c …`.
pub(crate) fn assignments(created_by: &str) -> Vec<&str> {
    let (start, count) = shown_assignments(created_by);
    let words = created_by[start..].split_ascii_whitespace();
    words.take(count).collect()
}

/// Where the assignments of an entry begin, and how many they are.
fn shown_assignments(created_by: &str) -> (usize, usize) {
    // The classic builder writes `/bin/sh -c #(nop) ENV …`.
    let mut start = created_by
        .rfind("#(nop)")
        .map_or(0, |at| at + "#(nop)".len());
    loop {
        let rest = created_by[start..].trim_ascii_start();
        let word = rest.split_ascii_whitespace().next().unwrap_or_default();
        start = created_by.len() - rest.len() + word.len();
        match word {
            "RUN" => {}
            "ENV" | "ARG" => return (start, usize::MAX),
            word => {
                let count = word.strip_prefix('|').and_then(|count| count.parse().ok());
                return (start, count.unwrap_or(0));
            }
        }
    }
}

/// An entry as it is shown: the values of assignments that look like secrets are masked. Builders write values as
/// they are; where blanks in one leave open where it ends, all of them are masked.
pub(crate) fn masked(created_by: &str) -> Cow<'_, str> {
    let (start, count) = shown_assignments(created_by);
    let (before, rest) = created_by.split_at(start);
    let is_run = count != usize::MAX;
    let shell = rest.find(" /bin/sh -c ").filter(|_| is_run);
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (assigned, after) = words.split_at(count.min(words.len()));
    let command = shell.map_or("", |shell| &rest[shell..]);
    let ends = match shell {
        Some(shell) => rest[..shell].split_ascii_whitespace().count() == count,
        None => after.first().is_none_or(|word| word.starts_with('/')),
    };
    if ends && assigned.iter().all(|word| word.contains('=')) {
        let is_of_secret = |word: &&str| {
            let assignment = word.split_once('=');
            assignment.is_some_and(|(name, value)| is_secret(name, value))
        };
        if !assigned.iter().any(is_of_secret) {
            return Cow::Borrowed(created_by);
        }
        let shown = assigned.iter().map(|word| match word.split_once('=') {
            Some((name, _)) if is_of_secret(word) => format!("{name}={MASK}"),
            _ => (*word).to_owned(),
        });
        let shown = shown.chain(after.iter().map(|word| (*word).to_owned()));
        let shown: Vec<String> = shown.collect();
        return Cow::Owned(format!("{before} {}", shown.join(" ")));
    }
    let arguments = &rest[..rest.len() - command.len()];
    let mut equals = arguments.match_indices('=');
    let is_secret = equals.any(|(at, _)| {
        let name = arguments[..at].rsplit(|sign: char| sign.is_ascii_whitespace());
        is_secret(
            name.into_iter().next().unwrap_or_default(),
            &arguments[at + 1..],
        )
    });
    if count == 0 || !is_secret {
        return Cow::Borrowed(created_by);
    }
    // One word for all of them, as its number says.
    let before = before.trim_end_matches(|sign: char| sign.is_ascii_digit());
    let number = if is_run { "1" } else { "" };
    Cow::Owned(format!("{before}{number} {MASK}{command}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_gets_one_more_layer_and_all_else_stays() {
        let config = br#"{"config":{"Healthcheck":{}},"history":[{"created":"2026-01-01T00:00:00Z","created_by":"RUN x"}]}"#;
        let new = with_layers(config, &[], true).expect("JSON");
        let new: Value = serde_json::from_slice(&new).expect("JSON");
        assert_eq!(new["history"][0]["created_by"], "RUN x");
        assert_eq!(new["history"][1]["created_by"], CREATED_BY);
        assert_eq!(new["history"][1]["created"], "2026-01-01T00:00:00Z");
        assert_eq!(new["config"], json!({"Healthcheck": {}}));
    }

    #[test]
    fn a_layer_of_ours_before_a_copy_stands_before_it_in_the_history() {
        let config = br#"{"history":[{"created_by":"base"},{"created_by":"RUN"},{"created_by":"ENV","empty_layer":true},{"created_by":"COPY"},{"created_by":"USER","empty_layer":true},{"created_by":"RUN 2"}]}"#;
        let new = with_layers(config, &[2], false).expect("JSON");
        let new: Value = serde_json::from_slice(&new).expect("JSON");
        assert_eq!(new["history"][3]["created_by"], UNFOLDED_BY);
        assert_eq!(new["history"][4]["created_by"], "COPY");
        assert_eq!(new["history"].as_array().map(Vec::len), Some(7));
    }

    #[test]
    fn secrets_among_build_arguments_are_masked_and_nothing_else_is() {
        for (text, expected) in [
            (
                "RUN |2 VERSION=1 NPM_TOKEN=abcdef /bin/sh -c npm ci # buildkit",
                "RUN |2 VERSION=1 NPM_TOKEN=*** /bin/sh -c npm ci # buildkit",
            ),
            (
                "|1 A=ghp_0123456789abcdef0123 /bin/sh -c TOKEN=abcdef make",
                "|1 A=*** /bin/sh -c TOKEN=abcdef make",
            ),
            (
                "RUN |2 PASSWORD=two words B=1 /bin/sh -c x",
                "RUN |1 *** /bin/sh -c x",
            ),
            ("RUN |1 PASSWORD=hunter2 powershell x", "RUN |1 ***"),
            (
                "/bin/sh -c #(nop)  ENV DB_PASSWORD=hunter2",
                "/bin/sh -c #(nop)  ENV DB_PASSWORD=***",
            ),
            ("ENV PASSWORD=a secret", "ENV ***"),
            (
                "RUN |1 MY_TOKEN=abcdef /bin/bash -o pipefail -c x",
                "RUN |1 MY_TOKEN=*** /bin/bash -o pipefail -c x",
            ),
        ] {
            assert_eq!(masked(text), expected);
        }
        for text in [
            "",
            "RUN |1 VERSION=1.2.3 /bin/sh -c TOKEN=abcdef make",
            "RUN |x TOKEN=abcdef",
            "COPY a b",
            "|",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_secret_is_masked_whatever_stands_around_it(
            before in "[A-Z]{1,3}=[a-z ]{0,6}", value in "[a-z0-9]{4,9}( [a-z=/]{1,5}){0,2}", after in "[a-z ]{0,9}",
        ) {
            let text = format!("RUN |2 {before} MY_SECRET={value}Q7 /bin/sh -c {after}");
            proptest::prop_assert!(!masked(&text).contains("Q7"), "{}", masked(&text));
        }
    }
}
