//! The first stage: what stands in the directories that are emptied, and where mounts are.
//! It changes nothing, enters no mount, follows no link and looks nowhere else, so that its cost
//! does not depend on the size of the image.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::LazyLock;

use osderive_lints::{
    EntryKind, escape_path,
    knowledge::caches::{CACHES, Cache},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::readlinkat,
    io::Errno,
};

use crate::{
    error::{Error, Result},
    handle::{Descent, Look, Moment, look, open_below, open_child, sorted_names},
    mounts::{MountNode, Mounts, either_says_mount},
    rootfs::Rootfs,
};

/// The directories that start empty on a machine, in path order. They are emptied at the end of a build.
pub(crate) const AREAS: [Area; 5] = [
    Area {
        path: "run",
        reason: "/run starts empty at every boot",
    },
    // Where /tmp of older ostree bases points to.
    Area {
        path: "sysroot/tmp",
        reason: "/tmp starts empty at every boot",
    },
    Area {
        path: "tmp",
        reason: "/tmp starts empty at every boot",
    },
    Area {
        path: "var/cache",
        reason: "caches are made again on the machine",
    },
    Area {
        path: "var/tmp",
        reason: "temporary files of the build",
    },
];

/// The package managers' own caches, in path order. They are emptied after each RUN.
pub(crate) static PACKAGE_CACHES: LazyLock<Vec<Area>> = LazyLock::new(|| {
    let emptied = CACHES.iter().filter(|cache| cache.is_emptied);
    let area = |cache: &Cache| Area {
        path: cache.path,
        reason: "a cache that the package manager makes again by itself",
    };
    emptied.map(area).collect()
});

/// A directory that is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    /// Relative to the root file system.
    pub(crate) path: &'static str,
    /// Why its content is removed.
    pub(crate) reason: &'static str,
}

/// An entry's place in [`Observation::entries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(u32);

/// One directory entry of an area.
#[derive(Debug)]
pub(crate) struct Entry {
    /// None when it stands in the area itself.
    pub(crate) parent: Option<EntryId>,
    pub(crate) area: Area,
    /// 1 for what stands in the area itself.
    pub(crate) depth: u32,
    pub(crate) name: OsString,
    pub(crate) kind: EntryKind,
    pub(crate) bytes: u64,
    /// When it was changed, as the kernel says.
    pub(crate) changed: Moment,
    pub(crate) obstacle: Option<Obstacle>,
}

/// Why an entry, and so each directory above it, has to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Something is mounted on it.
    Mount,
    /// It is a directory that cannot be read.
    Unreadable(Errno),
}

/// An area that is not simply a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Something is mounted on the area or above it, at this absolute path.
    Mount(String),
    /// Something else stands at this absolute path.
    NotADirectory { path: String, found: String },
}

/// What the first stage saw.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Each directory stands right before all that is below it, siblings are sorted by name: this
    /// is path order, and backwards it has children before parents.
    entries: Vec<Entry>,
    pub(crate) blocked: Vec<Blocked>,
}

impl Observation {
    /// All entries with their ids, in path order.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (EntryId, &Entry)> {
        let end = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        (0..end).map(EntryId).zip(&self.entries)
    }

    pub(crate) fn entry(&self, id: EntryId) -> &Entry {
        &self.entries[id.index()]
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry and all directories above it, upwards.
    pub(crate) fn ancestry(&self, id: EntryId) -> impl Iterator<Item = EntryId> {
        std::iter::successors(Some(id), |&id| self.entry(id).parent)
    }

    /// The absolute path of an entry as text.
    pub(crate) fn path(&self, id: EntryId) -> String {
        let chain: Vec<EntryId> = self.ancestry(id).collect();
        let mut path = format!("/{}", self.entry(id).area.path).into_bytes();
        for id in chain.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(self.entry(id).name.as_bytes());
            if path.len() > osderive_lints::MAX_PATH_BYTES {
                break;
            }
        }
        escape_path(&path)
    }
}

