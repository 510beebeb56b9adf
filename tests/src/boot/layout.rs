//! An image as it left the engine, as the OCI layout that an importer reads and the lints look at.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::engine::Engine;
use crate::error::{Error, Result, io_error};
use crate::roots::remove;

/// Where a layout has its contents.
const BLOBS: &str = "blobs/sha256";

/// A folder of some hundred megabytes, which goes with the value.
#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// Saves an image with all its layers. Contents that `known` has as well are shared with it.
    pub(super) fn save(
        engine: &Engine,
        image: &str,
        folder: &Path,
        known: Option<&Self>,
    ) -> Result<Self> {
        remove(folder)?;
        let blobs = folder.join(BLOBS);
        fs::create_dir_all(&blobs).map_err(io_error("make", &blobs))?;
        let layout = Self {
            folder: folder.to_owned(),
        };
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--directory"]).arg(folder);
        for (name, path) in known.map(Self::blobs).transpose()?.unwrap_or_default() {
            let blob = blobs.join(&name);
            fs::hard_link(&path, &blob).map_err(io_error("link", &blob))?;
            let mut excluded = OsString::from(format!("--exclude={BLOBS}/"));
            excluded.push(&name);
            tar.arg(excluded);
        }
        layout.unpack(engine, image, &mut tar)?;
        // Through skopeo's docker-archive the importer would be told that the layers are compressed, which they
        // are not.
        if folder.join("oci-layout").exists() {
            return Ok(layout);
        }
        let message = "it is no OCI layout; Docker 25 or newer saves one";
        Err(refused(image, message))
    }

    fn unpack(&self, engine: &Engine, image: &str, tar: &mut Command) -> Result<()> {
        let mut client = engine
            .docker()
            .args(["save", image])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| refused(image, &error.to_string()))?;
        let archive = client.stdout.take().map_or_else(Stdio::null, Stdio::from);
        let unpacked = tar.stdin(archive).status();
        let saved = client.wait();
        let succeeded = [&saved, &unpacked]
            .iter()
            .all(|status| status.as_ref().is_ok_and(std::process::ExitStatus::success));
        if succeeded {
            return Ok(());
        }
        let message = format!(
            "into {}: docker: {saved:?}, tar: {unpacked:?}",
            self.folder.display()
        );
        Err(refused(image, &message))
    }

    /// The names and paths of its contents.
    fn blobs(&self) -> Result<Vec<(OsString, PathBuf)>> {
        let folder = self.folder.join(BLOBS);
        let entries = fs::read_dir(&folder).map_err(io_error("read", &folder))?;
        entries
            .map(|entry| {
                let entry = entry.map_err(io_error("read", &folder))?;
                Ok((entry.file_name(), entry.path()))
            })
            .collect()
    }

    /// Whether the image has a label.
    ///
    /// # Errors
    /// When its description cannot be read.
    pub(super) fn has_label(&self, label: &str) -> Result<bool> {
        let mut manifest = self.json(&self.folder.join("index.json"))?;
        // With the containerd store an image may be an index as well.
        while manifest["manifests"].is_array() {
            manifest = self.blob(&manifest["manifests"][0]["digest"])?;
        }
        let config = self.blob(&manifest["config"]["digest"])?;
        Ok(!config["config"]["Labels"][label].is_null())
    }

    fn blob(&self, digest: &Value) -> Result<Value> {
        let digest = digest.as_str().unwrap_or_default();
        let name = digest.trim_start_matches("sha256:");
        self.json(&self.folder.join(BLOBS).join(name))
    }

    fn json(&self, path: &Path) -> Result<Value> {
        let text = fs::read(path).map_err(io_error("read", path))?;
        serde_json::from_slice(&text)
            .map_err(|error| refused(&self.folder.display().to_string(), &error.to_string()))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.folder
    }
}

fn refused(image: &str, message: &str) -> Error {
    Error::Engine {
        action: format!("save {image}"),
        message: message.to_owned(),
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            eprintln!("warning: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layout whose image has a label, below so many indexes.
    fn layout(indexes: usize) -> (tempfile::TempDir, Layout) {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("layout");
        fs::create_dir_all(folder.join(BLOBS)).unwrap();
        let blob = |name: &str, text: &str| {
            fs::write(folder.join(BLOBS).join(name), text).unwrap();
        };
        blob(
            "config",
            r#"{"config":{"Labels":{"ostree.final-diffid":"sha256:1"}}}"#,
        );
        blob("manifest", r#"{"config":{"digest":"sha256:config"}}"#);
        let mut digest = "manifest".to_owned();
        for number in 0..indexes {
            let name = format!("index-{number}");
            blob(
                &name,
                &format!(r#"{{"manifests":[{{"digest":"sha256:{digest}"}}]}}"#),
            );
            digest = name;
        }
        let index = fs::read(folder.join(BLOBS).join(&digest)).unwrap();
        fs::write(folder.join("index.json"), index).unwrap();
        (kept, Layout { folder })
    }

    #[test]
    fn an_images_labels_are_found_in_the_layouts_of_both_stores() {
        for indexes in [1, 2] {
            let (_kept, layout) = layout(indexes);
            assert!(layout.has_label("ostree.final-diffid").unwrap());
            assert!(!layout.has_label("containers.bootc").unwrap());
        }
    }
}
