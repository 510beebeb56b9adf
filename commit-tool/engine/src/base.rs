//! The base image's root, which the commit at the end of a build compares with: what it has is the
//! base's, all else came from the Containerfile.

use std::path::Path;

use osderive_lints::EntryKind;

use crate::{
    error::Result,
    place::{Entries, Meta, Place, Told as _},
    rootfs::Rootfs,
};

/// The root of the base image, mounted beside the one that is committed.
pub struct Base {
    rootfs: Rootfs,
}

impl Base {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self> {
        let rootfs = Rootfs::open(path)?;
        Ok(Self { rootfs })
    }

    /// Its root file system.
    pub fn rootfs(&self) -> &Rootfs {
        &self.rootfs
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place::of(&self.rootfs)
    }

    /// Whether the base has an entry just as it is in the image, of a directory whatever is in it.
    pub(crate) fn has(&self, path: &Path, meta: &Meta) -> bool {
        self.meta(path)
            .is_some_and(|of_base| is_same(&of_base, meta))
    }

    /// The same, and in a directory no name came or went since.
    pub(crate) fn has_with_names(&self, path: &Path, meta: &Meta) -> bool {
        self.meta(path).is_some_and(|of_base| {
            is_same(&of_base, meta) && of_base.look.modified == meta.look.modified
        })
    }

    fn meta(&self, path: &Path) -> Option<Meta> {
        self.place().meta(path).ok().flatten()
    }

    /// What the base has at and below a path. An entry that the image still has as it was is told
    /// as the image has it, so that the two compare as equal.
    pub(crate) fn entries(&self, image: &Place<'_>, top: &Path) -> Result<Entries> {
        let entries = self.place().walk(top).told("look at", top)?;
        of_image(entries, image, top)
    }
}

/// Replaces entries of the base that an image has as they were by the image's own.
pub(crate) fn of_image(mut entries: Entries, image: &Place<'_>, top: &Path) -> Result<Entries> {
    let paths: Vec<_> = entries.keys().cloned().collect();
    let metas = image.metas(paths.iter().map(AsRef::as_ref));
    let metas = metas.told("look at", top)?;
    for (path, meta) in paths.into_iter().zip(metas) {
        if let Some(meta) = meta
            && is_same(&entries[&path], &meta)
        {
            entries.insert(path, meta);
        }
    }
    Ok(entries)
}

/// Whether two roots have the same. Inodes and times of change differ between snapshots; who changed
/// a file left it another time of modification or another size.
fn is_same(one: &Meta, other: &Meta) -> bool {
    let (one, other) = (&one.look, &other.look);
    let attributes = (one.kind, one.mode, one.uid, one.gid);
    let are_alike = attributes == (other.kind, other.mode, other.uid, other.gid);
    let content = (one.bytes, one.modified);
    are_alike && (one.kind == EntryKind::Directory || content == (other.bytes, other.modified))
}

#[cfg(test)]
pub(crate) mod testing {
    use std::process::Command;

    use super::*;

    /// A base image with all that a root has now.
    pub(crate) fn base_like(root: &Path) -> (tempfile::TempDir, Base) {
        let copy = tempfile::tempdir().expect("a directory");
        let mut content = root.as_os_str().to_owned();
        content.push("/.");
        let mut cp = Command::new("cp");
        let copied = cp.arg("--archive").arg(content).arg(copy.path()).status();
        assert!(copied.expect("cp runs").success());
        let base = Base::open(copy.path()).expect("opens");
        (copy, base)
    }
}
