//! Images for tests: layers are written by the crate `tar`, or are any bytes, and the image is an OCI
//! archive, an OCI layout or what `docker save` writes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::Layered;

/// A layer that is being written.
pub(crate) struct LayerTar {
    tar: Builder<Vec<u8>>,
}

impl LayerTar {
    pub(crate) fn new() -> Self {
        Self {
            tar: Builder::new(Vec::new()),
        }
    }

    /// Adds an entry; its name goes into the header as it is, however hostile.
    pub(crate) fn entry(self, kind: EntryType, path: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mode = if kind == EntryType::Directory {
            0o755
        } else {
            0o644
        };
        self.entry_of((mode, 0), kind, path, link, content)
    }

    fn entry_of(
        mut self,
        (mode, gid): (u32, u64),
        kind: EntryType,
        path: &[u8],
        link: &[u8],
        content: &[u8],
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(gid);
        header.set_size(content.len() as u64);
        let long = [(b'L', path), (b'K', link)];
        for (kind, name) in long.into_iter().filter(|(_, name)| name.len() > 100) {
            let mut header = Header::new_gnu();
            header.set_entry_type(EntryType::new(kind));
            header.set_size(name.len() as u64 + 1);
            header.set_cksum();
            self.tar
                .append(&header, &*[name, b"\0"].concat())
                .expect("an entry");
        }
        let fields = header.as_old_mut();
        let (path, link) = (&path[..path.len().min(100)], &link[..link.len().min(100)]);
        fields.name[..path.len()].copy_from_slice(path);
        fields.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        self.tar.append(&header, content).expect("an entry");
        self
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path.as_bytes(), b"", content.as_ref())
    }

    pub(crate) fn program(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let (path, content) = (path.as_bytes(), content.as_ref());
        self.entry_of((0o755, 0), EntryType::Regular, path, b"", content)
    }

    pub(crate) fn directory(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path.as_bytes(), b"", b"")
    }

    /// A directory with permission bits and a group.
    pub(crate) fn directory_of(self, path: &str, mode: u32, gid: u64) -> Self {
        self.entry_of((mode, gid), EntryType::Directory, path.as_bytes(), b"", b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path.as_bytes(), target.as_bytes(), b"")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.tar.into_inner().expect("an archive")
    }
}

/// An image in a folder that goes with the value.
pub(crate) struct TestImage {
    folder: TempDir,
    layers: Vec<Vec<u8>>,
    created_by: Option<String>,
    /// How many layers are those of an ostree commit; 0 for no commit.
    of_commit: usize,
}

impl TestImage {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            layers: Vec::new(),
            created_by: None,
            of_commit: 0,
        }
    }

    /// Makes the layers so far those of an encapsulated commit.
    pub(crate) fn commit(mut self) -> Self {
        self.of_commit = self.layers.len();
        self
    }

    /// Sets what the history says of each layer.
    pub(crate) fn created_by(mut self, text: &str) -> Self {
        self.created_by = Some(text.to_owned());
        self
    }

    pub(crate) fn layer(self, layer: LayerTar) -> Self {
        self.blob(layer.bytes())
    }

    pub(crate) fn gzip(self, layer: LayerTar) -> Self {
        self.blob(gzip(&layer.bytes()))
    }

    /// Adds a layer as it is stored.
    pub(crate) fn blob(mut self, blob: Vec<u8>) -> Self {
        self.layers.push(blob);
        self
    }

    fn config(&self) -> Value {
        let history: Vec<Value> = (0..self.layers.len())
            .map(|number| match &self.created_by {
                Some(text) => json!({ "created_by": text }),
                None => json!({ "created_by": format!("RUN step {number}") }),
            })
            .collect();
        let diff_ids: Vec<String> = self
            .layers
            .iter()
            .map(|layer| digest(&content(layer)))
            .collect();
        let mut labels = json!({ "containers.bootc": "1" });
        if self.of_commit > 0 {
            labels["ostree.final-diffid"] = json!(diff_ids[self.of_commit - 1]);
        }
        json!({
            "architecture": "amd64",
            "config": { "Labels": labels },
            "history": history,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    }

    /// The files of an OCI layout; the layers stand before what names them.
    pub(crate) fn layout(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut layers = Vec::new();
        let mut add = |content: Vec<u8>| {
            let digest = digest(&content);
            let descriptor = json!({ "mediaType": "", "digest": digest, "size": content.len() });
            files.push((format!("blobs/{}", digest.replace(':', "/")), content));
            descriptor
        };
        for layer in &self.layers {
            layers.push(add(layer.clone()));
        }
        let config = add(self.config().to_string().into_bytes());
        let manifest = json!({ "config": config, "layers": layers });
        let mut descriptor = add(manifest.to_string().into_bytes());
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
        let index = json!({ "manifests": [descriptor] });
        for (name, document) in [
            ("index.json", index),
            ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ] {
            files.push((name.to_owned(), document.to_string().into_bytes()));
        }
        files
    }

    /// The files that `docker save` wrote before version 25.
    pub(crate) fn saved(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            files.push((format!("{number}/layer.tar"), layer.clone()));
        }
        let layers: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        let manifest = json!([{ "Config": "c.json", "RepoTags": ["a:1"], "Layers": layers }]);
        files.push(("c.json".to_owned(), self.config().to_string().into_bytes()));
        files.push((
            "manifest.json".to_owned(),
            manifest.to_string().into_bytes(),
        ));
        files
    }

    /// Writes files into an archive.
    pub(crate) fn archive(&self, files: &[(String, Vec<u8>)]) -> PathBuf {
        let mut archive = LayerTar::new();
        for (name, content) in files {
            archive = archive.file(name, content);
        }
        let path = self.folder.path().join("image.tar");
        fs::write(&path, archive.bytes()).expect("an archive");
        path
    }

    /// Writes files into a folder.
    pub(crate) fn folder(&self, files: &[(String, Vec<u8>)]) -> PathBuf {
        let folder = self.folder.path().join("layout");
        for (name, content) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        folder
    }

    /// The image as an archive, read.
    pub(crate) fn read(&self) -> Result<Layered, crate::ImageError> {
        Layered::archive(&self.archive(&self.layout()), None)
    }
}

/// `sha256:…` of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// What a layer unpacks to, as far as it does.
fn content(layer: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    if layer.starts_with(&[0x1f, 0x8b]) {
        let _ = GzDecoder::new(layer).read_to_end(&mut content);
        return content;
    }
    layer.to_vec()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}
