//! The engine's store, as far as it tells what is in the layers of an image: for each it keeps the headers of the archive
//! that the layer came as (containers/storage `layers.go`, `NAME.tar-split.gz`; vbatts/tar-split `tar/storage`).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tar::{Archive, EntryType};

use crate::arguments::{Arguments, Engine};
use crate::engine;

/// As much of a layer's headers as is read: some million entries.
const MAX_BYTES: u64 = 4 << 30;

/// As many pieces of an archive as one header is put together of.
const MAX_PIECES: usize = 16;

/// The bytes that an archive's headers are multiples of.
const BLOCK: usize = 512;

#[derive(Deserialize)]
struct StoredImage {
    id: String,
    layer: Option<String>,
}

#[derive(Deserialize)]
struct StoredLayer {
    id: String,
    parent: Option<String>,
}

/// A line of tar-split: a piece of an archive, or the member whose header ends there.
#[derive(Deserialize)]
struct Line {
    r#type: u8,
    /// None where it is no UTF-8.
    name: Option<String>,
    payload: Option<String>,
}

/// [`Line::type`] of a member.
const MEMBER: u8 = 1;

/// A member of a layer.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// From the root, without a slash at either end.
    pub(crate) name: &'a str,
    /// What was between the content before it and its own, in base64.
    pieces: &'a [String],
}

/// A directory's mode and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Member<'_> {
    /// What is kept of it as a directory; none of anything else.
    pub(crate) fn directory(&self) -> Option<Kept> {
        let mut bytes = Vec::new();
        for piece in self.pieces {
            BASE64.decode_vec(piece, &mut bytes).ok()?;
        }
        // The content before it is filled up to a whole block.
        let headers = &bytes[bytes.len() % BLOCK..];
        let mut archive = Archive::new(headers);
        let member = archive.entries().ok()?.next()?.ok()?;
        let header = member.header();
        let id = |id: u64| u32::try_from(id).ok();
        (header.entry_type() == EntryType::Directory).then_some(Kept {
            mode: header.mode().ok()? & 0o7777,
            uid: id(header.uid().ok()?)?,
            gid: id(header.gid().ok()?)?,
        })
    }
}

/// The engine's store of layers.
#[derive(Debug)]
pub(crate) struct Store {
    layers: PathBuf,
    images: PathBuf,
    /// Of each layer.
    parents: BTreeMap<String, Option<String>>,
}

impl Store {
    /// That of a build.
    pub(crate) fn of(arguments: &Arguments) -> Option<Self> {
        let mut info = arguments.global();
        info.push("info".into());
        info.push("--format".into());
        info.push(match arguments.engine {
            Engine::Podman => "{{.Store.GraphDriverName}} {{.Store.GraphRoot}}".into(),
            Engine::Buildah => "{{.store.GraphDriverName}} {{.store.GraphRoot}}".into(),
        });
        let info = engine::output(arguments.engine, &info)?;
        let (driver, root) = info.trim_end().split_once(' ')?;
        let root = Path::new(root);
        let layers = root.join(format!("{driver}-layers"));
        let all: Vec<StoredLayer> = json(&layers.join("layers.json"))?;
        Some(Self {
            images: root.join(format!("{driver}-images")),
            parents: all
                .into_iter()
                .map(|layer| (layer.id, layer.parent))
                .collect(),
            layers,
        })
    }

    /// The layers of an image, the highest first.
    pub(crate) fn layers(&self, image: &str) -> Option<Vec<String>> {
        let id = image.strip_prefix("sha256:").unwrap_or(image);
        let images: Vec<StoredImage> = json(&self.images.join("images.json"))?;
        let mut at = images.into_iter().find(|image| image.id == id)?.layer;
        let mut layers = Vec::new();
        while let Some(id) = at.filter(|_| layers.len() < self.parents.len()) {
            at = self.parents.get(&id)?.clone().filter(|id| !id.is_empty());
            layers.push(id);
        }
        Some(layers)
    }

