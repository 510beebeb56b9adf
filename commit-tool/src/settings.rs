//! What users say of single paths, where their look misleads, and what a frontend says of the steps
//! that follow.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// What becomes of apt's package lists, whatever the command did with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackageLists {
    /// All stay: a later step needs them
    Keep,
    /// All go, those of lower layers too: no later step needs them
    Remove,
}

/// By absolute paths as users know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Directories of /opt and /usr/local that are written at run time, whatever they look like.
    pub(crate) writable: Vec<PathBuf>,
    /// Paths of /opt and /usr/local that are part of the image, whatever they look like.
    pub(crate) read_only: Vec<PathBuf>,
    /// Directories of /var whose content the first start of a service makes, and files of which it makes each.
    pub(crate) first_start: Vec<PathBuf>,
    /// Without it those go that a command fetched and used.
    pub(crate) package_lists: Option<PackageLists>,
    /// What the command makes at these paths of /run, /tmp, /var/tmp and /var/cache stays.
    pub(crate) leave: Vec<PathBuf>,
    /// What lower layers have in these directories stays.
    pub(crate) leave_lower: bool,
    /// What the instructions between the step before and this one brought, with all below.
    pub(crate) copied: Vec<PathBuf>,
}

impl Settings {
    /// Whether what stands at a path relative to the root is left to the first start of a service.
    pub(crate) fn leaves_to_first_start(&self, path: &Path, is_directory: bool) -> bool {
        self.first_start.iter().any(|left| {
            let left = left.strip_prefix("/").unwrap_or(left);
            path.starts_with(left) && !(is_directory && path == left)
        })
    }

    /// Whether what stands at a path relative to the root is left to later steps.
    pub(crate) fn leaves(&self, path: &Path) -> bool {
        // /tmp of older ostree bases is a link to it.
        let path = match path.strip_prefix("sysroot/tmp") {
            Ok(below) => &Path::new("tmp").join(below),
            Err(_) => path,
        };
        let mut left = self.leave.iter();
        left.any(|left| path.starts_with(left.strip_prefix("/").unwrap_or(left)))
    }
}