impl EntryId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Looks at areas of a root file system, given what the mount table says about it.
pub(crate) fn observe(
    rootfs: &Rootfs,
    areas: &[Area],
    mounts: Option<Mounts>,
) -> Result<Observation> {
    let mut observer = Observer {
        mounts,
        seen: Observation::default(),
    };
    for &area in areas {
        if let Some((top, node)) = observer.open_area(rootfs.as_fd(), area)? {
            observer.walk(area, top, node)?;
        }
    }
    Ok(observer.seen)
}

/// Opens an area for the stages after this one; none when it is no plain directory any more.
pub(crate) fn reopen(rootfs: &Rootfs, area: Area) -> Option<OwnedFd> {
    open_below(rootfs.as_fd(), area.path).ok()
}

struct Observer {
    mounts: Option<Mounts>,
    seen: Observation,
}

/// A directory whose entries are being recorded.
struct Frame {
    directory: Option<EntryId>,
    mount_node: Option<MountNode>,
    /// Names that are left, last first.
    names: Vec<OsString>,
}

impl Observer {
    fn open_area(
        &mut self,
        rootfs: BorrowedFd<'_>,
        area: Area,
    ) -> Result<Option<(OwnedFd, Option<MountNode>)>> {
        let mut directory = rustix::io::dup(rootfs).map_err(|source| observe_error("/", source))?;
        let mut node = self.mounts.is_some().then(Mounts::root);
        let mut path = String::new();
        for name in area.path.split('/') {
            path = format!("{path}/{name}");
            node = self.mount_child(node, OsStr::new(name));
            let found = match look(directory.as_fd(), OsStr::new(name)) {
                Ok(found) => found,
                Err(Errno::NOENT) => return Ok(None),
                Err(source) => return Err(observe_error(&path, source)),
            };
            if self.is_mount(&found, node)? {
                self.block(Blocked::Mount(path));
                return Ok(None);
            }
            if found.kind != EntryKind::Directory {
                if let Some(blocked) = not_a_directory(directory.as_fd(), &path, found.kind) {
                    self.block(blocked);
                }
                return Ok(None);
            }
            directory = match open_child(directory.as_fd(), OsStr::new(name)) {
                Ok(opened) => opened,
                Err(Errno::XDEV) => {
                    self.block(Blocked::Mount(path));
                    return Ok(None);
                }
                Err(source) => return Err(observe_error(&path, source)),
            };
        }
        Ok(Some((directory, node)))
    }

    /// Two areas may share a mount above them; it is told once.
    fn block(&mut self, blocked: Blocked) {
        if !self.seen.blocked.contains(&blocked) {
            self.seen.blocked.push(blocked);
        }
    }

    /// Records everything below an area. The pending names are kept on a list, not on the call
    /// stack: a tree may be deeper than any stack.
    fn walk(&mut self, area: Area, top: OwnedFd, node: Option<MountNode>) -> Result<()> {
        let failed = |source| observe_error(&format!("/{}", area.path), source);
        let mut descent = Descent::from(top).map_err(failed)?;
        let names = reversed(sorted_names(descent.directory()).map_err(failed)?);
        let mut frames = vec![Frame {
            directory: None,
            mount_node: node,
            names,
        }];
        while let Some(frame) = frames.last_mut() {
            let Some(name) = frame.names.pop() else {
                frames.pop();
                if !frames.is_empty() {
                    descent.leave().map_err(failed)?;
                }
                continue;
            };
            let (parent, parent_node) = (frame.directory, frame.mount_node);
            if let Some(below) = self.record(area, &mut descent, parent, parent_node, name)? {
                frames.push(below);
            }
        }
        Ok(())
    }