    /// Reads the members of a layer; none where the engine has not kept them.
    pub(crate) fn read(&self, layer: &str, take: &mut dyn FnMut(Member<'_>)) -> Option<()> {
        let file = File::open(self.layers.join(format!("{layer}.tar-split.gz"))).ok()?;
        members(GzDecoder::new(file), take)
    }
}

fn members(lines: impl Read, take: &mut dyn FnMut(Member<'_>)) -> Option<()> {
    let mut pieces = Vec::new();
    for line in BufReader::new(lines.take(MAX_BYTES)).lines() {
        let line: Line = serde_json::from_str(&line.ok()?).ok()?;
        if line.r#type != MEMBER {
            if pieces.len() < MAX_PIECES {
                pieces.extend(line.payload);
            }
            continue;
        }
        let name = line.name.unwrap_or_default();
        let name = name.trim_start_matches("./").trim_matches('/');
        if !name.is_empty() {
            take(Member {
                name,
                pieces: &pieces,
            });
        }
        pieces.clear();
    }
    Some(())
}

fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Headers of an archive, for tests.
#[cfg(test)]
pub(crate) mod archive {
    use tar::{Builder, Header};

    use super::*;

    impl<'a> Member<'a> {
        pub(crate) fn new(name: &'a str, pieces: &'a [String]) -> Self {
            Self { name, pieces }
        }
    }

    /// That of a directory with a mode, or of a file, in base64.
    pub(crate) fn member(name: &str, mode: Option<u32>, gid: u64) -> String {
        BASE64.encode(headers(name, mode, gid))
    }

    pub(super) fn headers(name: &str, mode: Option<u32>, gid: u64) -> Vec<u8> {
        let mut header = Header::new_gnu();
        let kind = mode.map_or(EntryType::Regular, |_| EntryType::Directory);
        header.set_entry_type(kind);
        header.set_mode(mode.unwrap_or(0o644));
        header.set_uid(0);
        header.set_gid(gid);
        header.set_size(0);
        let mut builder = Builder::new(Vec::new());
        builder
            .append_data(&mut header, name, &b""[..])
            .expect("a member");
        let mut bytes = builder.into_inner().expect("an archive");
        // Two blocks of nothing end it.
        bytes.truncate(bytes.len() - 2 * BLOCK);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &str) -> Option<Vec<(String, Option<Kept>)>> {
        let mut found = Vec::new();
        members(lines.as_bytes(), &mut |member| {
            found.push((member.name.to_owned(), member.directory()));
        })?;
        Some(found)
    }

    #[test]
    fn a_member_is_known_by_the_headers_before_it() {
        let piece =
            |bytes: &[u8]| format!("{{\"type\":2,\"payload\":\"{}\"}}\n", BASE64.encode(bytes));
        let member = |name: &str| {
            format!("{{\"type\":1,\"name\":\"{name}\",\"payload\":\"Lz8EUxO0RLk=\"}}\n")
        };
        let long = "a".repeat(200);
        let mut of_large = archive::headers(&long, Some(0o750), 5_000_000);
        let pad = vec![0; 100];
        let lines = [
            piece(&archive::headers("etc/file", None, 0)),
            member("./etc/file"),
            // After the content of a file, which was no whole block.
            piece(&pad),
            piece(&of_large.split_off(700)),
        ];
        // In two pieces.
        let [file, name, pad, rest] = lines;
        let raw = "{\"type\":1,\"name_raw\":\"//8=\",\"payload\":\"Lz8EUxO0RLk=\"}\n";
        let lines = format!(
            "{file}{raw}{file}{name}{pad}{}{rest}{}",
            piece(&of_large),
            member(&long)
        );
        let kept = Kept {
            mode: 0o750,
            uid: 0,
            gid: 5_000_000,
        };
        let expected = [("etc/file".to_owned(), None), (long, Some(kept))];
        assert_eq!(read(&lines).as_deref(), Some(&expected[..]));
        assert_eq!(read("no line\n"), None);
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let piece = BASE64.encode(&bytes);
            read(&format!("{{\"type\":2,\"payload\":\"{piece}\"}}\n{{\"type\":1,\"name\":\"a\"}}\n"));
            read(&String::from_utf8_lossy(&bytes));
        }
    }
}
