//! What changes a tree: entries are made, renamed, removed, and get other owners, modes and times.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::EntryKind;
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{
        AtFlags, Mode, fstat, linkat, mkdirat, readlinkat, renameat, symlinkat, unlinkat, utimensat,
    },
    io::Errno,
};

use super::{
    beside::Beside,
    look::{Entries, Handles, Place},
    owner::{NewOwner, chown_at, chown_open, give_mode, times},
};
use crate::{
    handle::{Moment, errno, look, open_child, open_file_to_change, set_mode},
    xattrs::copy_xattrs,
};

impl Place<'_> {
    /// Removes entries, of directories only empty ones; answers with those that cannot be removed.
    pub(crate) fn remove_each<'p>(
        &self,
        entries: impl Iterator<Item = (&'p Path, EntryKind)>,
    ) -> Vec<PathBuf> {
        self.rootfs.note_change();
        let mut handles = Handles::new(self);
        let mut remove = |path: &Path, kind| {
            let name = path.file_name().ok_or(Errno::INVAL)?;
            let directory = handles.parent_of(path)?;
            unlinkat(directory, name, removal_of(kind))
        };
        let stuck = entries.filter(|(path, kind)| remove(path, *kind).is_err());
        stuck.map(|(path, _)| path.to_owned()).collect()
    }

    /// The directory of a path at which something is about to change, and the name in it.
    pub(crate) fn parent_to_change<'p>(
        &self,
        path: &'p Path,
    ) -> Result<(OwnedFd, &'p OsStr), Errno> {
        self.rootfs.note_change();
        self.parent(path)
    }

    /// Makes a directory that is not there, 0755 and with what its parent hands down unless the
    /// mode is given; it is made beside its place, so that nobody ever finds it half made.
    pub(crate) fn make_directory(
        &self,
        path: &Path,
        mode: Option<u32>,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        // Whoever left one with something in it was none of us.
        let is_left = || Ok(true);
        beside.make(AtFlags::REMOVEDIR, is_left, |at, name| {
            mkdirat(at, name, Mode::RWXU)
        })?;
        let opened = open_child(beside.directory, &beside.name)?;
        let done = chown_open(&opened, owner)
            .and_then(|()| {
                let inherited = fstat(&opened)?.st_mode & Mode::SGID.as_raw_mode();
                give_mode(&opened, mode.unwrap_or(0o755 | inherited))
            })
            .and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::REMOVEDIR)
    }

    /// Makes the missing directories above a path, root's and 0755 as systemd makes them.
    pub(crate) fn make_parents(
        &self,
        path: &Path,
        made: &mut dyn FnMut(&Path),
    ) -> Result<(), Errno> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.pop();
        for directory in above.into_iter().rev() {
            if self.meta(directory)?.is_none() {
                self.make_directory(directory, Some(0o755), NewOwner::default())?;
                made(directory);
            }
        }
        Ok(())
    }

    /// Sets the permission bits of a file or directory.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        set_mode(directory.as_fd(), name, Mode::from_raw_mode(mode))
    }

    /// Sets who owns a file, directory or link, which takes setuid bits away.
    pub(crate) fn set_owner(&self, path: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        chown_at(directory.as_fd(), name, owner)
    }

    pub(crate) fn make_link(
        &self,
        path: &Path,
        target: &[u8],
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        let target = OsStr::from_bytes(target);
        let is_left = || {
            let left = readlinkat(beside.directory, &beside.name, Vec::new());
            Ok(left.is_ok_and(|left| left.as_bytes() == target.as_bytes()))
        };
        beside.make(AtFlags::empty(), is_left, |at, name| {
            symlinkat(target, at, name)
        })?;
        let done = chown_at(beside.directory, &beside.name, owner).and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::empty())
    }

    /// Opens a file to change a part of it where it is.
    pub(crate) fn open_file_to_change(&self, path: &Path) -> Result<File, Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        Ok(open_file_to_change(directory.as_fd(), name)?.into())
    }

    /// Writes a file beside its place and renames it there.
    pub(crate) fn write_file(
        &self,
        path: &Path,
        content: &[u8],
        mode: u32,
        owner: NewOwner,
    ) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let beside = Beside::of(directory.as_fd(), name);
        let mut file = beside.create(|| Ok(content))?;
        let written = io::Write::write_all(&mut file, content)
            .map_err(|error| errno(&error))
            .and_then(|()| chown_open(&file, owner))
            .and_then(|()| give_mode(&file, mode))
            .and_then(|()| beside.replace());
        beside.or_remove(written, AtFlags::empty())
    }

    /// Sets a file's, directory's or link's time of last modification.
    pub(crate) fn set_modified(&self, path: &Path, modified: Moment) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        let times = times(modified);
        utimensat(directory.as_fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Gives an entry another path; of a directory, `XDEV` when it is one of a lower layer.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent_to_change(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        renameat(from_directory, from_name, to_directory, to_name)
    }

    /// Gives a file one more name.
    pub(crate) fn link(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent_to_change(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        linkat(
            from_directory,
            from_name,
            to_directory,
            to_name,
            AtFlags::empty(),
        )
    }

    /// The same in the place of what may be there, but for a directory.
    pub(crate) fn link_over(&self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let file = look(from_directory.as_fd(), from_name)?.file();
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let is_left = || Ok(look(beside.directory, &beside.name)?.file() == file);
        beside.make(AtFlags::empty(), is_left, |at, name| {
            linkat(&from_directory, from_name, at, name, AtFlags::empty())
        })?;
        let linked = beside.replace();
        // Renaming does nothing when both are names of one file.
        match unlinkat(beside.directory, &beside.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => linked,
            Err(error) => Err(error),
        }
    }

    /// Removes one entry; of a directory only an empty one.
    pub(crate) fn remove(&self, path: &Path, kind: EntryKind) -> Result<(), Errno> {
        let (directory, name) = self.parent_to_change(path)?;
        unlinkat(directory, name, removal_of(kind))
    }

    /// Removes what was listed and is still as it was; answers with what is not, and stays.
    pub(crate) fn remove_listed(&self, entries: &Entries) -> Result<Vec<PathBuf>, Errno> {
        let mut written = Vec::new();
        for (path, listed) in entries.iter().rev() {
            match self.meta(path)? {
                None => {}
                Some(found) if !found.is_unwritten(listed) => written.push(path.clone()),
                Some(_) => match self.remove(path, listed.look.kind) {
                    // Something came into it.
                    Err(Errno::NOTEMPTY | Errno::EXIST) => written.push(path.clone()),
                    removed => removed?,
                },
            }
        }
        Ok(written)
    }

    /// Removes what stands at a path, and below it if it is a directory.
    pub(crate) fn remove_tree(&self, top: &Path) -> Result<(), Errno> {
        for (path, meta) in self.walk(top)?.iter().rev() {
            self.remove(path, meta.look.kind)?;
        }
        Ok(())
    }

    /// Gives a directory the owner, mode and extended attributes of another one.
    pub(crate) fn set_as(&self, path: &Path, other: &Path) -> Result<(), Errno> {
        self.rootfs.note_change();
        let (source, target) = (self.open(other)?, self.open(path)?);
        let found = fstat(&source)?;
        let owner = NewOwner {
            uid: Some(found.st_uid),
            gid: Some(found.st_gid),
        };
        chown_open(&target, owner)?;
        give_mode(&target, found.st_mode & 0o7777)?;
        copy_xattrs(&source, &target)
    }
}

fn removal_of(kind: EntryKind) -> AtFlags {
    match kind {
        EntryKind::Directory => AtFlags::REMOVEDIR,
        _ => AtFlags::empty(),
    }
}
