//! The root file system of an image that is there as layers: in an OCI layout or an archive. Nothing
//! is unpacked to disk; a content that was not kept in memory is read from its layer again.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::index::Index;
use super::index::entry::Node;
use super::layer::{self, Changes, Content, Memory};
use super::stack::{Layer, Stack};
use super::{Entry, Gathered, Kind, Meta, Tree, within};
use crate::ImageConfig;
use crate::budget::{self, Budget};
use crate::history::masked;
use crate::oci::{Image, ImageError, LayerBlob, Skip as _, Store, Unpacked};

/// How often the content of an image may be unpacked again at most, for files that were not kept. One kernel's
/// initramfs takes one time.
const AGAIN: u64 = 8;

/// An image that is there as layers.
#[derive(Debug)]
pub struct Layered {
    config: ImageConfig,
    layers: Vec<LayerBlob>,
    index: Index,
    budget: Arc<Budget>,
    /// For unpacking layers again: apart from the budget of all else, which the rules need.
    again: Arc<Budget>,
    /// Of each layer, where its last reader stopped: files are mostly asked for in the order in which they stand.
    stopped: Vec<Mutex<Option<Unpacked>>>,
}

impl Layered {
    /// Reads an OCI layout in a folder: its only image, or the one with a name.
    ///
    /// # Errors
    /// When there is no such image, or a part of it is missing or broken.
    pub fn oci_layout(folder: &Path, reference: Option<&str>) -> Result<Self, ImageError> {
        let store = Store::Folder(folder.to_owned());
        Self::read(Image::of_layout(&store, reference)?)
    }

    /// Reads an OCI layout in an archive.
    ///
    /// # Errors
    /// As for a folder.
    pub fn oci_archive(file: &Path, reference: Option<&str>) -> Result<Self, ImageError> {
        Self::read(Image::of_layout(&Store::archive(file)?, reference)?)
    }

    /// Reads what `docker save` writes: its only image, or the one with a tag.
    ///
    /// # Errors
    /// As for a folder.
    pub fn docker_archive(file: &Path, reference: Option<&str>) -> Result<Self, ImageError> {
        Self::read(Image::of_docker(&Store::archive(file)?, reference)?)
    }

    /// Reads an archive of either kind. One of both is read as an OCI layout, unless the name is one
    /// that only `docker save` knows.
    ///
    /// # Errors
    /// As for a folder.
    pub fn archive(file: &Path, reference: Option<&str>) -> Result<Self, ImageError> {
        let store = Store::archive(file)?;
        let has_saved = store.has("manifest.json");
        if store.has("index.json") {
            let image = Image::of_layout(&store, reference);
            return match image {
                Err(ImageError::NoImage(_)) if has_saved => {
                    Self::read(Image::of_docker(&store, reference)?)
                }
                image => Self::read(image?),
            };
        }
        if has_saved {
            return Self::read(Image::of_docker(&store, reference)?);
        }
        Err(ImageError::NoImage(
            "it has neither an index.json (OCI layout) nor a manifest.json (docker save)"
                .to_owned(),
        ))
    }

    fn read(image: Image) -> Result<Self, ImageError> {
        let Image { config, layers } = image;
        let blobs = layers.iter().map(|layer| &layer.blob);
        // The same blob may be several layers, and is stored once.
        let stored: BTreeMap<_, u64> = blobs.map(|blob| (blob.place(), blob.size())).collect();
        let budget = Arc::new(Budget::of(stored.values().sum()));
        let mut index = Index::new(stack(&config, &layers), Arc::clone(&budget));
        for (number, changes) in scanned(&layers, &budget).into_iter().enumerate() {
            let name = &layers[number].name;
            let name = format!("layer {} of {} ({name})", number + 1, layers.len());
            let Changes { changes, cut } = changes.map_err(ImageError::io(&name))?;
            let added = index.add(number, changes);
            if let Some(error) = cut.or(added.err()) {
                budget.note(format!("a part of {name}").as_bytes(), &error);
            }
        }
        for layer in &mut index.stack.layers {
            layer.buried.sort();
        }
        // Whatever became of the layers, rules may ask.
        let again = Budget::default();
        again.renew(budget::FLOOR + AGAIN * budget.spent());
        budget.renew(budget::FLOOR + AGAIN * budget.spent());
        Ok(Self {
            config,
            stopped: layers.iter().map(|_| Mutex::default()).collect(),
            layers,
            index,
            budget,
            again: Arc::new(again),
        })
    }

    /// The image's configuration.
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    fn meta(&self, node: &Node) -> Meta {
        Meta {
            links: self.index.links(node),
            ..node.meta
        }
    }

    /// Where a path leads, links followed but for one at its end, unless that is wanted.
    fn resolve(&self, path: &[u8], follows_last: bool) -> io::Result<Option<Vec<u8>>> {
        let place = self.index.resolve(path, follows_last);
        place.inspect_err(|error| self.note(path, error))
    }

    fn note(&self, path: &[u8], error: &io::Error) {
        self.budget.note(&[b"/", path].concat(), error);
    }

    /// The file at a path.
    fn file(&self, path: &[u8]) -> io::Result<Option<&Node>> {
        let place = self.resolve(path, true)?;
        let kind = match place.as_deref() {
            None => return Ok(None),
            Some(b"") => Kind::Directory,
            Some(place) => match self.index.at(place) {
                None => return Ok(None),
                Some(node) if node.meta.kind == Kind::File => return Ok(Some(node)),
                Some(node) => node.meta.kind,
            },
        };
        let kind = kind.name();
        Err(io::Error::other(format!("it is a {kind}, not a file")))
    }

