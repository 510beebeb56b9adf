//! Images as files: an OCI layout, in a folder or in an archive (the OCI image specification's
//! "image layout"), and the older archive of `docker save`. What belongs to the image is found here;
//! what is in its layers, in [`tree`](crate::tree).

mod blob;
mod digest;
mod headers;
mod manifest;
mod store;

use std::io;
use std::path::Path;

pub(crate) use blob::{Blob, Unpacked};
pub(crate) use headers::{Headers, Member, Skip};
pub(crate) use manifest::{Image, LayerBlob};
pub(crate) use store::Store;

use thiserror::Error;

/// Why an image could not be read.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A file of the image cannot be read.
    #[error("{what}: {source}")]
    Io {
        /// Which one.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// One is no JSON, or not the JSON that it must be.
    #[error("{what} is not as it must be: {source}")]
    Json {
        /// Which one.
        what: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// It is no image, or has no such image.
    #[error("{0}")]
    NoImage(String),
}

impl ImageError {
    /// Says which file an error is about.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Whether a folder holds an OCI layout.
pub(crate) fn is_layout(folder: &Path) -> bool {
    folder.join("oci-layout").is_file()
}
