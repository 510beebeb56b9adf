//! The tree that the layers of an image add up to, as an engine unpacks them: later entries over earlier
//! ones, whiteouts, hard links, and entries whose parent is a link, which is followed inside of the root.

pub(super) mod entry;
mod reached;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

use self::entry::{AsKey, Key, Node, ROOT};
use self::reached::{Reached, first_part, parts};
use super::layer::{Change, Put};
use super::stack::{Buried, FarLink, Stack};
use super::{Kind, Meta};
use crate::budget::{self, Budget};

/// Links on the way to one path at most (Linux, `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Problems of an image that are told at most.
const MAX_PROBLEMS: usize = 1000;

/// All entries, each by the number of the directory that it is in and its name: a path is never stored whole, so
/// that one of thousands of names costs no more than these.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: BTreeMap<Key, Node>,
    /// By inode: how many names a file has that has more than one.
    names: HashMap<u64, u64>,
    next_inode: u64,
    next_number: u32,
    /// What no engine could unpack.
    pub(super) problems: BTreeMap<Vec<u8>, String>,
    pub(super) stack: Stack,
    /// The parent of the last entry, as it stood and where it led.
    last_parent: Option<(Vec<u8>, Reached)>,
    budget: Arc<Budget>,
}

impl Index {
    /// An empty one of layers that are to come.
    pub(super) fn new(stack: Stack, budget: Arc<Budget>) -> Self {
        Self {
            stack,
            budget,
            next_number: ROOT + 1,
            ..Self::default()
        }
    }

    /// Puts the next layer on top. Whiteouts are of lower layers only, wherever in the layer they stand
    /// (image-spec `layer.md`).
    ///
    /// # Errors
    /// When that is more than the budget has: what comes then is not in the tree.
    pub(super) fn add(&mut self, layer: usize, changes: Vec<Change>) -> io::Result<()> {
        for change in &changes {
            match change {
                Change::Remove(path) => self.whiteout(path, layer)?,
                Change::Empty(path) => self.opaque(path, layer)?,
                _ => {}
            }
        }
        for change in changes {
            match change {
                Change::Remove(_) | Change::Empty(_) => {}
                Change::Put(path, put) => self.put(path, *put, layer)?,
                Change::Link { path, target } => self.link(path, &target, layer)?,
                Change::Problem(path, why) => self.problem(path, why),
            }
        }
        self.last_parent = None;
        Ok(())
    }

    /// How many names are stored, of however many paths.
    #[cfg(test)]
    pub(super) fn stored_names(&self) -> usize {
        self.nodes.len()
    }

    /// How many names a file has.
    pub(super) fn links(&self, node: &Node) -> u64 {
        self.names.get(&node.meta.inode).copied().unwrap_or(1)
    }

    /// Calls `visit` with all of them, parents first, and those of a directory in the order of their names.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&[u8], &Node)) {
        let mut path = Vec::new();
        let mut open = vec![(0, self.entries(ROOT))];
        while let Some((length, entries)) = open.last_mut() {
            path.truncate(*length);
            let Some((name, node)) = entries.next() else {
                open.pop();
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            visit(&path, node);
            if node.meta.kind == Kind::Directory {
                open.push((path.len(), self.entries(node.number)));
            }
        }
    }

    /// What is at a path where no part is a link.
    pub(super) fn at(&self, path: &[u8]) -> Option<&Node> {
        let mut names = parts(path).peekable();
        let mut directory = ROOT;
        while let Some(name) = names.next() {
            let node = self.entry((directory, name))?;
            if names.peek().is_none() {
                return Some(node);
            }
            directory = node.number;
        }
        None
    }

    /// The path without links that a path leads to; `follows_last` says whether a link at its end is
    /// followed. None when a part on the way is missing, no directory, or a link in a circle. The root
    /// is the empty path.
    ///
    /// # Errors
    /// When the way is longer than the budget allows.
    pub(super) fn resolve(&self, path: &[u8], follows_last: bool) -> io::Result<Option<Vec<u8>>> {
        let reached = self.walk_to(path, follows_last, false)?;
        Ok(reached.map(|reached| reached.path))
    }

