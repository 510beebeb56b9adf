//! What units of the image ask for by a path in /var: without it they fail, so that it is no cache.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use osderive_lints::{model::required_paths::required_paths, units::DIRECTORIES};
use rustix::fd::AsFd as _;

use crate::{
    handle::{open_below, read_listed, sorted_names},
    rootfs::Rootfs,
};

/// Bytes of a unit file at most; the largest known has a few thousand.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The paths, relative to the root, that services and their drop-ins name. Whether a service is enabled does not matter.
pub(super) fn by_units(rootfs: &Rootfs) -> BTreeSet<PathBuf> {
    let mut paths = BTreeSet::new();
    for directory in DIRECTORIES.map(Path::new) {
        for name in read(rootfs, directory, b".service", &mut paths) {
            if name.as_bytes().ends_with(b".service.d") {
                read(rootfs, &directory.join(name), b".conf", &mut paths);
            }
        }
    }
    paths
}

/// Reads the files of a directory whose names have an ending; answers with all names.
fn read(
    rootfs: &Rootfs,
    directory: &Path,
    ending: &[u8],
    paths: &mut BTreeSet<PathBuf>,
) -> Vec<OsString> {
    let Ok(opened) = open_below(rootfs.as_fd(), directory) else {
        return Vec::new();
    };
    let names = sorted_names(opened.as_fd()).unwrap_or_default();
    let wanted = |name: &&OsString| name.as_bytes().ends_with(ending);
    for name in names.iter().filter(wanted) {
        let name: &OsStr = name;
        let unit = read_listed(
            rootfs.as_fd(),
            directory,
            opened.as_fd(),
            name,
            MAX_FILE_BYTES,
        );
        let asked = required_paths(&unit.unwrap_or_default()).into_iter();
        paths.extend(asked.map(|path| PathBuf::from(OsString::from_vec(path))));
    }
    names
}
