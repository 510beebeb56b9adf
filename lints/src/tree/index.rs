//! The tree that the layers of an image add up to, as an engine unpacks them: later entries over earlier
//! ones, whiteouts, hard links, and entries whose parent is a link, which is followed inside of the root.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::layer::{Change, Place, Put};
use super::stack::{Buried, FarLink, Stack};
use super::{Kind, Meta};

/// Links on the way to one path at most (Linux, `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Problems of an image that are told at most.
const MAX_PROBLEMS: usize = 1000;

/// Something at a path.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) meta: Meta,
    /// The layer that brought it last.
    pub(super) layer: usize,
    pub(super) target: Box<[u8]>,
    pub(super) place: Place,
    /// The layer that has the content.
    pub(super) content_layer: usize,
}

/// All paths with what is there.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: BTreeMap<Box<[u8]>, Node>,
    /// By inode: how many names a file has that has more than one.
    names: HashMap<u64, u64>,
    next_inode: u64,
    /// What no engine could unpack.
    pub(super) problems: BTreeMap<Vec<u8>, String>,
    pub(super) stack: Stack,
    /// The parent of the last entry, as it stood and where it led.
    last_parent: Option<(Vec<u8>, Vec<u8>)>,
}

impl Index {
    /// An empty one of layers that are to come.
    pub(super) fn new(stack: Stack) -> Self {
        Self {
            stack,
            ..Self::default()
        }
    }

    /// Puts the next layer on top. Whiteouts are of lower layers only, wherever in the layer they stand
    /// (image-spec `layer.md`).
    pub(super) fn add(&mut self, layer: usize, changes: Vec<Change>) {
        for change in &changes {
            match change {
                Change::Remove(path) => self.whiteout(path, layer),
                Change::Empty(path) => self.opaque(path, layer),
                _ => {}
            }
        }
        for change in changes {
            match change {
                Change::Remove(_) | Change::Empty(_) => {}
                Change::Put(path, put) => self.put(path, *put, layer),
                Change::Link { path, target } => self.link(path, &target, layer),
                Change::Problem(path, why) => self.problem(path, why),
            }
        }
        self.last_parent = None;
    }

    /// How many names a file has.
    pub(super) fn links(&self, node: &Node) -> u64 {
        self.names.get(&node.meta.inode).copied().unwrap_or(1)
    }

