//! Extended attributes of entries, read and changed without opening what has them: by a name below the handle of its
//! directory. They are looked at where an entry is declared or moves, nowhere else.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::{
    EntryKind,
    model::{
        acl::{ACCESS, Acl, DEFAULT, Lists},
        tmpfiles::{Line, Owner},
    },
};
use rustix::{
    fd::{AsFd as _, BorrowedFd, OwnedFd},
    fs::{
        XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, lgetxattr, llistxattr,
        lremovexattr, lsetxattr,
    },
    io::Errno,
};

use crate::{
    handle::{look, open_child, open_file, path_in_proc},
    paths::pattern_of,
    place::{Handles, NewOwner, Place},
    xattrs::{filled, is_list_of_xfs},
};

const CAPABILITIES: &str = "boot copies no capabilities of files";
const TRUSTED: &str = "boot copies no attributes of trusted.*";
const UNKNOWN_ID: &str = "its access control list names an id that this build does not have";
const NO_LIST: &str = "its access control list is none that Linux writes";

/// What an entry has besides mode and owner, but for the labels of a security policy, which are a machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) lists: Lists,
    /// Those of the namespace `user.`, which systemd-tmpfiles copies (`copy_xattr`).
    pub(crate) user: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Why no line can give them to an entry.
    pub(crate) obstacle: Option<&'static str>,
}

impl Place<'_> {
    /// The attributes of an entry.
    pub(crate) fn attributes(&self, path: &Path) -> Result<Attributes, Errno> {
        let (directory, name) = self.parent(path)?;
        on(directory.as_fd(), name, Attributes::of)
    }

    /// Gives an entry these lists and no others.
    pub(crate) fn set_lists(&self, path: &Path, lists: &Lists) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        on(directory.as_fd(), name, |entry| {
            entry.set_list(ACCESS, lists.access.as_ref())?;
            entry.set_list(DEFAULT, lists.default.as_ref())
        })
    }

    /// Takes the lists away from an entry, whose group has then what these permission bits say. Of a file that
    /// has names elsewhere, this one becomes a file of its own.
    pub(crate) fn make_plain(&self, path: &Path, mode: u32, is_shared: bool) -> Result<(), Errno> {
        if is_shared {
            self.copy_file(path, path, NewOwner::default())?;
        }
        // The bits first, so that nobody has more at any moment.
        self.set_mode(path, mode)?;
        self.set_lists(path, &Lists::default())
    }
}

impl Handles<'_> {
    /// The attributes of an entry.
    pub(crate) fn attributes(&mut self, path: &Path) -> Result<Attributes, Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let directory = self.parent_of(path)?;
        on(directory, name, Attributes::of)
    }
}

/// The line that adds lists to what a path, absolute, has; none where there are none. It says all of them, so that what
/// it adds to does not matter, and a machine's own entries stay.
pub(crate) fn line(
    path: &[u8],
    lists: &Lists,
    user: impl Fn(u32) -> Owner,
    group: impl Fn(u32) -> Owner,
) -> Option<Line> {
    let text = |list: &Acl, is_default| list.to_text(is_default, &user, &group);
    let access = lists.access.iter().map(|list| text(list, false));
    let both = access.chain(lists.default.iter().map(|list| text(list, true)));
    (!lists.is_empty()).then(|| Line {
        kind: b'a',
        modifiers: b"+".to_vec(),
        path: pattern_of(path),
        mode: None,
        user: None,
        group: None,
        age: None,
        argument: Some(both.collect::<Vec<_>>().join(&b","[..])),
        file: Vec::new(),
        number: 0,
    })
}

impl Attributes {
    fn of(entry: &Entry) -> Result<Self, Errno> {
        let mut attributes = Self::default();
        let names = entry.names()?;
        for name in names.split(|&byte| byte == 0) {
            match name {
                b"security.capability" => attributes.obstacle = Some(CAPABILITIES),
                _ if name == ACCESS.as_bytes() => {
                    attributes.lists.access = attributes.list(entry.value(name)?);
                }
                _ if name == DEFAULT.as_bytes() => {
                    attributes.lists.default = attributes.list(entry.value(name)?);
                }
                _ if is_list_of_xfs(name) => {}
                _ if name.starts_with(b"trusted.") => attributes.obstacle = Some(TRUSTED),
                _ if name.starts_with(b"user.") => {
                    let value = entry.value(name)?;
                    attributes
                        .user
                        .extend(value.map(|value| (name.to_vec(), value)));
                }
                _ => {}
            }
        }
        Ok(attributes)
    }

    fn list(&mut self, value: Option<Vec<u8>>) -> Option<Acl> {
        let list = Acl::read(&value?);
        match &list {
            None => self.obstacle = Some(NO_LIST),
            Some(list) if list.names_nobody() => self.obstacle = Some(UNKNOWN_ID),
            Some(_) => {}
        }
        list.filter(|list| !list.names_nobody())
    }
}

/// An entry whose attributes can be asked for.
enum Entry {
    /// Its name below where /proc leads to its directory; it may be a link itself.
    Named(PathBuf),
    Open(OwnedFd),
}

/// Does something with an entry of a directory. Only without /proc is it opened, if it is a file or a directory.
fn on<T>(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    work: impl Fn(&Entry) -> Result<T, Errno>,
) -> Result<T, Errno> {
    if let Some(directory) = path_in_proc(directory) {
        return work(&Entry::Named(directory.join(name)));
    }
    let opened = match look(directory, name)?.kind {
        EntryKind::Directory => open_child(directory, name)?,
        _ => open_file(directory, name)?,
    };
    work(&Entry::Open(opened))
}

impl Entry {
    /// The names of all attributes, each ended by a NUL.
    fn names(&self) -> Result<Vec<u8>, Errno> {
        filled(|buffer| match self {
            Self::Named(path) => llistxattr(path, buffer),
            Self::Open(handle) => flistxattr(handle, buffer),
        })
        .map(Option::unwrap_or_default)
    }

    fn value(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        let name = OsStr::from_bytes(name);
        filled(|buffer| match self {
            Self::Named(path) => lgetxattr(path, name, buffer),
            Self::Open(handle) => fgetxattr(handle, name, buffer),
        })
    }

    fn set_list(&self, name: &str, list: Option<&Acl>) -> Result<(), Errno> {
        let flags = XattrFlags::empty();
        let done = match (self, list.map(Acl::to_attribute)) {
            (Self::Named(path), Some(value)) => lsetxattr(path, name, &value, flags),
            (Self::Open(handle), Some(value)) => fsetxattr(handle, name, &value, flags),
            (Self::Named(path), None) => lremovexattr(path, name),
            (Self::Open(handle), None) => fremovexattr(handle, name),
        };
        match done {
            // There was none.
            Err(Errno::NODATA | Errno::NOTSUP) if list.is_none() => Ok(()),
            done => done,
        }
    }
}
