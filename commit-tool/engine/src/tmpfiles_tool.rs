//! What the image's systemd-tmpfiles was built with, as far as its files tell. It is asked only where an
//! answer is needed: the library is large.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use rustix::fd::AsFd as _;

use crate::{
    handle::{directory_in_root, read_in_root, sorted_names},
    rootfs::Rootfs,
};

const TOOL: &str = "usr/bin/systemd-tmpfiles";

/// What systemd's programs share, with their list of features.
const SHARED: &str = "libsystemd-shared";

/// What sets the lists; newer versions of systemd load it when they need it.
const LIBRARY: &str = "libacl.so.1";

/// As `systemd-tmpfiles --version` shows it (`systemd_features`).
const FEATURE: &[u8] = b"+ACL ";
const NO_FEATURE: &[u8] = b"-ACL ";

/// As much of a program as is read.
const MAX_BYTES: u64 = 64 << 20;

/// Whether it can set access control lists. False as well where there is none, or it cannot be told.
pub(crate) fn can_set_lists(rootfs: &Rootfs) -> bool {
    let read = |path: &Path| read_in_root(rootfs.as_fd(), path.as_os_str(), MAX_BYTES);
    let Some(tool) = read(Path::new(TOOL)) else {
        return false;
    };
    let libraries = library_directories(rootfs);
    let has = |directory: &&PathBuf, begin: &str| !found(rootfs, directory, begin).is_empty();
    if !libraries.iter().any(|folder| has(&folder, LIBRARY)) {
        return false;
    }
    let shared = libraries.iter().map(|folder| folder.join("systemd"));
    let mut shared = shared.flat_map(|folder| found(rootfs, &folder, SHARED));
    // One that stands alone has the list itself.
    feature(&tool).unwrap_or_else(|| {
        shared.any(|path| read(&path).and_then(|shared| feature(&shared)) == Some(true))
    })
}

fn feature(program: &[u8]) -> Option<bool> {
    let says = |feature: &[u8]| program.windows(feature.len()).any(|bytes| bytes == feature);
    if says(FEATURE) {
        return Some(true);
    }
    says(NO_FEATURE).then_some(false)
}

/// Where libraries are: also below the name of an architecture, as with Debian.
fn library_directories(rootfs: &Rootfs) -> Vec<PathBuf> {
    let mut directories = vec![PathBuf::from("usr/lib"), PathBuf::from("usr/lib64")];
    let names = found(rootfs, Path::new("usr/lib"), "");
    directories.extend(names.into_iter().filter(|path| {
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        name.windows(7).any(|bytes| bytes == b"-linux-")
    }));
    directories
}

/// What is in a directory by names that begin so.
fn found(rootfs: &Rootfs, directory: &Path, begin: &str) -> Vec<PathBuf> {
    let opened = directory_in_root(rootfs.as_fd(), directory);
    let names = opened.and_then(|opened| sorted_names(opened.as_fd()).ok());
    let names = names.unwrap_or_default().into_iter();
    names
        .filter(|name| name.as_bytes().starts_with(begin.as_bytes()))
        .map(|name| directory.join(name))
        .collect()
}
