//! The previous image: the ids that its accounts have, and which differ now.

use std::path::Path;

use osderive_lints::{
    Finding,
    model::ids::{FILES, Ids},
    rules::account_id_changed,
};
use rustix::fd::AsFd as _;

use super::observe::MAX_FILE_BYTES;
use crate::{
    error::{Error, Result},
    handle::read_in_root,
    rootfs::Rootfs,
};

/// The accounts of the image that machines run now.
#[derive(Debug)]
pub struct Previous(Ids);

impl Previous {
    /// Reads them from its root file system.
    pub fn read(dir: &Path) -> Result<Self> {
        let ids = ids(&Rootfs::open(dir)?);
        if ids.is_empty() {
            return Err(Error::NoAccounts {
                dir: dir.to_owned(),
            });
        }
        Ok(Self(ids))
    }

    /// Which accounts of a root file system have another id now.
    pub fn finding(&self, rootfs: &Rootfs) -> Option<Finding> {
        account_id_changed::finding(&ids(rootfs).changed_from(&self.0))
    }
}

fn ids(rootfs: &Rootfs) -> Ids {
    let read = |(_, path): (_, &str)| {
        read_in_root(rootfs.as_fd(), path.as_ref(), MAX_FILE_BYTES).unwrap_or_default()
    };
    let files = FILES.map(read);
    Ids::of(files.each_ref().map(Vec::as_slice))
}
