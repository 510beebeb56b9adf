//! The documents that say what an image consists of: index, manifest and configuration of an OCI
//! layout (image-spec `image-index.md`, `manifest.md`), and the `manifest.json` of `docker save`.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::{Blob, ImageError, Store, Unpacked};
use crate::ImageConfig;
use crate::budget::Budget;
use crate::config::or_default;

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
    /// The layers, oldest first.
    pub(crate) layers: Vec<LayerBlob>,
}

/// A layer as it is stored.
#[derive(Debug)]
pub(crate) struct LayerBlob {
    /// Its name for messages.
    pub(crate) name: String,
    pub(crate) blob: Blob,
    digest: Expected,
}

/// What a layer must be.
#[derive(Debug)]
enum Expected {
    /// The digest of the bytes that are stored (image-spec `descriptor.md`), and how many they are.
    Stored(Digest, Option<u64>),
    /// That of the content, which the configuration has (image-spec `config.md`, "Layer `DiffID`").
    Content(Digest),
}

impl LayerBlob {
    /// Reads the content by `read`, which may end before its end, and then whether it is what it must be: of a
    /// layer that is damaged nothing else counts.
    ///
    /// # Errors
    /// When it is damaged or cannot be unpacked, or the one that `read` ended with.
    pub(crate) fn read(
        &self,
        budget: &Arc<Budget>,
        read: impl FnOnce(Unpacked) -> io::Result<()>,
    ) -> io::Result<()> {
        let (size, result, checked) = match &self.digest {
            Expected::Stored(digest, size) => {
                budget.spend(self.blob.size())?;
                let (content, hashed) = self.blob.unpacked_by(digest, budget)?;
                let result = read(content);
                (*size, result, digest.compare(&hashed))
            }
            Expected::Content(digest) => {
                let (content, hashed) = self.blob.content_by(digest, budget)?;
                let result = read(content);
                (None, result, digest.compare(&hashed))
            }
        };
        let found = self.blob.size();
        if let Some(size) = size.filter(|size| *size != found) {
            let what = if found < size { "truncated" } else { "damaged" };
            let why = format!("it is {what}: it has {found} bytes, and has to have {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        match (result, checked) {
            (_, Ok(Some(damaged))) => Err(io::Error::new(io::ErrorKind::InvalidData, damaged)),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(None)) => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "or_default")]
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: Option<u64>,
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
    #[serde(deserialize_with = "or_default")]
    layers: Vec<Descriptor>,
}

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(deserialize_with = "or_default")]
    layers: Vec<String>,
}

impl Descriptor {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// The digest of what it describes.
    fn parsed(&self) -> Result<Digest, ImageError> {
        Digest::parse(&self.digest)
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
                let index: Index = described(store, index)?;
                candidates.extend(index.manifests);
            }
        }
        let manifest: Manifest = described(store, &only(images, reference)?)?;
        let config = described(store, &manifest.config)?;
        let mut layers = Vec::new();
        for layer in limited(manifest.layers)? {
            let digest = layer.parsed()?;
            layers.push(LayerBlob {
                blob: store.blob(&digest.file())?,
                digest: Expected::Stored(digest, layer.size),
                name: layer.digest,
            });
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
        let config: ImageConfig = document(store, &image.config)?;
        let names = limited(image.layers)?;
        let digests = &config.rootfs.diff_ids;
        if digests.len() != names.len() {
            let (digests, names) = (digests.len(), names.len());
            return Err(ImageError::NoImage(format!(
                "manifest.json names {names} layers, and the image's configuration {digests}"
            )));
        }
        let mut layers = Vec::new();
        for (name, digest) in names.into_iter().zip(digests) {
            layers.push(LayerBlob {
                blob: store.blob(&name)?,
                digest: Expected::Content(Digest::parse(digest)?),
                name,
            });
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

/// A document by its descriptor: with the digest that it must have.
fn described<T: DeserializeOwned>(store: &Store, by: &Descriptor) -> Result<T, ImageError> {
    let digest = by.parsed()?;
    let name = digest.file();
    let content = store.blob(&name)?.read(MAX_DOCUMENT);
    let content = content.and_then(|content| digest.check(&content).map(|()| content));
    let content = content.map_err(ImageError::io(&name))?;
    parsed(&name, &content)
}

fn document<T: DeserializeOwned>(store: &Store, name: &str) -> Result<T, ImageError> {
    let content = store.blob(name)?.read(MAX_DOCUMENT);
    let content = content.map_err(ImageError::io(name))?;
    parsed(name, &content)
}

fn parsed<T: DeserializeOwned>(name: &str, content: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(content).map_err(|source| ImageError::Json {
        what: name.to_owned(),
        source,
    })
}
