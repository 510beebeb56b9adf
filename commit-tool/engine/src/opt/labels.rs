//! SELinux gives labels by path. Where an image has a policy, what moves out of /opt and /usr/local is to have the labels
//! that it has there: the policy gets lines by which the new places count as the old ones.

use std::path::PathBuf;

use osderive_lints::model::selinux::{CONFIG, EQUIVALENCES, LABELS, MOVED, counts_as, folder};
use rustix::fd::AsFd as _;

use super::accounts::MAX_FILE_BYTES;
use crate::{files, handle::read_in_root, place::Place, rootfs::Rootfs};

const REASON: &str = "what moved has the labels of where users know it";

/// The equivalences of the policy in use.
#[derive(Debug)]
pub(super) struct Equivalences {
    /// The distribution's file, relative to the root.
    path: PathBuf,
    content: Vec<u8>,
    /// The machine's own.
    local: Vec<u8>,
}

impl Equivalences {
    /// Reads them; none where there is no policy.
    pub(super) fn read(rootfs: &Rootfs) -> Option<Self> {
        let read = |path: &str| read_in_root(rootfs.as_fd(), path.as_ref(), MAX_FILE_BYTES);
        let folder = read(CONFIG).as_deref().and_then(folder)?;
        read(&format!("{folder}/{LABELS}"))?;
        let [local, distributed] = EQUIVALENCES.map(|name| format!("{folder}/{name}"));
        let content = read(&distributed);
        let path = PathBuf::from(distributed);
        // What is there and cannot be read is not ours to replace.
        let is_missing = || matches!(Place::of(rootfs).meta(&path), Ok(None));
        let content = content.or_else(|| is_missing().then(Vec::new))?;
        Some(Self {
            content,
            local: read(&local).unwrap_or_default(),
            path,
        })
    }

    /// The file with lines for all places that software moves to, if one is missing.
    pub(super) fn plan(&self) -> Option<files::FileAction> {
        let mut content = self.content.clone();
        for (path, public) in MOVED {
            let files = [&content, &self.local];
            if files.iter().any(|file| counts_as(file, path, public)) {
                continue;
            }
            if content.last().is_some_and(|last| *last != b'\n') {
                content.push(b'\n');
            }
            content.extend(format!("{path} {public}\n").bytes());
        }
        (content != self.content).then(|| files::FileAction::Write {
            path: self.path.clone(),
            content,
            reason: REASON.to_owned(),
        })
    }
}