    /// All of them, in the order of their paths' bytes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes.iter().map(|(path, node)| (&**path, node))
    }

    /// What is at a path where no part is a link.
    pub(super) fn at(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The path without links that a path leads to; `follows_last` says whether a link at its end is
    /// followed. None when a part on the way is missing, no directory, or a link in a circle. The root
    /// is the empty path.
    pub(super) fn resolve(&self, path: &[u8], follows_last: bool) -> Option<Vec<u8>> {
        self.walk_to(path, follows_last, false)
    }

    /// The same; parts that are missing stand in the path as they are.
    fn walk_to(&self, path: &[u8], follows_last: bool, missing_too: bool) -> Option<Vec<u8>> {
        let mut parts: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut reached = Vec::new();
        let mut links = 0;
        while let Some(part) = parts.pop() {
            if part == b".." {
                reached.truncate(reached.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let length = reached.len();
            if length > 0 {
                reached.push(b'/');
            }
            reached.extend(&part);
            match self.nodes.get(reached.as_slice()) {
                None if missing_too => {}
                None => return None,
                Some(node) if node.meta.kind == Kind::Symlink => {
                    if parts.is_empty() && !follows_last {
                        return Some(reached);
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    reached.truncate(if node.target.starts_with(b"/") {
                        0
                    } else {
                        length
                    });
                    parts.extend(self::parts(&node.target).rev().map(<[u8]>::to_vec));
                }
                Some(node) if node.meta.kind != Kind::Directory && !parts.is_empty() => {
                    return None;
                }
                Some(_) => {}
            }
        }
        Some(reached)
    }

    /// The names in a directory, whose path has no links.
    pub(super) fn names(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let prefix = if directory.is_empty() {
            Vec::new()
        } else {
            [directory, b"/"].concat()
        };
        let mut names = Vec::new();
        let mut from = Bound::Included(prefix.clone());
        loop {
            let range = (as_slice(&from), Bound::Unbounded);
            let Some((path, _)) = self.nodes.range::<[u8], _>(range).next() else {
                return names;
            };
            let Some(rest) = path.strip_prefix(prefix.as_slice()) else {
                return names;
            };
            from = match rest.iter().position(|&byte| byte == b'/') {
                None => {
                    names.push(rest.to_vec());
                    Bound::Excluded(path.to_vec())
                }
                // All below that entry: on to the first path behind it.
                Some(slash) => {
                    let below = &path[..prefix.len() + slash];
                    Bound::Included([below, b"0"].concat())
                }
            };
        }
    }

    fn put(&mut self, path: Vec<u8>, put: Put, layer: usize) {
        let Some(path) = self.place_for(path, layer) else {
            return;
        };
        let old = self.nodes.get(path.as_slice()).map(|node| node.meta.kind);
        if old.is_some() && (old, put.kind) != (Some(Kind::Directory), Kind::Directory) {
            self.remove(&path, layer, true);
        }
        self.next_inode += 1;
        let meta = Meta {
            kind: put.kind,
            mode: put.mode,
            uid: put.uid,
            gid: put.gid,
            size: put.size,
            links: 1,
            inode: self.next_inode,
            device: put.device,
        };
        if meta.kind == Kind::Directory {
            let before = self.nodes.get(path.as_slice());
            let before = before.map(|node| &node.meta);
            self.stack.add_directory(&path, before, &meta);
        }
        let node = Node {
            meta,
            layer,
            target: put.target.into(),
            place: put.place,
            content_layer: layer,
        };
        self.nodes.insert(path.into(), node);
    }

    fn link(&mut self, path: Vec<u8>, target: &[u8], layer: usize) {
        let Some(path) = self.place_for(path, layer) else {
            return;
        };
        let found = self.resolve(target, false);
        let Some(target) = found.filter(|target| *target != path) else {
            return self.problem(path, "it is a hard link to nothing".to_owned());
        };
        let Some(file) = self.nodes.get(target.as_slice()) else {
            return self.problem(path, "it is a hard link to nothing".to_owned());
        };
        if file.meta.kind == Kind::Directory {
            return self.problem(path, "it is a hard link to a directory".to_owned());
        }
        let node = Node {
            meta: file.meta,
            layer,
            target: file.target.clone(),
            place: file.place.clone(),
            content_layer: file.content_layer,
        };
        let target_layer = file.layer;
        if target_layer != layer {
            self.stack.add_link(FarLink {
                path: path.clone(),
                target,
                layer,
                target_layer,
            });
        }
        *self.names.entry(node.meta.inode).or_insert(1) += 1;
        if self.nodes.contains_key(path.as_slice()) {
            self.remove(&path, layer, true);
        }
        self.nodes.insert(path.into(), node);
    }

    /// Where an entry goes: its parent's links are followed, a parent that is missing is made.
    fn place_for(&mut self, path: Vec<u8>, layer: usize) -> Option<Vec<u8>> {
        let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else {
            return Some(path);
        };
        let (parent, name) = (&path[..slash], &path[slash..]);
        if let Some((last, place)) = &self.last_parent
            && last == parent
        {
            return Some([place.as_slice(), name].concat());
        }
        let place = self.walk_to(parent, true, true);
        let Some(place) = place.filter(|place| self.make_directories(place, layer)) else {
            let why = "what it is in is no directory".to_owned();
            self.problem(path, why);
            return None;
        };
        let whole = [place.as_slice(), name].concat();
        self.last_parent = Some((parent.to_vec(), place));
        Some(whole)
    }

    /// Makes what is missing of a path as engines do; false when something else is in the way.
    fn make_directories(&mut self, path: &[u8], layer: usize) -> bool {
        let ends = (1..=path.len()).filter(|&end| end == path.len() || path[end] == b'/');
        for end in ends {
            let kind = self.nodes.get(&path[..end]).map(|node| node.meta.kind);
            match kind {
                Some(Kind::Directory) => {}
                Some(_) => return false,
                None => {
                    self.next_inode += 1;
                    let node = Node::implied(layer, self.next_inode);
                    self.nodes.insert(path[..end].into(), node);
                }
            }
        }
        true
    }

    fn whiteout(&mut self, path: &[u8], layer: usize) {
        if let Some(place) = self.resolve(path, false)
            && !place.is_empty()
        {
            self.remove(&place, layer, false);
        }
    }

    fn opaque(&mut self, path: &[u8], layer: usize) {
        if let Some(place) = self.resolve(path, true) {
            self.remove_below(&place, layer);
        }
    }

    /// Takes away a path with all below it.
    fn remove(&mut self, path: &[u8], layer: usize, is_replaced: bool) {
        if let Some(node) = self.nodes.remove(path) {
            self.bury(path, &node, layer, is_replaced);
            if node.meta.kind == Kind::Directory {
                self.remove_below(path, layer);
            }
        }
        self.last_parent = None;
    }

    fn remove_below(&mut self, directory: &[u8], layer: usize) {
        let mut below: Vec<Box<[u8]>> = Vec::new();
        if directory.is_empty() {
            below.extend(self.nodes.keys().cloned());
        } else {
            let bounds = ([directory, b"/"].concat(), [directory, b"0"].concat());
            let range = (Bound::Included(&*bounds.0), Bound::Excluded(&*bounds.1));
            let range = self.nodes.range::<[u8], _>(range);
            below.extend(range.map(|(path, _)| path.clone()));
        }
        for path in below {
            if let Some(node) = self.nodes.remove(&path) {
                self.bury(&path, &node, layer, false);
            }
        }
    }

    /// Notes that a layer carries content that nobody will see.
    fn bury(&mut self, path: &[u8], node: &Node, by: usize, is_replaced: bool) {
        if let Some(names) = self.names.get_mut(&node.meta.inode) {
            *names -= 1;
            if *names > 0 {
                return;
            }
        }
        if node.meta.kind != Kind::File || node.content_layer == by {
            return;
        }
        let layers = &mut self.stack.layers;
        if let Some(layer) = layers.get_mut(node.content_layer) {
            layer.buried.add(Buried {
                path: path.to_vec(),
                bytes: node.meta.size,
                by,
                is_replaced,
            });
        }
    }

    fn problem(&mut self, path: Vec<u8>, why: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.insert(path, why);
        }
    }
}

impl Node {
    /// What is known of the root directory.
    pub(super) fn root() -> Meta {
        Self::implied(0, 0).meta
    }

    /// A directory that no layer has an entry of.
    fn implied(layer: usize, inode: u64) -> Self {
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
            place: Place::Sparse,
            content_layer: layer,
        }
    }
}

fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let parts = path.split(|&byte| byte == b'/');
    parts.filter(|part| !part.is_empty() && part != b".")
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(path) => Bound::Included(path),
        Bound::Excluded(path) => Bound::Excluded(path),
        Bound::Unbounded => Bound::Unbounded,
    }
}