    /// Records one entry, and enters it if it is a directory that may be entered.
    fn record(
        &mut self,
        area: Area,
        descent: &mut Descent,
        parent: Option<EntryId>,
        parent_node: Option<MountNode>,
        name: OsString,
    ) -> Result<Option<Frame>> {
        let found = match look(descent.directory(), &name) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(source) => {
                let above =
                    parent.map_or_else(|| format!("/{}", area.path), |id| self.seen.path(id));
                let path = format!("{above}/{}", escape_path(name.as_bytes()));
                return Err(observe_error(&path, source));
            }
        };
        let mount_node = self.mount_child(parent_node, &name);
        let mut obstacle = self
            .is_mount(&found, mount_node)?
            .then_some(Obstacle::Mount);
        let mut names = None;
        if found.kind == EntryKind::Directory && obstacle.is_none() {
            match enter_and_list(descent, &name) {
                Ok(listed) => names = Some(reversed(listed)),
                Err(Errno::XDEV) => obstacle = Some(Obstacle::Mount),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => obstacle = Some(Obstacle::Unreadable(error)),
            }
        }
        let id = EntryId(u32::try_from(self.seen.entries.len()).unwrap_or(u32::MAX));
        let depth = parent.map_or(0, |parent| self.seen.entry(parent).depth) + 1;
        self.seen.entries.push(Entry {
            parent,
            area,
            depth,
            name,
            kind: found.kind,
            bytes: found.bytes,
            changed: found.changed,
            obstacle,
        });
        Ok(names.map(|names| Frame {
            directory: Some(id),
            mount_node,
            names,
        }))
    }

    fn mount_child(&self, node: Option<MountNode>, name: &OsStr) -> Option<MountNode> {
        self.mounts.as_ref()?.child(node?, name.as_bytes())
    }

    fn is_mount(&self, found: &Look, node: Option<MountNode>) -> Result<bool> {
        let listed = self
            .mounts
            .as_ref()
            .map(|mounts| node.is_some_and(|node| mounts.is_mount(node)));
        either_says_mount(found.is_mount, listed)
    }
}

fn enter_and_list(descent: &mut Descent, name: &OsStr) -> Result<Vec<OsString>, Errno> {
    descent.enter(name)?;
    match sorted_names(descent.directory()) {
        Ok(names) => Ok(names),
        Err(error) => {
            descent.leave()?;
            Err(error)
        }
    }
}

fn reversed(mut names: Vec<OsString>) -> Vec<OsString> {
    names.reverse();
    names
}

fn observe_error(path: &str, source: Errno) -> Error {
    Error::Place {
        action: "look at",
        path: path.to_owned(),
        source,
    }
}

/// What to say about an area's path that is no directory; nothing about a link to another area,
/// which is emptied anyway.
fn not_a_directory(directory: BorrowedFd<'_>, path: &str, kind: EntryKind) -> Option<Blocked> {
    let found = match kind {
        EntryKind::Symlink => {
            let target = readlinkat(directory, path.rsplit('/').next()?, Vec::new()).ok()?;
            let target = OsString::from_vec(target.into_bytes());
            if is_emptied(&resolved(path, &target)) {
                return None;
            }
            format!("a symbolic link to {}", escape_path(target.as_bytes()))
        }
        EntryKind::File => "a file".to_owned(),
        _ => "a special file".to_owned(),
    };
    Some(Blocked::NotADirectory {
        path: path.to_owned(),
        found,
    })
}

fn is_emptied(path: &[&[u8]]) -> bool {
    let path = path.join(&b'/');
    AREAS.iter().any(|area| area.path.as_bytes() == path)
}

/// Where a link leads inside the root file system, by its text alone; `..` stops at the root.
pub(crate) fn resolved<'a>(link: &'a str, target: &'a OsStr) -> Vec<&'a [u8]> {
    let mut path: Vec<&[u8]> = Vec::new();
    if !target.as_bytes().starts_with(b"/") {
        path.extend(link.as_bytes().split(|&byte| byte == b'/'));
        path.pop();
    }
    path.extend(target.as_bytes().split(|&byte| byte == b'/'));
    path.iter().fold(Vec::new(), |mut walked, &name| {
        match name {
            b"" | b"." => {}
            b".." => {
                walked.pop();
            }
            name => walked.push(name),
        }
        walked
    })
}

#[cfg(test)]
mod tests;
