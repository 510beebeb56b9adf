//! Copies of files and trees, with all that an entry has: owner, mode, times, attributes, holes and hard links.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use osderive_lints::EntryKind;
use rustix::{
    fd::AsFd,
    fs::{AtFlags, FileType, Mode, fstat, futimens, mknodat, seek, statat},
    io::Errno,
};

use super::{
    beside::{Beside, unfinished},
    look::{Entries, Meta, Place, moved},
    owner::{NewOwner, chown_at, chown_open, give_mode, times},
};
use crate::{
    handle::{Moment, errno, look, open_file, set_mode},
    unread::is_of_the_machine,
    xattrs::copy_xattrs,
};

impl Place<'_> {
    /// Copies a file with its owner, mode, times, extended attributes and holes.
    pub(crate) fn copy_file(&self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let open = || Ok(File::from(open_file(from_directory.as_fd(), from_name)?));
        let source = open()?;
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let target = beside.create(open)?;
        let copied = copy_content(&source, &target)
            .and_then(|()| copy_attributes(&source, &target, owner))
            .and_then(|()| beside.replace());
        beside.or_remove(copied, AtFlags::empty())
    }

    /// Whether all that stands at a path is a copy of what stands at another one, whole or in part, and nothing else.
    pub(crate) fn is_copied_from(&self, copy: &Path, from: &Path) -> Result<bool, Errno> {
        for (path, meta) in &self.walk(copy)? {
            let original = moved(path, copy, from);
            let Some(there) = self.meta(&original)? else {
                let above = original.parent().unwrap_or(Path::new(""));
                // What was being made when the commit was killed.
                let names = match self.list_names(above) {
                    Err(errno) if is_of_the_machine(errno) => return Err(errno),
                    names => names.unwrap_or_default(),
                };
                let mut names = names.into_iter();
                if names.any(|name| Some(&*unfinished(&name)) == path.file_name()) {
                    continue;
                }
                return Ok(false);
            };
            let is_alike = there.look.kind == meta.look.kind
                && match meta.look.kind {
                    EntryKind::File => self.hold_the_same(path, &original)?,
                    EntryKind::Symlink => self.link_target(path)? == self.link_target(&original)?,
                    EntryKind::Directory | EntryKind::Special => true,
                };
            if !is_alike {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies what was listed at a path and below it to where nothing is yet. Hard links among the files stay such.
    pub(crate) fn copy_tree(
        &self,
        source: &Entries,
        from: &Path,
        to: &Path,
        owner: NewOwner,
        made: &mut dyn FnMut(&Path),
    ) -> Result<(), Errno> {
        let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
        for (path, meta) in source {
            let target = moved(path, from, to);
            let owner = NewOwner {
                uid: owner.uid.or(Some(meta.look.uid)),
                gid: owner.gid.or(Some(meta.look.gid)),
            };
            match meta.look.kind {
                EntryKind::Directory => {
                    self.make_directory(&target, Some(meta.look.mode), owner)?;
                    copy_xattrs(self.open(path)?, self.open(&target)?)?;
                }
                EntryKind::File => match linked.get(&meta.look.file()) {
                    Some(first) => self.link(first, &target)?,
                    None => self.copy_file(path, &target, owner)?,
                },
                EntryKind::Symlink => {
                    self.make_link(&target, &self.link_target(path)?, owner)?;
                    self.set_modified(&target, meta.look.modified)?;
                }
                EntryKind::Special => self.copy_special(path, &target, owner)?,
            }
            made(&target);
            if meta.look.kind == EntryKind::File && meta.look.links > 1 {
                linked.entry(meta.look.file()).or_insert(target);
            }
        }
        let is_directory = |entry: &(&PathBuf, &Meta)| entry.1.look.kind == EntryKind::Directory;
        for (path, meta) in source.iter().rev().filter(is_directory) {
            self.set_modified(&moved(path, from, to), meta.look.modified)?;
        }
        Ok(())
    }

    /// Makes a FIFO, socket or device like another one.
    fn copy_special(&self, from: &Path, to: &Path, owner: NewOwner) -> Result<(), Errno> {
        let (from_directory, from_name) = self.parent(from)?;
        let (to_directory, to_name) = self.parent_to_change(to)?;
        let found = statat(from_directory, from_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        let mode = Mode::from_raw_mode(found.st_mode & 0o7777);
        let beside = Beside::of(to_directory.as_fd(), to_name);
        let is_left = || {
            let left = look(beside.directory, &beside.name)?;
            Ok(left.kind == EntryKind::Special)
        };
        beside.make(AtFlags::empty(), is_left, |at, name| {
            mknodat(at, name, kind, mode, found.st_rdev)
        })?;
        // The umask takes bits away, and a change of owner others.
        let done = chown_at(beside.directory, &beside.name, owner)
            .and_then(|()| set_mode(beside.directory, &beside.name, mode))
            .and_then(|()| beside.settle());
        beside.or_remove(done, AtFlags::empty())
    }
}

/// Copies the parts of a file that hold data.
fn copy_content(source: &File, target: &File) -> Result<(), Errno> {
    let size = source.metadata().map_err(|error| errno(&error))?.len();
    let mut end = 0;
    while end < size {
        let start = match seek(source, rustix::fs::SeekFrom::Data(end)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            // A file system without holes.
            Err(Errno::INVAL) => end,
            Err(error) => return Err(error),
        };
        end = seek(source, rustix::fs::SeekFrom::Hole(start)).unwrap_or(size);
        copy_part(source, target, start, end).map_err(|error| errno(&error))?;
    }
    target.set_len(size).map_err(|error| errno(&error))
}

fn copy_part(mut source: &File, mut target: &File, start: u64, end: u64) -> io::Result<()> {
    source.seek(SeekFrom::Start(start))?;
    target.seek(SeekFrom::Start(start))?;
    io::copy(&mut source.take(end - start), &mut target)?;
    Ok(())
}

fn copy_attributes(source: &File, target: &File, owner: NewOwner) -> Result<(), Errno> {
    let found = fstat(source)?;
    let owner = NewOwner {
        uid: owner.uid.or(Some(found.st_uid)),
        gid: owner.gid.or(Some(found.st_gid)),
    };
    chown_open(target, owner)?;
    give_mode(target, found.st_mode & 0o7777)?;
    copy_xattrs(source, target)?;
    let modified = Moment {
        seconds: found.st_mtime,
        nanoseconds: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
    };
    futimens(target, &times(modified))
}
