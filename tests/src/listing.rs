//! A whole tree on disk as text: every path with type, mode, owner, content and extended attributes. Times
//! are left out: an ostree import sets them all to 0.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};

use crate::error::{Result, io_error};

/// What stands at each path, relative to the tree's root.
pub type Listing = BTreeMap<PathBuf, String>;

/// Lists what a root file system has at and below some paths.
///
/// # Errors
/// When it cannot be read.
pub fn list(root: &Path, tops: &[&str]) -> Result<Listing> {
    let mut listing = Listing::new();
    let mut open: Vec<PathBuf> = tops.iter().map(PathBuf::from).collect();
    while let Some(path) = open.pop() {
        let full = root.join(&path);
        let described = describe(&full).map_err(io_error("read", &full))?;
        if described.starts_with("directory") {
            let names = fs::read_dir(&full).and_then(Iterator::collect::<io::Result<Vec<_>>>);
            let names = names.map_err(io_error("list", &full))?;
            open.extend(names.iter().map(|name| path.join(name.file_name())));
        }
        listing.insert(path, described);
    }
    Ok(listing)
}

/// The paths that are not the same in both, with what each has there.
pub fn differences(left: &Listing, right: &Listing) -> BTreeMap<PathBuf, [String; 2]> {
    let paths: BTreeSet<&PathBuf> = left.keys().chain(right.keys()).collect();
    let of = |listing: &Listing, path: &PathBuf| {
        let found = listing.get(path);
        found.map_or_else(|| "missing".to_owned(), Clone::clone)
    };
    let both = paths
        .into_iter()
        .map(|path| (path.clone(), [of(left, path), of(right, path)]));
    both.filter(|(_, [left, right])| left != right).collect()
}

fn describe(path: &Path) -> io::Result<String> {
    let meta = fs::symlink_metadata(path)?;
    let kind = meta.file_type();
    let mut text = if kind.is_dir() {
        "directory".to_owned()
    } else if kind.is_symlink() {
        format!("link to {}", fs::read_link(path)?.display())
    } else if kind.is_file() {
        format!("file of {} bytes {}", meta.len(), digest(&fs::read(path)?))
    } else if kind.is_fifo() {
        "FIFO".to_owned()
    } else {
        "special".to_owned()
    };
    let _ = write!(
        text,
        ", {:04o} {}:{}",
        meta.mode() & 0o7777,
        meta.uid(),
        meta.gid()
    );
    for (name, value) in attributes(path)? {
        let _ = write!(text, ", {name}={}", digest(&value));
    }
    Ok(text)
}

/// Sixteen hexadecimal digits, by a hash that is fast in a build without optimisation, too.
fn digest(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(content);
    format!("{:016x}", hasher.finish())
}

fn attributes(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut names = vec![0; 1 << 16];
    let length = match llistxattr(&path, names.as_mut_slice()) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        listed => listed?,
    };
    let mut found = BTreeMap::new();
    for name in names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 1 << 16];
        let length = lgetxattr(&path, name, value.as_mut_slice())?;
        value.truncate(length);
        found.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(found)
}
