//! The documents that say what an image consists of: index, manifest and configuration of an OCI
//! layout (image-spec `image-index.md`, `manifest.md`), and the `manifest.json` of `docker save`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Blob, ImageError, Store};
use crate::ImageConfig;

/// Bytes of a document at most, as registries have it (distribution-spec: 4 MiB at least).
const MAX_DOCUMENT: u64 = 16 << 20;

/// Layers at most; overlayfs takes 500 (`Documentation/filesystems/overlayfs.rst`).
const MAX_LAYERS: usize = 4096;

/// How deep indexes may lie in indexes.
const MAX_INDEXES: usize = 8;

/// An image's parts.
#[derive(Debug)]
pub(crate) struct Image {
    /// The configuration as it stands.
    pub(crate) config: ImageConfig,
    /// The layers with names for messages, oldest first.
    pub(crate) layers: Vec<(String, Blob)>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl Descriptor {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// The file of a layout that it describes. A digest is a part of a path, and nothing else.
    fn file(&self) -> Result<String, ImageError> {
        let (algorithm, encoded) = self.digest.split_once(':').unwrap_or_default();
        let fits = |text: &str, also: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
            !text.is_empty() && text.chars().all(fits)
        };
        if fits(algorithm, "+_-") && fits(encoded, "=_-") {
            Ok(format!("blobs/{algorithm}/{encoded}"))
        } else {
            let digest = self.digest.escape_debug();
            Err(ImageError::NoImage(format!("{digest} is no digest")))
        }
    }

    fn is_index(&self) -> bool {
        let kinds = ["image.index.v1+json", "manifest.list.v2+json"];
        kinds.iter().any(|kind| self.media_type.ends_with(kind))
    }

    /// Whether it describes something to run: attestations stand in the same index (BuildKit,
    /// `docs/attestations/attestation-storage.md`).
    fn is_image(&self) -> bool {
        let attests = self.annotation("vnd.docker.reference.type").is_some();
        let unknown = |platform: &Platform| platform.os == "unknown";
        !attests && !self.platform.as_ref().is_some_and(unknown)
    }

    fn is_named(&self, reference: &str) -> bool {
        let names = [
            "org.opencontainers.image.ref.name",
            "io.containerd.image.name",
        ];
        let mut names = names.iter().filter_map(|name| self.annotation(name));
        names.any(|name| name == reference)
    }
}

impl Image {
    /// The image of an OCI layout: the one with a name, or the only one, or of several platforms' the
    /// one for this machine's.
    ///
    /// # Errors
    /// When it cannot be told which, or a part of it is missing or broken.
    pub(crate) fn of_layout(store: &Store, reference: Option<&str>) -> Result<Self, ImageError> {
        let index: Index = document(store, "index.json")?;
        let mut candidates = index.manifests;
        if let Some(reference) = reference {
            candidates.retain(|descriptor| descriptor.is_named(reference));
        }
        let mut images = Vec::new();
        for _ in 0..MAX_INDEXES {
            let (indexes, found): (Vec<_>, Vec<_>) =
                candidates.into_iter().partition(Descriptor::is_index);
            images.extend(found.into_iter().filter(Descriptor::is_image));
            candidates = Vec::new();
            for index in indexes.iter().take(MAX_LAYERS) {
                let index: Index = document(store, &index.file()?)?;
                candidates.extend(index.manifests);
            }
        }
        let manifest: Manifest = document(store, &only(images, reference)?.file()?)?;
        let config = document(store, &manifest.config.file()?)?;
        let mut layers = Vec::new();
        for layer in &limited(manifest.layers)? {
            layers.push((layer.digest.clone(), store.blob(&layer.file()?)?));
        }
        Ok(Self { config, layers })
    }

    /// The image of `docker save`: the one with a tag, or the only one.
    ///
    /// # Errors
    /// When it cannot be told which, or a part of it is missing or broken.
    pub(crate) fn of_docker(store: &Store, reference: Option<&str>) -> Result<Self, ImageError> {
        let mut images: Vec<Saved> = document(store, "manifest.json")?;
        if let Some(reference) = reference {
            let is_named = |image: &Saved| {
                let tags = image.repo_tags.iter().flatten();
                tags.into_iter().any(|tag| tag == reference)
            };
            images.retain(is_named);
        }
        let names = images
            .iter()
            .flat_map(|image| image.repo_tags.iter().flatten());
        let names: Vec<String> = names.cloned().collect();
        let image = match (images.pop(), images.is_empty()) {
            (Some(image), true) => image,
            (None, _) => return Err(none(reference)),
            (Some(_), false) => return Err(several(&names)),
        };
        let config = document(store, &image.config)?;
        let mut layers = Vec::new();
        for layer in limited(image.layers)? {
            let blob = store.blob(&layer)?;
            layers.push((layer, blob));
        }
        Ok(Self { config, layers })
    }
}

fn only(mut images: Vec<Descriptor>, reference: Option<&str>) -> Result<Descriptor, ImageError> {
    images.dedup_by(|left, right| left.digest == right.digest);
    if images.len() > 1 {
        let is_ours = |descriptor: &Descriptor| {
            let platform = descriptor.platform.as_ref();
            platform.is_some_and(|platform| platform.architecture == architecture())
        };
        let ours: Vec<_> = images
            .iter()
            .filter(|image| is_ours(image))
            .cloned()
            .collect();
        if ours.len() == 1 {
            images = ours;
        }
    }
    let name = |image: &Descriptor| {
        let name = image.annotation("org.opencontainers.image.ref.name");
        let platform = image
            .platform
            .as_ref()
            .map(|platform| &platform.architecture);
        name.or(platform.map(String::as_str))
            .unwrap_or(&image.digest)
            .to_owned()
    };
    let names: Vec<String> = images.iter().map(name).collect();
    match (images.pop(), images.is_empty()) {
        (Some(image), true) => Ok(image),
        (None, _) => Err(none(reference)),
        (Some(_), false) => Err(several(&names)),
    }
}

fn none(reference: Option<&str>) -> ImageError {
    ImageError::NoImage(match reference {
        Some(reference) => format!("there is no image {reference:?}"),
        None => "there is no image".to_owned(),
    })
}

fn several(names: &[String]) -> ImageError {
    let names = names.join(", ");
    ImageError::NoImage(format!(
        "there are several images; name one as PATH:NAME of {names}"
    ))
}

fn limited<T>(layers: Vec<T>) -> Result<Vec<T>, ImageError> {
    if layers.len() > MAX_LAYERS {
        let count = layers.len();
        return Err(ImageError::NoImage(format!(
            "an image of {count} layers is none"
        )));
    }
    Ok(layers)
}

/// This machine's CPU as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

fn document<T: DeserializeOwned>(store: &Store, name: &str) -> Result<T, ImageError> {
    let content = store.blob(name)?.read(MAX_DOCUMENT);
    let content = content.map_err(ImageError::io(name))?;
    serde_json::from_slice(&content).map_err(|source| ImageError::Json {
        what: name.to_owned(),
        source,
    })
}
