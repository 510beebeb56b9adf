//! What the layers of an image tell that their sum does not: who brought what, what is carried though
//! nobody sees it, and links from one layer into another.

use std::collections::BTreeMap;

use super::Meta;

/// How many of each kind are known by name.
const MAX_LISTED: usize = 1000;

/// The layers of an image, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// The layers.
    pub layers: Vec<Layer>,
    /// Hard links whose target is in another layer.
    pub far_links: Vec<FarLink>,
    /// Directories to which a layer gives another mode or owner than the first one that has them, by path relative
    /// to the root: what the first says.
    pub changed_directories: BTreeMap<Vec<u8>, Access>,
}

/// Who may do what with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The twelve permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Access {
    pub(crate) fn of(meta: &Meta) -> Self {
        let Meta { mode, uid, gid, .. } = *meta;
        Self { mode, uid, gid }
    }

    /// Whether somebody with this uid and these groups may look into a directory.
    pub(crate) fn may_enter(self, uid: u32, gids: &[u32]) -> bool {
        let bit = if uid == self.uid {
            0o100
        } else if gids.contains(&self.gid) {
            0o010
        } else {
            0o001
        };
        self.mode & bit != 0
    }
}

/// A layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// The hash of its content without compression, or its name in the image.
    pub digest: String,
    /// The instruction that made it, as the image's history has it, with secrets masked; empty if not known.
    pub created_by: String,
    /// Content that it carries and no machine sees.
    pub buried: BuriedFiles,
}

/// Files that a later layer deletes or replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuriedFiles {
    /// How many.
    pub count: u64,
    /// Their bytes, without compression.
    pub bytes: u64,
    /// The largest by name.
    pub largest: Vec<Buried>,
}

/// A file that a later layer deletes or replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buried {
    /// Its path relative to the root.
    pub path: Vec<u8>,
    /// Its bytes.
    pub bytes: u64,
    /// The later layer.
    pub by: usize,
    /// Whether that has something else at the path.
    pub is_replaced: bool,
}

/// A hard link of a layer that is not to a file of the same layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarLink {
    /// The link's path relative to the root.
    pub path: Vec<u8>,
    /// What it is a link to.
    pub target: Vec<u8>,
    /// The layer that has the link.
    pub layer: usize,
    /// The layer that has the file.
    pub target_layer: usize,
}

impl BuriedFiles {
    pub(super) fn add(&mut self, file: Buried) {
        self.count += 1;
        self.bytes += file.bytes;
        if self.largest.len() < MAX_LISTED {
            self.largest.push(file);
            return;
        }
        let smallest = self.largest.iter_mut().min_by_key(|known| known.bytes);
        if let Some(smallest) = smallest.filter(|known| known.bytes < file.bytes) {
            *smallest = file;
        }
    }

    pub(super) fn sort(&mut self) {
        let key = |file: &Buried| (std::cmp::Reverse(file.bytes), file.path.clone());
        self.largest.sort_by_key(key);
    }
}

impl Stack {
    /// Takes in that a layer has a directory again; of one that lower layers had otherwise and that went meanwhile
    /// the later counts.
    pub(super) fn add_directory(&mut self, path: &[u8], before: Option<&Meta>, now: &Meta) {
        let Some(before) = before.map(Access::of) else {
            self.changed_directories.remove(path);
            return;
        };
        let now = Access::of(now);
        match self.changed_directories.get(path) {
            Some(first) if *first == now => {
                self.changed_directories.remove(path);
            }
            None if before != now && self.changed_directories.len() < MAX_LISTED => {
                self.changed_directories.insert(path.to_vec(), before);
            }
            _ => {}
        }
    }

    pub(super) fn add_link(&mut self, link: FarLink) {
        if self.far_links.len() < MAX_LISTED {
            self.far_links.push(link);
        }
    }
}
