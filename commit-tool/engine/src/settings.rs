//! What users say that no look at a root file system tells.

use std::path::{Path, PathBuf};

/// Paths are absolute, as users know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Directories of /opt and /usr/local that are written at run time, whatever they look like.
    pub writable: Vec<PathBuf>,
    /// Paths of /opt and /usr/local that are part of the image, whatever they look like.
    pub read_only: Vec<PathBuf>,
    /// Directories of /var whose content the first start of a service makes, and files of which it makes each.
    pub first_start: Vec<PathBuf>,
    /// Whether accounts of services go to /usr/lib/passwd and /usr/lib/group.
    pub altfiles: bool,
}

impl Settings {
    /// Whether what stands at a path relative to the root is left to the first start of a service.
    pub(crate) fn leaves_to_first_start(&self, path: &Path, is_directory: bool) -> bool {
        self.first_start.iter().any(|left| {
            let left = left.strip_prefix("/").unwrap_or(left);
            path.starts_with(left) && !(is_directory && path == left)
        })
    }
}