    fn content<'a>(&'a self, node: &'a Node) -> io::Result<Box<dyn io::Read + 'a>> {
        Ok(match &node.place {
            Content::Kept(content) => Box::new(&**content),
            Content::Sparse => return Err(io::Error::other("it is a sparse file in its layer")),
            Content::At { offset, begin } => {
                let known = begin.len() as u64;
                let start = offset + known;
                let rest = Rest {
                    tree: self,
                    layer: node.content_layer,
                    start,
                    end: start + node.meta.size.saturating_sub(known),
                    opened: None,
                };
                Box::new((&**begin).chain(rest))
            }
        })
    }
}

/// The rest of a file whose beginning is known; its layer is unpacked again when somebody wants it.
struct Rest<'a> {
    tree: &'a Layered,
    layer: usize,
    /// Where in the layer the rest begins and ends.
    start: u64,
    end: u64,
    opened: Option<Unpacked>,
}

impl Rest<'_> {
    /// The layer from where the rest begins.
    fn open(&self) -> io::Result<Unpacked> {
        let stopped = self.tree.stopped[self.layer].lock();
        let stopped = stopped.unwrap_or_else(PoisonError::into_inner).take();
        let stopped = stopped.filter(|layer| layer.position() <= self.start);
        let mut layer = match stopped {
            Some(layer) => layer,
            None => self.tree.layers[self.layer]
                .blob
                .unpacked(&self.tree.again)?,
        };
        layer.skip(self.start - layer.position())?;
        Ok(layer)
    }
}

impl io::Read for Rest<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            return Ok(0);
        }
        if self.opened.is_none() {
            self.opened = Some(self.open()?);
        }
        let Some(layer) = &mut self.opened else {
            return Ok(0);
        };
        let left = self.end.saturating_sub(layer.position());
        layer.take(left).read(buffer)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        let stopped = self.tree.stopped[self.layer].lock();
        let mut stopped = stopped.unwrap_or_else(PoisonError::into_inner);
        if self.opened.is_some() {
            *stopped = self.opened.take();
        }
    }
}

/// All layers, each by one of as many threads as there are processors.
fn scanned(layers: &[LayerBlob], budget: &Arc<Budget>) -> Vec<io::Result<Changes>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, memory) = (AtomicUsize::new(0), Memory::default());
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(layer) = layers.get(number) else {
                return done;
            };
            done.push((number, layer::changes(layer, &memory, budget)));
        }
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let others = 1..threads.min(layers.len());
        let others: Vec<_> = others.map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, changes)| changes).collect()
}

/// Each layer with the instruction that made it: the history's entries that made none are left out.
fn stack(config: &ImageConfig, layers: &[LayerBlob]) -> Stack {
    let history = config.history.iter().filter(|entry| !entry.empty_layer);
    let history: Vec<&str> = history.map(|entry| entry.created_by.as_str()).collect();
    // Squashed images have histories that fit no layers.
    let is_whole = history.len() == layers.len();
    let layer = |(number, layer): (usize, &LayerBlob)| Layer {
        digest: (config.rootfs.diff_ids.get(number))
            .unwrap_or(&layer.name)
            .clone(),
        created_by: if is_whole {
            masked(history[number]).into_owned()
        } else {
            String::new()
        },
        ..Layer::default()
    };
    Stack {
        layers: layers.iter().enumerate().map(layer).collect(),
        ..Stack::default()
    }
}

impl Tree for Layered {
    fn walk(&self, visit: &(dyn Fn(&Entry<'_>, &mut Gathered) + Sync)) -> Gathered {
        let mut gathered = Gathered {
            unread: self.index.problems.clone(),
            ..Gathered::default()
        };
        self.index.for_each(|path, node| {
            let meta = self.meta(node);
            let entry = Entry {
                path,
                meta: &meta,
                target: (meta.kind == Kind::Symlink).then_some(&*node.target),
            };
            gathered.note(&entry);
            visit(&entry, &mut gathered);
        });
        gathered
    }

    fn look(&self, path: &[u8]) -> io::Result<Option<Meta>> {
        let place = self.resolve(path, false)?;
        Ok(place.and_then(|place| self.at(&place)))
    }

    fn follow(&self, path: &[u8]) -> io::Result<Option<Meta>> {
        let place = self.resolve(path, true)?;
        Ok(place.and_then(|place| self.at(&place)))
    }

    fn read(&self, path: &[u8], limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(node) = self.file(path)? else {
            return Ok(None);
        };
        within(node.meta.size, limit)?;
        let mut content = Vec::new();
        let read = self.content(node)?.read_to_end(&mut content);
        read.inspect_err(|error| self.note(path, error))?;
        Ok(Some(content))
    }

    fn open(&self, path: &[u8]) -> io::Result<Option<Box<dyn io::Read + '_>>> {
        self.file(path)?.map(|node| self.content(node)).transpose()
    }

    fn target(&self, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let place = self.resolve(path, false)?;
        let node = place.and_then(|place| self.index.at(&place));
        let link = node.filter(|node| node.meta.kind == Kind::Symlink);
        Ok(link.map(|node| node.target.to_vec()))
    }

    fn names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let directory = self.resolve(path, true)?;
        Ok(directory.map_or_else(Vec::new, |directory| self.index.names(&directory)))
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn layers(&self) -> Option<&Stack> {
        Some(&self.index.stack)
    }

    fn layer_of(&self, path: &[u8]) -> Option<usize> {
        self.index.at(path).map(|node| node.layer)
    }
}

impl Layered {
    fn at(&self, place: &[u8]) -> Option<Meta> {
        if place.is_empty() {
            return Some(Node::root());
        }
        self.index.at(place).map(|node| self.meta(node))
    }
}

#[cfg(test)]
mod tests;