    /// The same; parts that are missing stand in the path as they are.
    fn walk_to(
        &self,
        path: &[u8],
        follows_last: bool,
        missing_too: bool,
    ) -> io::Result<Option<Reached>> {
        // What is still to be walked: the rest of the path and of the links on it, the innermost last.
        let mut ways = vec![path];
        let mut reached = Reached::root();
        let mut links = 0;
        while let Some(way) = ways.pop() {
            let Some((name, rest)) = first_part(way) else {
                continue;
            };
            if first_part(rest).is_some() {
                ways.push(rest);
            }
            let is_last = ways.is_empty();
            self.budget.spend(budget::STEP)?;
            if name == b".." {
                reached.pop();
                continue;
            }
            reached.push(name);
            let node = reached.key().and_then(|key| self.entry(key));
            reached.last = node.map(|node| node.number);
            match node {
                None if missing_too => {}
                None => return Ok(None),
                Some(node) if node.meta.kind == Kind::Symlink => {
                    if is_last && !follows_last {
                        return Ok(Some(reached));
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Ok(None);
                    }
                    self.budget.spend(node.target.len() as u64)?;
                    reached.pop();
                    if node.target.starts_with(b"/") {
                        reached = Reached::root();
                    }
                    ways.push(&node.target);
                }
                Some(node) if node.meta.kind != Kind::Directory && !is_last => return Ok(None),
                Some(_) => {}
            }
        }
        Ok(Some(reached))
    }

    fn entry(&self, key: (u32, &[u8])) -> Option<&Node> {
        self.nodes.get(&key as &dyn AsKey)
    }

    /// The entries of a directory, in the order of their names.
    fn entries(&self, directory: u32) -> impl Iterator<Item = (&[u8], &Node)> {
        let bounds = ((directory, &b""[..]), (directory + 1, &b""[..]));
        let range = (
            Bound::Included(&bounds.0 as &dyn AsKey),
            Bound::Excluded(&bounds.1 as &dyn AsKey),
        );
        let range = self.nodes.range::<dyn AsKey, _>(range);
        range.map(|((_, name), node)| (&**name, node))
    }

    /// The names in a directory, whose path has no links.
    pub(super) fn names(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let number = match directory {
            b"" => Some(ROOT),
            path => self.at(path).map(|node| node.number),
        };
        let entries = number.into_iter().flat_map(|number| self.entries(number));
        entries.map(|(name, _)| name.to_vec()).collect()
    }

    fn put(&mut self, path: Vec<u8>, put: Put, layer: usize) -> io::Result<()> {
        let Some(place) = self.place_for(path, layer)? else {
            return Ok(());
        };
        let old = place.key().and_then(|key| self.entry(key));
        let before = old.map(|node| (node.meta, node.number));
        let mut number = None;
        match before {
            Some((meta, before)) if (meta.kind, put.kind) == (Kind::Directory, Kind::Directory) => {
                number = Some(before);
            }
            Some(_) => self.remove(&place, layer, true),
            None => {}
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
            let before = number.and(before).map(|(meta, _)| meta);
            self.stack
                .add_directory(&place.path, before.as_ref(), &meta);
        }
        let node = Node {
            meta,
            layer,
            target: put.target.into(),
            place: put.place,
            content_layer: layer,
            number: number.unwrap_or_else(|| self.new_number()),
        };
        self.insert(&place, node);
        Ok(())
    }

    fn new_number(&mut self) -> u32 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn insert(&mut self, place: &Reached, node: Node) {
        if let Some((directory, name)) = place.key() {
            self.nodes.insert((directory, name.into()), node);
        }
    }

    fn link(&mut self, path: Vec<u8>, target: &[u8], layer: usize) -> io::Result<()> {
        let Some(place) = self.place_for(path, layer)? else {
            return Ok(());
        };
        let found = self.walk_to(target, false, false)?;
        let found = found.filter(|target| target.path != place.path);
        let file = (found.as_ref()).and_then(|target| self.entry(target.key()?));
        let (Some(target), Some(file)) = (&found, file) else {
            self.problem(place.path, "it is a hard link to nothing".to_owned());
            return Ok(());
        };
        if file.meta.kind == Kind::Directory {
            self.problem(place.path, "it is a hard link to a directory".to_owned());
            return Ok(());
        }
        let node = Node {
            meta: file.meta,
            layer,
            target: file.target.clone(),
            place: file.place.clone(),
            content_layer: file.content_layer,
            number: file.number,
        };
        let target_layer = file.layer;
        if target_layer != layer {
            self.stack.add_link(FarLink {
                path: place.path.clone(),
                target: target.path.clone(),
                layer,
                target_layer,
            });
        }
        *self.names.entry(node.meta.inode).or_insert(1) += 1;
        self.remove(&place, layer, true);
        self.insert(&place, node);
        Ok(())
    }

