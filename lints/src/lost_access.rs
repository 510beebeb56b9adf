//! Directories whose mode or owner an import loses: it keeps what the first layer with a directory says of it
//! (ostree's union checkout), unless boot gives it the right one again.

use crate::tree::Access;
use crate::{Image, escape_path};

/// Where the import keeps nothing, or boot makes everything.
const ELSEWHERE: [&str; 9] = [
    "boot", "dev", "proc", "run", "sys", "sysroot", "tmp", "var", "",
];

/// A directory that machines get with another mode or owner than the image has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostAccess {
    path: Vec<u8>,
    /// In the image.
    pub(crate) is: Access,
    /// On a machine.
    pub(crate) becomes: Access,
}

impl LostAccess {
    /// The absolute path, escaped.
    pub(crate) fn path(&self) -> String {
        format!("/{}", escape_path(&self.path))
    }
}

/// All of them, sorted; none where the layers are not known.
pub(crate) fn lost_access(image: &Image<'_>) -> Vec<LostAccess> {
    let Some(stack) = image.tree.layers() else {
        return Vec::new();
    };
    let mut lost = Vec::new();
    for (path, first) in &stack.changed_directories {
        let top = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        if ELSEWHERE.iter().any(|place| place.as_bytes() == top) || is_repaired(image, path) {
            continue;
        }
        if let Ok(Some(meta)) = image.tree.look(path) {
            lost.push(LostAccess {
                path: path.clone(),
                is: Access::of(&meta),
                becomes: *first,
            });
        }
    }
    lost
}

/// Whether a line of tmpfiles.d sets it at boot, which it cannot below /usr.
fn is_repaired(image: &Image<'_>, path: &[u8]) -> bool {
    let is_about = |line: &[u8]| {
        let plain: Vec<u8> = line.iter().copied().filter(|&byte| byte != b'\\').collect();
        plain.strip_prefix(b"/") == Some(path)
    };
    let mut lines = image.tmpfiles().lines.iter();
    !path.starts_with(b"usr")
        && lines.any(|line| {
            (line.makes_directory() || matches!(line.kind, b'z' | b'Z' | b'm' | b'e'))
                && is_about(&line.path)
        })
}
