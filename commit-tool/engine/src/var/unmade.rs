//! What a RUN took away of what boot makes: the next RUN is not to find it again, though a machine will.
//! A file in the layers remembers it from one RUN to the next; the end of the build removes it.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use crate::{files::FileAction, place::Place};

/// Relative to the root; paths of /var in it, each ended by a NUL.
const FILE: &str = "usr/lib/sysimage/osderive-unmade";

const MAX_BYTES: u64 = 16 << 20;

/// Paths of /var, relative to the root, that no prelude makes.
pub(super) type Unmade = BTreeSet<PathBuf>;

/// Reads what earlier RUNs took away; a file that cannot be read says nothing.
pub(super) fn read(place: &Place<'_>) -> Unmade {
    let content = place.read(Path::new(FILE), MAX_BYTES);
    let content = content.ok().flatten().unwrap_or_default();
    let paths = content.split(|&byte| byte == 0);
    let paths = paths.map(|path| PathBuf::from(OsStr::from_bytes(path)));
    paths.filter(|path| path.starts_with("var")).collect()
}

/// What leaves the file with these paths, which differ from those in it.
pub(super) fn remember(unmade: &Unmade) -> FileAction {
    if unmade.is_empty() {
        return FileAction::Remove {
            path: FILE.into(),
            reason: "nothing is to stay away any more".to_owned(),
        };
    }
    let mut content = Vec::new();
    for path in unmade {
        content.extend_from_slice(path.as_os_str().as_bytes());
        content.push(0);
    }
    FileAction::Write {
        path: FILE.into(),
        content,
        reason: "a later RUN is not to find again what this one took away".to_owned(),
    }
}
