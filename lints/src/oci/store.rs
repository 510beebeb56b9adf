//! Where the files of an image are: in a folder, or in an archive whose headers are read once. Layers
//! may stand before the manifest that names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tar::EntryType;

use super::{Blob, Headers, ImageError};

/// Files of an archive at most; an image has two for each layer and a few more.
const MAX_FILES: usize = 100_000;

/// Links from one file of an archive to another at most, one after the other.
const MAX_LINKS: usize = 8;

/// The files that an image consists of.
#[derive(Debug)]
pub(crate) enum Store {
    Folder(PathBuf),
    Archive(BTreeMap<String, Stored>),
}

/// A file of an archive.
#[derive(Debug)]
pub(crate) enum Stored {
    File(Blob),
    /// The engine stores a layer that it has twice as a link (`docker save` before version 25).
    Link(String),
}

impl Store {
    /// Reads the headers of an archive.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn archive(path: &Path) -> Result<Self, ImageError> {
        let shown = path.display().to_string();
        let blob = Blob::open(path).map_err(ImageError::io(&shown))?;
        let mut magic = blob.part(0, 4).read(4).map_err(ImageError::io(&shown))?;
        magic.resize(4, 0);
        if let [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] = magic[..] {
            return Err(ImageError::NoImage(format!(
                "{shown}: the archive as a whole is compressed; unpack it first (gunzip, unzstd)"
            )));
        }
        let files = Self::files(&blob).map_err(ImageError::io(format!("{shown} as an archive")))?;
        Ok(Self::Archive(files))
    }

    fn files(archive: &Blob) -> std::io::Result<BTreeMap<String, Stored>> {
        let mut files = BTreeMap::new();
        let mut headers = Headers::new(archive.bytes());
        while let Some(member) = headers.next()? {
            let Some(name) = name(&member.path) else {
                continue;
            };
            match member.kind {
                EntryType::Regular | EntryType::Continuous => {
                    let blob = archive.part(member.offset, member.size);
                    files.insert(name, Stored::File(blob));
                }
                EntryType::Symlink => {
                    let target = [parent(&name).as_bytes(), b"/", &member.link].concat();
                    let target = self::name(&target).map(Stored::Link);
                    files.extend(target.map(|target| (name, target)));
                }
                EntryType::Link => {
                    let target = self::name(&member.link).map(Stored::Link);
                    files.extend(target.map(|target| (name, target)));
                }
                _ => {}
            }
            if files.len() > MAX_FILES {
                return Err(std::io::Error::other("it has too many files for an image"));
            }
        }
        Ok(files)
    }

    /// Whether there is a file of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(folder) => folder.join(name).is_file(),
            Self::Archive(files) => files.contains_key(name),
        }
    }

    /// A file by its name, which is one that an image may use: no `..`, not absolute.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub(crate) fn blob(&self, file: &str) -> Result<Blob, ImageError> {
        let missing = || ImageError::NoImage(format!("{file} is missing"));
        match self {
            Self::Folder(folder) => {
                let clean = name(file.as_bytes()).filter(|clean| clean == file);
                let path = folder.join(clean.ok_or_else(missing)?);
                Blob::open(&path).map_err(ImageError::io(file))
            }
            Self::Archive(files) => {
                let mut name = file;
                for _ in 0..MAX_LINKS {
                    match files.get(name).ok_or_else(missing)? {
                        Stored::File(blob) => return Ok(blob.clone()),
                        Stored::Link(target) => name = target,
                    }
                }
                Err(missing())
            }
        }
    }
}

/// A name in its shortest form; none for what leads out of the archive or is no text.
fn name(path: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    for part in str::from_utf8(path).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}
