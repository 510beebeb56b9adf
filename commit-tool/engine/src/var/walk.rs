//! What is in /var.

use std::path::Path;

use osderive_lints::model::tmpfiles::FACTORY;
use rustix::io::Errno;

use super::VAR;
use crate::place::{Entries, Place};

/// Bytes that a path, relative to the root, has at most if systemd can name it in the factory, which takes 4095
/// with the slashes (`PATH_MAX`).
pub(super) const MAX_PATH: usize = 4093 - FACTORY.len();

/// All that is in /var but what is in directories whose path is so long that it stays.
pub(super) fn walk(place: &Place<'_>) -> Result<Entries, Errno> {
    place.walk_into(Path::new(VAR), |path| path.as_os_str().len() <= MAX_PATH)
}
