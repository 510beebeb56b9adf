//! Directories in /run that links of /var lead to, such as /run/lock: ordinary images have them, and dpkg takes
//! a link to nothing for no directory. They are made for a command and go with it, unless it has put something there.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::EntryKind;
use rustix::io::Errno;

use crate::{
    place::{Entries, Meta, NewOwner, Place},
    scratch::resolved,
};

pub(super) const RUN: &str = "run";

/// As Debian's images have /run/lock; others let fewer users write there.
const MODE: u32 = 0o1777;

/// What was made in /run.
#[derive(Debug)]
pub(super) struct Run {
    /// /run before.
    before: Meta,
    held: Vec<OsString>,
    made: Entries,
}

impl Run {
    /// Makes what links lead to and is missing; none when nothing is. As at boot, what cannot be made is no reason
    /// not to make the others.
    pub(super) fn make<'p>(
        place: &Place<'_>,
        entries: impl Iterator<Item = (&'p PathBuf, &'p Meta)>,
    ) -> Option<Self> {
        let links = entries.filter(|(_, meta)| meta.look.kind == EntryKind::Symlink);
        let ends: Vec<PathBuf> = links.filter_map(|(path, _)| end(place, path)).collect();
        if ends.is_empty() {
            return None;
        }
        let before = place.meta(Path::new(RUN)).ok()??;
        let held = place.names(Path::new(RUN))?;
        let mut made = Entries::new();
        for end in &ends {
            let _ = make(place, end, &mut made);
        }
        (!made.is_empty()).then_some(Self { before, held, made })
    }

    /// Takes away what is as it was made and empty. If that is all, /run has its time again.
    pub(super) fn take_away(&self, place: &Place<'_>) -> Result<(), Errno> {
        for (path, before) in self.made.iter().rev() {
            if place.meta(path)?.is_some_and(|now| now.is_same(before)) {
                match place.remove(path, EntryKind::Directory) {
                    Ok(()) | Err(Errno::NOTEMPTY | Errno::BUSY) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if place.names(Path::new(RUN)).as_ref() == Some(&self.held) {
            place.set_modified(Path::new(RUN), self.before.look.modified)?;
        }
        Ok(())
    }
}

/// Where a link leads, when that is below a /run that nothing is mounted on.
fn end(place: &Place<'_>, link: &Path) -> Option<PathBuf> {
    let target = place.link_target(link).ok()?;
    let names = resolved(link.to_str()?, OsStr::from_bytes(&target));
    let end: PathBuf = names.into_iter().map(OsStr::from_bytes).collect();
    let is_below = end.starts_with(RUN) && end != Path::new(RUN);
    let run = place.meta(Path::new(RUN)).ok()??;
    (is_below && run.is_open_directory()).then_some(end)
}

fn make(place: &Place<'_>, end: &Path, made: &mut Entries) -> Result<(), Errno> {
    let mut above: Vec<&Path> = end.ancestors().collect();
    // The root and /run are there.
    above.truncate(above.len() - 2);
    for directory in above.into_iter().rev() {
        match place.meta(directory)? {
            Some(there) if there.is_open_directory() => {}
            Some(_) => return Ok(()),
            None => {
                place.make_directory(directory, Some(MODE), NewOwner::default())?;
                let meta = place.meta(directory)?;
                made.extend(meta.map(|meta| (directory.to_owned(), meta)));
            }
        }
    }
    Ok(())
}
