//! Files follow their owner to a new id. Only what the step changed is looked at: on overlayfs, where
//! all of it and each directory above it is new in the step's own layer, the rest is not even entered.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
};

use osderive_lints::{EntryKind, escape_path};
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{
        AtFlags, Gid, Mode, OFlags, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, fsetxattr,
        openat,
    },
    io::Errno,
};

use crate::{
    began::Began,
    error::{Error, Result},
    handle::{Descent, Look, look, open_child, open_file, sorted_names},
    mounts::either_says_mount,
    mounts::{MountNode, Mounts},
    rootfs::Rootfs,
};

/// Chown takes it away (`security/commoncap.c`); it is put back.
const CAPABILITY: &str = "security.capability";

/// Hold ids as numbers too (`uapi/linux/posix_acl_xattr.h`).
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// The largest extended attribute there is (`XATTR_SIZE_MAX`).
const MAX_XATTR_BYTES: usize = 65536;

/// Mode bits that chown takes away from files.
const SET_IDS: u32 = 0o6000;

/// Old ids and what becomes of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub(super) uids: BTreeMap<u32, u32>,
    pub(super) gids: BTreeMap<u32, u32>,
}

impl Moves {
    pub(super) fn is_empty(&self) -> bool {
        self.uids.is_empty() && self.gids.is_empty()
    }
}

/// Gives what the step made and what belongs to an old id to the new one. Mounts are left alone.
pub(super) fn change(rootfs: &Rootfs, moves: &Moves, began: Began) -> Result<()> {
    rootfs.note_change();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(rootfs, ".", flags, Mode::empty()).map_err(|source| failed("/", source))?;
    let mut walk = Walk {
        moves,
        began: began.checked(),
        mounts: Mounts::read(rootfs),
        descent: Descent::from(top).map_err(|source| failed("/", source))?,
        linked: HashSet::new(),
        path: Vec::new(),
        buffer: vec![0; MAX_XATTR_BYTES],
    };
    walk.run()
}

struct Walk<'a> {
    moves: &'a Moves,
    began: Began,
    mounts: Option<Mounts>,
    descent: Descent,
    /// Files of several names that are done: ids may change places, and twice would be back again.
    linked: HashSet<u64>,
    /// The names of the directories that were entered.
    path: Vec<OsString>,
    buffer: Vec<u8>,
}

/// A directory whose entries are being visited.
struct Frame {
    mount_node: Option<MountNode>,
    names: Vec<OsString>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<()> {
        let names =
            sorted_names(self.descent.directory()).map_err(|error| self.failed("", error))?;
        let mount_node = self.mounts.is_some().then(Mounts::root);
        let mut frames = vec![Frame { mount_node, names }];
        while let Some(frame) = frames.last_mut() {
            let Some(name) = frame.names.pop() else {
                frames.pop();
                if self.path.pop().is_some() {
                    self.descent
                        .leave()
                        .map_err(|error| self.failed("", error))?;
                }
                continue;
            };
            let above = frame.mount_node;
            let mount_node =
                above.and_then(|node| self.mounts.as_ref()?.child(node, name.as_bytes()));
            let found =
                look(self.descent.directory(), &name).map_err(|error| self.failed(&name, error))?;
            if self.is_mount(&found, mount_node)? {
                continue;
            }
            let visited = self
                .visit(&name, &found)
                .map_err(|error| self.failed(&name, error))?;
            if let Some(names) = visited {
                self.path.push(name);
                frames.push(Frame { mount_node, names });
            }
        }
        Ok(())
    }

    fn is_mount(&self, found: &Look, node: Option<MountNode>) -> Result<bool> {
        let listed =
            (self.mounts.as_ref()).map(|mounts| node.is_some_and(|node| mounts.is_mount(node)));
        either_says_mount(found.is_mount, listed)
    }

    /// Changes an entry, and enters it if it is a directory that may hold others.
    fn visit(&mut self, name: &OsStr, found: &Look) -> Result<Option<Vec<OsString>>, Errno> {
        let is_directory = found.kind == EntryKind::Directory;
        let has_one_name = is_directory || found.links == 1;
        if self.began.has_changed(found) && (has_one_name || self.linked.insert(found.inode)) {
            self.change(name, found)?;
        }
        if !is_directory || !self.began.may_have_changed_in(found) {
            return Ok(None);
        }
        match self.descent.enter(name) {
            Ok(()) => sorted_names(self.descent.directory()).map(Some),
            Err(Errno::XDEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn change(&mut self, name: &OsStr, found: &Look) -> Result<(), Errno> {
        let uid = self.moves.uids.get(&found.uid).copied().map(Uid::from_raw);
        let gid = self.moves.gids.get(&found.gid).copied().map(Gid::from_raw);
        let directory = self.descent.directory();
        let handle = match found.kind {
            EntryKind::File => open_file(directory, name)?,
            EntryKind::Directory => match open_child(directory, name) {
                Err(Errno::XDEV) => return Ok(()),
                opened => opened?,
            },
            EntryKind::Symlink | EntryKind::Special if uid.is_none() && gid.is_none() => {
                return Ok(());
            }
            EntryKind::Symlink | EntryKind::Special => {
                return chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            }
        };
        if uid.is_some() || gid.is_some() {
            let capability = attribute(handle.as_fd(), CAPABILITY, &mut self.buffer)?;
            fchown(&handle, uid, gid)?;
            if let Some(value) = capability {
                fsetxattr(&handle, CAPABILITY, value, XattrFlags::empty())?;
            }
            if found.kind == EntryKind::File && found.mode & SET_IDS != 0 {
                fchmod(&handle, Mode::from_raw_mode(found.mode))?;
            }
        }
        for acl in ACLS {
            if let Some(value) = attribute(handle.as_fd(), acl, &mut self.buffer)?
                && self.moves.apply_to_acl(value)
            {
                fsetxattr(&handle, acl, value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    fn failed(&self, name: impl AsRef<OsStr>, source: Errno) -> Error {
        let mut path = Vec::new();
        for name in self
            .path
            .iter()
            .map(OsString::as_os_str)
            .chain([name.as_ref()])
        {
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
        }
        failed(&escape_path(&path), source)
    }
}

fn attribute<'b>(
    file: BorrowedFd<'_>,
    name: &str,
    buffer: &'b mut [u8],
) -> Result<Option<&'b mut [u8]>, Errno> {
    match fgetxattr(file, name, &mut *buffer) {
        Ok(length) => Ok(Some(&mut buffer[..length])),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Moves {
    /// Changes the ids in an access control list: four bytes of version, then entries of a tag, a
    /// permission and an id, all little-endian. Answers whether there were any.
    fn apply_to_acl(&self, list: &mut [u8]) -> bool {
        const HEADER: usize = 4;
        const ENTRY: usize = 8;
        let mut changed = false;
        let entries = list.get_mut(HEADER..).unwrap_or_default();
        for entry in entries.chunks_exact_mut(ENTRY) {
            let (tag, id) = entry.split_at_mut(4);
            let ids = match tag[0] {
                0x02 => &self.uids,
                0x08 => &self.gids,
                _ => continue,
            };
            let old = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
            if let Some(new) = ids.get(&old) {
                id.copy_from_slice(&new.to_le_bytes());
                changed = true;
            }
        }
        changed
    }
}

fn failed(path: &str, source: Errno) -> Error {
    Error::Place {
        action: "change",
        path: path.to_owned(),
        source,
    }
}
