//! The configuration of an image, as its manifest names it (the OCI image specification's
//! `application/vnd.oci.image.config.v1+json`), as far as rules ask for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// An image's configuration. What is missing is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// The CPU, as Go names it: `amd64`, `arm64` …
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// What a container of it runs with.
    #[serde(deserialize_with = "or_default")]
    pub config: Container,
    /// How each layer came to be, oldest first, with the steps that made none.
    #[serde(deserialize_with = "or_default")]
    pub history: Vec<History>,
    /// The layers.
    #[serde(deserialize_with = "or_default")]
    pub rootfs: Layers,
}

/// The labels whose presence makes clients deploy an image as an operating system
/// (`ostree-rs-ext` `container/store.rs`, `require_bootable`: it looks at the keys only).
const BOOTABLE_LABELS: [&str; 2] = ["containers.bootc", "ostree.bootable"];

impl ImageConfig {
    /// Whether clients take the image for an operating system.
    pub fn is_bootable(&self) -> bool {
        let mut labels = BOOTABLE_LABELS.iter();
        labels.any(|label| self.config.labels.contains_key(*label))
    }
}

/// What a container of an image runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Container {
    /// Variables as `NAME=VALUE`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal by which it is stopped.
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
    /// Its working directory; empty for the root.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Whom it runs as; empty for root.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// The program with its arguments.
    #[serde(deserialize_with = "words")]
    pub entrypoint: Vec<String>,
    /// The program where there is no entry point, further arguments of that where there is one.
    #[serde(deserialize_with = "words")]
    pub cmd: Vec<String>,
    /// The paths that are volumes.
    #[serde(deserialize_with = "or_default")]
    pub volumes: BTreeMap<String, serde_json::Value>,
    /// How its health is looked at.
    #[serde(deserialize_with = "or_default")]
    pub healthcheck: HealthCheck,
}

/// How the health of a container is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct HealthCheck {
    /// `NONE`, or `CMD` or `CMD-SHELL` with the command.
    #[serde(deserialize_with = "words")]
    pub test: Vec<String>,
}

/// One step of an image's making.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// The instruction, as the builder writes it.
    #[serde(deserialize_with = "or_default")]
    pub created_by: String,
    /// Whether it made no layer.
    pub empty_layer: bool,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layers {
    /// The hashes of their uncompressed contents, oldest first.
    #[serde(deserialize_with = "or_default")]
    pub diff_ids: Vec<String>,
}

/// Takes `null` for what is empty, as the builders that are written in Go have it.
pub(crate) fn or_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A command: words, or one text in images of old builders.
fn words<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Command {
        Words(Vec<String>),
        Text(String),
    }
    Ok(match Option::deserialize(input)? {
        None => Vec::new(),
        Some(Command::Words(words)) => words,
        Some(Command::Text(text)) => vec![text],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_words_or_a_text() {
        let json = r#"{"config": {"Cmd": ["a", "b"], "Entrypoint": "c", "Volumes": {"/v": {}},
            "Healthcheck": {"Test": null, "Interval": 1}}}"#;
        let config: ImageConfig = serde_json::from_str(json).expect("a configuration");
        assert_eq!(config.config.cmd, ["a", "b"]);
        assert_eq!(config.config.entrypoint, ["c"]);
        assert!(config.config.volumes.contains_key("/v"));
    }

    #[test]
    fn null_is_nothing() {
        let json = r#"{"architecture": "amd64", "config": {"Labels": null, "Env": null}}"#;
        let config: ImageConfig = serde_json::from_str(json).expect("a configuration");
        assert_eq!(config.architecture, "amd64");
        assert!(config.config.labels.is_empty() && config.config.env.is_empty());
    }
}
