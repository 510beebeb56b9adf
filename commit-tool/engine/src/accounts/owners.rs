//! Files follow their owner to a new id. Only what the step changed is looked at: on overlayfs, where
//! all of it and each directory above it is new in the step's own layer, the rest is not even entered.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
};

use osderive_lints::{
    EntryKind, escape_path,
    model::acl::{ACCESS, Acl, DEFAULT, Who},
};
use rustix::{
    fs::{
        AtFlags, Gid, Mode, OFlags, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr, fsetxattr,
        openat,
    },
    io::Errno,
};

use crate::{
    error::{Error, Result},
    handle::{Descent, Look, look, open_child, open_file, sorted_names},
    mounts::either_says_mount,
    mounts::{MountNode, Mounts},
    rootfs::Rootfs,
    step_start::StepStart,
    xattrs::filled,
};

/// Chown takes it away (`security/commoncap.c`); it is put back.
const CAPABILITY: &str = "security.capability";

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
pub(super) fn change(rootfs: &Rootfs, moves: &Moves, start: StepStart) -> Result<()> {
    rootfs.note_change();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = openat(rootfs, ".", flags, Mode::empty()).map_err(|source| failed("/", source))?;
    let mut walk = Walk {
        moves,
        start: start.checked(),
        mounts: Mounts::read(rootfs),
        descent: Descent::from(top).map_err(|source| failed("/", source))?,
        linked: HashSet::new(),
        path: Vec::new(),
    };
    walk.run()
}

struct Walk<'a> {
    moves: &'a Moves,
    start: StepStart,
    mounts: Option<Mounts>,
    descent: Descent,
    /// Files of several names that are done: ids may change places, and twice would be back again.
    linked: HashSet<(u64, u64)>,
    /// The names of the directories that were entered.
    path: Vec<OsString>,
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
        if self.start.has_changed(found) && (has_one_name || self.linked.insert(found.file())) {
            self.change(name, found)?;
        }
        if !is_directory || !self.start.may_have_changed_in(found) {
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
            let capability = filled(|buffer| fgetxattr(&handle, CAPABILITY, buffer))?;
            fchown(&handle, uid, gid)?;
            if let Some(value) = capability {
                fsetxattr(&handle, CAPABILITY, &value, XattrFlags::empty())?;
            }
            if found.kind == EntryKind::File && found.mode & SET_IDS != 0 {
                fchmod(&handle, Mode::from_raw_mode(found.mode))?;
            }
        }
        for name in [ACCESS, DEFAULT] {
            if let Some(value) = filled(|buffer| fgetxattr(&handle, name, buffer))?
                && let Some(list) = self.moves.applied_to(&value)
            {
                fsetxattr(&handle, name, &list.to_attribute(), XattrFlags::empty())?;
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

impl Moves {
    /// An access control list with the new ids; none where it has no old one.
    fn applied_to(&self, value: &[u8]) -> Option<Acl> {
        let old = Acl::read(value)?;
        let new = |ids: &BTreeMap<u32, u32>, id: u32| ids.get(&id).copied().unwrap_or(id);
        let list = old.with_ids(|who| match who {
            Who::User(id) => Who::User(new(&self.uids, id)),
            Who::OtherGroup(id) => Who::OtherGroup(new(&self.gids, id)),
            who => who,
        })?;
        (list != old).then_some(list)
    }
}

fn failed(path: &str, source: Errno) -> Error {
    Error::Place {
        action: "change",
        path: path.to_owned(),
        source,
    }
}
