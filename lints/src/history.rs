//! The history in an image's configuration: each layer that osderive adds has an entry there, as builders have it
//! (the OCI image specification, `history`). The configuration stays as it is otherwise, whatever is in it.

use serde_json::{Value, json};

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
}
