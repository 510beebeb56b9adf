//! What an index consists of: entries, and the keys by which they are found.

use std::borrow::Borrow;
use std::cmp::Ordering;

use crate::tree::layer::Content;
use crate::tree::{Kind, Meta};

/// The root directory's number.
pub(super) const ROOT: u32 = 0;

/// Something at a path.
#[derive(Debug)]
pub(in crate::tree) struct Node {
    pub(in crate::tree) meta: Meta,
    /// The layer that brought it last.
    pub(in crate::tree) layer: usize,
    pub(in crate::tree) target: Box<[u8]>,
    pub(in crate::tree) place: Content,
    /// The layer that has the content.
    pub(in crate::tree) content_layer: usize,
    /// By which entries of a directory are found.
    pub(super) number: u32,
}

impl Node {
    /// What is known of the root directory.
    pub(in crate::tree) fn root() -> Meta {
        Self::implied(0, 0, ROOT).meta
    }

    /// A directory that no layer has an entry of.
    pub(super) fn implied(layer: usize, inode: u64, number: u32) -> Self {
        Self {
            meta: Meta {
                kind: Kind::Directory,
                mode: 0o755,
                uid: 0,
                gid: 0,
                size: 0,
                links: 1,
                inode,
                device: (0, 0),
            },
            layer,
            target: Box::default(),
            place: Content::Sparse,
            content_layer: layer,
            number,
        }
    }
}

/// A directory's number and a name in it.
pub(super) type Key = (u32, Box<[u8]>);

/// A [`Key`], whoever has its name.
pub(super) trait AsKey {
    fn as_key(&self) -> (u32, &[u8]);
}

impl AsKey for Key {
    fn as_key(&self) -> (u32, &[u8]) {
        (self.0, &self.1)
    }
}

impl AsKey for (u32, &[u8]) {
    fn as_key(&self) -> (u32, &[u8]) {
        *self
    }
}

impl<'a> Borrow<dyn AsKey + 'a> for Key {
    fn borrow(&self) -> &(dyn AsKey + 'a) {
        self
    }
}

impl PartialEq for dyn AsKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.as_key() == other.as_key()
    }
}

impl Eq for dyn AsKey + '_ {}

impl PartialOrd for dyn AsKey + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn AsKey + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_key().cmp(&other.as_key())
    }
}
