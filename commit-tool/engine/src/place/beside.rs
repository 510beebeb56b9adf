//! Work that is made beside its place and renamed there when it is whole, so that a kill at any point leaves either
//! nothing or the beginning of the same work, and never half of a file.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead as _},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use osderive_lints::EntryKind;
use rustix::{
    fd::BorrowedFd,
    fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, unlinkat},
    io::Errno,
};

use crate::{
    error::IN_THE_WAY,
    handle::{errno, look, open_file},
    paths::digits_of,
};

/// How the name of what is being made ends, until it is whole.
const UNFINISHED: &str = ".osderive-new";

/// The longest name that a file system takes, in bytes (`NAME_MAX` of linux/limits.h).
pub(super) const MAX_NAME: usize = 255;

/// The name of what is made beside its place, to be renamed there when it is whole. A killed commit leaves it, and the
/// next one, which makes the same again, finds it by the same name.
pub(crate) fn unfinished(name: &OsStr) -> OsString {
    let mut unfinished = OsString::from(".");
    if name.len() + UNFINISHED.len() < MAX_NAME {
        unfinished.push(name);
    } else {
        unfinished.push(digits_of(name.as_bytes()));
    }
    unfinished.push(UNFINISHED);
    unfinished
}

/// Whether an entry is a link that a killed commit left before it had its name. Of other unfinished things only who
/// makes the same again knows that they are no user's.
pub(crate) fn is_unfinished_link(path: &Path, kind: EntryKind) -> bool {
    let name = path.file_name().map_or(&[][..], OsStr::as_bytes);
    kind == EntryKind::Symlink && name.starts_with(b".") && name.ends_with(UNFINISHED.as_bytes())
}

/// What is made beside its place.
pub(super) struct Beside<'a> {
    pub(super) directory: BorrowedFd<'a>,
    /// Its name until it is whole.
    pub(super) name: OsString,
    /// Its name then.
    settled: &'a OsStr,
}

impl<'a> Beside<'a> {
    pub(super) fn of(directory: BorrowedFd<'a>, settled: &'a OsStr) -> Self {
        Self {
            directory,
            name: unfinished(settled),
            settled,
        }
    }

    /// Makes it. What stands there `is_left` by a killed commit and goes, or it is [`IN_THE_WAY`] and stays.
    pub(super) fn make<T>(
        &self,
        removal: AtFlags,
        is_left: impl FnOnce() -> Result<bool, Errno>,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make(self.directory, &self.name) {
            Err(Errno::EXIST) => {
                if !is_left()? || unlinkat(self.directory, &self.name, removal).is_err() {
                    return Err(IN_THE_WAY);
                }
                make(self.directory, &self.name)
            }
            outcome => outcome,
        }
    }

    /// Makes a file that is going to have a content. What a killed commit left is the beginning of the same.
    pub(super) fn create<R: io::Read>(
        &self,
        content: impl FnOnce() -> Result<R, Errno>,
    ) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let is_left = || match open_file(self.directory, &self.name) {
            Ok(left) => begins_with(content()?, File::from(left)),
            Err(Errno::LOOP | Errno::NXIO | Errno::XDEV) => Ok(false),
            Err(error) => Err(error),
        };
        let made = self.make(AtFlags::empty(), is_left, |at, name| {
            openat(at, name, flags, Mode::RUSR | Mode::WUSR)
        });
        Ok(made?.into())
    }

    /// Gives it its name, which nothing may have yet.
    pub(super) fn settle(&self) -> Result<(), Errno> {
        let (at, name, settled) = (self.directory, &self.name, self.settled);
        match renameat_with(at, name, at, settled, RenameFlags::NOREPLACE) {
            // A file system that cannot tell.
            Err(Errno::INVAL) => match look(at, settled) {
                Err(Errno::NOENT) => renameat(at, name, at, settled),
                Ok(_) => Err(Errno::EXIST),
                Err(error) => Err(error),
            },
            renamed => renamed,
        }
    }

    /// Puts it in the place of what has its name.
    pub(super) fn replace(&self) -> Result<(), Errno> {
        renameat(self.directory, &self.name, self.directory, self.settled)
    }

    /// Removes it where it did not become whole.
    pub(super) fn or_remove(
        &self,
        outcome: Result<(), Errno>,
        removal: AtFlags,
    ) -> Result<(), Errno> {
        if outcome.is_err() {
            let _ = unlinkat(self.directory, &self.name, removal);
        }
        outcome
    }
}

/// Whether a content begins with all of another one.
pub(super) fn begins_with(whole: impl io::Read, part: impl io::Read) -> Result<bool, Errno> {
    let (mut whole, mut part) = (io::BufReader::new(whole), io::BufReader::new(part));
    let mut compare = || -> io::Result<bool> {
        loop {
            let (have, want) = (whole.fill_buf()?, part.fill_buf()?);
            let length = have.len().min(want.len());
            if length == 0 {
                return Ok(want.is_empty());
            }
            if have[..length] != want[..length] {
                return Ok(false);
            }
            whole.consume(length);
            part.consume(length);
        }
    };
    compare().map_err(|error| errno(&error))
}
