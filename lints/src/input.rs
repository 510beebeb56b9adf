//! What to look at, as users name it on the command line: a root file system in a folder, an OCI
//! layout, an archive. The prefixes are those of skopeo (containers-transports(5)).

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::ImageConfig;
use crate::oci::{ImageError, is_layout};
use crate::tree::{Layered, Rootfs, Tree};

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    kind: Kind,
    path: PathBuf,
    reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By what is there.
    Any,
    Rootfs,
    OciLayout,
    OciArchive,
    DockerArchive,
}

/// An input that was opened.
pub struct Opened {
    /// Its files.
    pub tree: Box<dyn Tree>,
    /// The image's configuration, where there is one.
    pub config: Option<ImageConfig>,
}

/// Why an input cannot be looked at.
#[derive(Debug, Error)]
pub enum InputError {
    /// The root file system or the file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The image cannot be read.
    #[error("{}: {source}", path.display())]
    Image {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: ImageError,
    },
}

impl Input {
    /// Takes a user's word: `PATH`, or with one of the prefixes `rootfs:`, `oci:`, `oci-archive:` and
    /// `docker-archive:`, the last three with `:NAME` after the path if there are several images.
    pub fn named(word: &str) -> Self {
        let prefixes = [
            ("rootfs:", Kind::Rootfs),
            ("oci:", Kind::OciLayout),
            ("oci-archive:", Kind::OciArchive),
            ("docker-archive:", Kind::DockerArchive),
        ];
        let by_prefix = prefixes.iter().find_map(|(prefix, kind)| {
            let rest = word.strip_prefix(prefix)?;
            Some((*kind, rest))
        });
        let (kind, rest) = by_prefix.unwrap_or((Kind::Any, word));
        let (path, reference) = match rest.split_once(':') {
            Some((path, reference)) if kind != Kind::Rootfs && !Path::new(rest).exists() => {
                (path, Some(reference.to_owned()))
            }
            _ => (rest, None),
        };
        Self {
            kind,
            path: path.into(),
            reference,
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it is not there, or not what it is said to be.
    pub fn open(&self) -> Result<Opened, InputError> {
        let reference = self.reference.as_deref();
        let layered = match self.kind()? {
            Kind::Rootfs => {
                let tree = Rootfs::open(&self.path).map_err(self.unopened())?;
                return Ok(Opened {
                    tree: Box::new(tree),
                    config: None,
                });
            }
            Kind::OciLayout => Layered::oci_layout(&self.path, reference),
            Kind::OciArchive => Layered::oci_archive(&self.path, reference),
            Kind::DockerArchive => Layered::docker_archive(&self.path, reference),
            Kind::Any => Layered::archive(&self.path, reference),
        };
        let layered = layered.map_err(|source| InputError::Image {
            path: self.path.clone(),
            source,
        })?;
        Ok(Opened {
            config: Some(layered.config().clone()),
            tree: Box::new(layered),
        })
    }

    /// What is meant, or [`Kind::Any`] for an archive of either kind.
    fn kind(&self) -> Result<Kind, InputError> {
        if self.kind != Kind::Any {
            return Ok(self.kind);
        }
        let meta = self.path.metadata().map_err(self.unopened())?;
        Ok(match meta.is_dir() {
            true if is_layout(&self.path) => Kind::OciLayout,
            true => Kind::Rootfs,
            false => Kind::Any,
        })
    }

    fn unopened(&self) -> impl FnOnce(io::Error) -> InputError {
        let path = self.path.clone();
        move |source| InputError::Open { path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_says_what_is_meant() {
        let input = Input::named("oci-archive:image.tar:latest");
        assert_eq!(input.kind, Kind::OciArchive);
        assert_eq!(input.path, Path::new("image.tar"));
        assert_eq!(input.reference.as_deref(), Some("latest"));
        let input = Input::named("rootfs:a:b");
        assert_eq!((input.kind, input.path), (Kind::Rootfs, "a:b".into()));
    }

    #[test]
    fn without_one_what_is_there_decides() {
        let folder = tempfile::tempdir().expect("a folder");
        let word = folder.path().to_str().expect("a path").to_owned();
        assert_eq!(Input::named(&word).kind().expect("a folder"), Kind::Rootfs);
        std::fs::write(folder.path().join("oci-layout"), "{}").expect("a file");
        assert_eq!(
            Input::named(&word).kind().expect("a folder"),
            Kind::OciLayout
        );
        let file = format!("{word}/a:b");
        std::fs::write(&file, "").expect("a file");
        assert_eq!(Input::named(&file).kind().expect("a file"), Kind::Any);
        assert_eq!(Input::named(&file).reference, None);
    }
}
