//! An image as it left the engine (`docker save`, an OCI layout in a tar): its config, and what
//! is in each layer. What a layer holds is what users ship, so tests look here, not in the engine.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use tar::{Archive, EntryType};
use thiserror::Error;

/// An entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerEntry {
    /// What it is.
    pub kind: EntryType,
    /// Permission bits.
    pub mode: u32,
    /// Numeric owner and group.
    pub owner: (u64, u64),
    /// Content of a regular file.
    pub content: Vec<u8>,
}

/// A layer: paths without a leading or trailing slash.
pub type Layer = BTreeMap<String, LayerEntry>;

/// A saved image.
#[derive(Clone, Debug)]
pub struct SavedImage {
    /// The image config as JSON.
    pub config: Value,
    /// The layers of instructions, base first.
    pub layers: Vec<Layer>,
    /// The layer of the commit at the end of the build; empty where that changed nothing.
    pub end: Layer,
    /// The layers' digests as the manifest has them.
    pub layer_digests: Vec<String>,
    /// The in-toto statements about the image.
    pub attestations: Vec<Value>,
}

/// Why a saved image could not be read.
#[derive(Debug, Error)]
pub enum SavedImageError {
    /// The archive is broken.
    #[error("the saved image is no readable tar: {0}")]
    Tar(#[from] std::io::Error),
    /// A JSON document in it is broken.
    #[error("{blob} of the saved image is no JSON: {source}")]
    Json {
        /// Which blob.
        blob: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Something that an OCI layout must have is not there.
    #[error("the saved image has no {0}")]
    Missing(String),
}

impl SavedImage {
    /// Reads an archive, of the layers of instructions only the last `keep`: a base image has hundreds of megabytes.
    ///
    /// # Errors
    /// When the archive is no OCI layout.
    pub fn read(archive: impl Read, keep: usize) -> Result<Self, SavedImageError> {
        let files = Files::read(archive)?;
        let index = files.json("index.json")?;
        let manifest = files.image_manifest(&index)?;
        let config = files.json(&blob_path(&manifest["config"]["digest"])?)?;
        let layers = list(&manifest["layers"], "list of layers")?;
        let diff_ids = list(&config["rootfs"]["diff_ids"], "list of diff ids")?;
        let layer_digests = diff_ids
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let read = |layer: &Value| read_layer(files.get(&blob_path(&layer["digest"])?)?);
        let (layers, end) = match layers.split_last() {
            Some((end, layers)) if has_end(&config) => (layers, read(end)?),
            _ => (layers, Layer::new()),
        };
        let layers = layers[layers.len().saturating_sub(keep)..].iter();
        let layers = layers.map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            config,
            layers,
            end,
            layer_digests,
            attestations: files.statements(&index)?,
        })
    }

    /// What a machine gets of the layers that were kept: those above take away and replace what those below have.
    pub fn shipped(&self) -> Layer {
        let mut shipped = Layer::new();
        for layer in self.layers.iter().chain([&self.end]) {
            for path in layer.keys() {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let below = |path: &str, top: &str| path.starts_with(&format!("{top}/"));
                match name.strip_prefix(".wh.") {
                    Some(".wh..opq") => shipped.retain(|path, _| !below(path, folder)),
                    Some(name) => {
                        let gone = format!("{folder}/{name}");
                        let gone = gone.trim_start_matches('/');
                        shipped.retain(|path, _| path != gone && !below(path, gone));
                    }
                    None => {}
                }
            }
            let own = layer.iter().filter(|(path, _)| !path.contains(".wh."));
            shipped.extend(own.map(|(path, entry)| (path.clone(), entry.clone())));
        }
        shipped
    }

    /// The layer of the last instruction.
    ///
    /// # Panics
    /// When the image has none that was kept.
    pub fn top(&self) -> &Layer {
        self.layers.last().expect("an image with a layer")
    }
}