    /// Where an entry goes: its parent's links are followed, a parent that is missing is made.
    fn place_for(&mut self, path: Vec<u8>, layer: usize) -> io::Result<Option<Reached>> {
        self.budget.spend(budget::ENTRY)?;
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = match slash {
            None => (&b""[..], &path[..]),
            Some(slash) => (&path[..slash], &path[slash + 1..]),
        };
        let mut place = match &self.last_parent {
            Some((last, place)) if last == parent => place.clone(),
            _ => {
                let place = self.walk_to(parent, true, true)?;
                let Some(place) = self.directory_at(place, layer)? else {
                    self.problem(path, "what it is in is no directory".to_owned());
                    return Ok(None);
                };
                self.last_parent = Some((parent.to_vec(), place.clone()));
                place
            }
        };
        place.push(name);
        let last = place.key().and_then(|key| self.entry(key));
        place.last = last.map(|node| node.number);
        Ok(Some(place))
    }

    /// A place with what is missing of it made as engines do; none when something else is in the way.
    fn directory_at(
        &mut self,
        place: Option<Reached>,
        layer: usize,
    ) -> io::Result<Option<Reached>> {
        let Some(place) = place else {
            return Ok(None);
        };
        let there = place.key().and_then(|key| self.entry(key));
        if place.names.is_empty() || there.is_some_and(|node| node.meta.kind == Kind::Directory) {
            return Ok(Some(place));
        }
        let mut made = Reached::root();
        let mut starts = place.names.iter().map(|(start, _)| *start).peekable();
        while let Some(start) = starts.next() {
            let end = starts.peek().map_or(place.path.len(), |next| next - 1);
            made.push(&place.path[start..end]);
            let found = made.key().and_then(|key| self.entry(key));
            made.last = match found.map(|node| (node.meta.kind, node.number)) {
                Some((Kind::Directory, number)) => Some(number),
                Some(_) => return Ok(None),
                None => {
                    self.budget.spend(budget::ENTRY)?;
                    self.next_inode += 1;
                    let number = self.new_number();
                    self.insert(&made, Node::implied(layer, self.next_inode, number));
                    Some(number)
                }
            };
        }
        Ok(Some(made))
    }

    fn whiteout(&mut self, path: &[u8], layer: usize) -> io::Result<()> {
        if let Some(place) = self.walk_to(path, false, false)? {
            self.remove(&place, layer, false);
        }
        Ok(())
    }

    fn opaque(&mut self, path: &[u8], layer: usize) -> io::Result<()> {
        if let Some(place) = self.walk_to(path, true, false)?
            && let Some(directory) = place.last
        {
            self.remove_below(place.path, directory, layer);
        }
        Ok(())
    }

    /// Takes away what is at a place, with all below it.
    fn remove(&mut self, place: &Reached, layer: usize, is_replaced: bool) {
        let key = place.key();
        let node = key.and_then(|key| self.nodes.remove(&key as &dyn AsKey));
        if let Some(node) = node {
            self.bury(&place.path, &node, layer, is_replaced);
            if node.meta.kind == Kind::Directory {
                self.remove_below(place.path.clone(), node.number, layer);
            }
            self.last_parent = None;
        }
    }

    fn remove_below(&mut self, mut path: Vec<u8>, directory: u32, layer: usize) {
        let mut open = vec![(path.len(), directory)];
        while let Some((length, directory)) = open.last().copied() {
            path.truncate(length);
            let first = self
                .entries(directory)
                .next()
                .map(|(name, _)| name.to_vec());
            let Some(name) = first else {
                open.pop();
                continue;
            };
            let node = self.nodes.remove(&(directory, &name[..]) as &dyn AsKey);
            let Some(node) = node else {
                continue;
            };
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(name);
            self.bury(&path, &node, layer, false);
            if node.meta.kind == Kind::Directory {
                open.push((path.len(), node.number));
            }
        }
        self.last_parent = None;
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