/// Whether an image's last layer is that of the commit at its end, as its history says.
fn has_end(config: &Value) -> bool {
    let history = config["history"].as_array().into_iter().flatten();
    let mut layers = history.filter(|entry| entry["empty_layer"] != true);
    let last = layers
        .next_back()
        .and_then(|last| last["created_by"].as_str());
    // Of Docker, and of podman and buildah.
    let is_end = |by: &str| {
        by == "osderive: commit of the finished image"
            || by.contains(r#"/ostree-container","commit""#) && by.contains(r#""--base""#)
    };
    last.is_some_and(is_end)
}

/// The archive's files by path. They are held in memory: what belongs together is only known at the end.
struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    fn read(archive: impl Read) -> Result<Self, SavedImageError> {
        let mut files = BTreeMap::new();
        let mut archive = Archive::new(archive);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or_default());
            entry.read_to_end(&mut content)?;
            files.insert(path, content);
        }
        // The padding after the end mark: whoever writes into a pipe wants all of it taken.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        Ok(Self(files))
    }

    fn get(&self, path: &str) -> Result<&[u8], SavedImageError> {
        let file = self.0.get(path).map(Vec::as_slice);
        file.ok_or_else(|| SavedImageError::Missing(path.to_owned()))
    }

    fn json(&self, path: &str) -> Result<Value, SavedImageError> {
        serde_json::from_slice(self.get(path)?).map_err(|source| SavedImageError::Json {
            blob: path.to_owned(),
            source,
        })
    }

    /// Follows indexes down to the first manifest of an image.
    fn image_manifest(&self, index: &Value) -> Result<Value, SavedImageError> {
        let descriptor = list(&index["manifests"], "list of manifests")?
            .iter()
            .find(|descriptor| !is_attestation(descriptor))
            .ok_or_else(|| SavedImageError::Missing("manifest".to_owned()))?;
        let document = self.json(&blob_path(&descriptor["digest"])?)?;
        if document["manifests"].is_array() {
            return self.image_manifest(&document);
        }
        Ok(document)
    }

    /// The contents of all attestation manifests below an index.
    fn statements(&self, index: &Value) -> Result<Vec<Value>, SavedImageError> {
        let mut statements = Vec::new();
        for descriptor in list(&index["manifests"], "list of manifests")? {
            let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
            if media_type.ends_with("index.v1+json") || media_type.ends_with("list.v2+json") {
                let index = self.json(&blob_path(&descriptor["digest"])?)?;
                statements.extend(self.statements(&index)?);
            } else if is_attestation(descriptor) {
                let manifest = self.json(&blob_path(&descriptor["digest"])?)?;
                for statement in list(&manifest["layers"], "list of statements")? {
                    statements.push(self.json(&blob_path(&statement["digest"])?)?);
                }
            }
        }
        Ok(statements)
    }
}

fn is_attestation(descriptor: &Value) -> bool {
    descriptor["annotations"]["vnd.docker.reference.type"] == "attestation-manifest"
}

fn list<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], SavedImageError> {
    let list = value.as_array().map(Vec::as_slice);
    list.ok_or_else(|| SavedImageError::Missing(what.to_owned()))
}

fn blob_path(digest: &Value) -> Result<String, SavedImageError> {
    let digest = digest.as_str();
    let digest = digest.ok_or_else(|| SavedImageError::Missing("digest".to_owned()))?;
    Ok(format!("blobs/{}", digest.replace(':', "/")))
}

fn read_layer(bytes: &[u8]) -> Result<Layer, SavedImageError> {
    let reader: Box<dyn Read> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let mut layer = Layer::new();
    for entry in Archive::new(reader).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        let header = entry.header();
        layer.insert(
            path.trim_start_matches("./").trim_matches('/').to_owned(),
            LayerEntry {
                kind: header.entry_type(),
                mode: header.mode()?,
                owner: (header.uid()?, header.gid()?),
                content,
            },
        );
    }
    Ok(layer)
}
