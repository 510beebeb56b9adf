//! What stands for a path or a content: text for people, a pattern of tmpfiles.d, a short name.

use std::{os::unix::ffi::OsStrExt as _, path::Path};

use osderive_lints::escape_path;
use sha2::{Digest as _, Sha256};

/// How many [digits](digits_of) stand for a content.
pub(crate) const HASH_DIGITS: usize = 12;

/// The absolute path of one that is relative to the root.
pub(crate) fn absolute(path: &Path) -> Vec<u8> {
    [b"/", path.as_os_str().as_bytes()].concat()
}

/// The absolute path as text.
pub(crate) fn shown(path: &Path) -> String {
    escape_path(&absolute(path))
}

/// The first digits of a content's hash, for names.
pub(crate) fn digits_of(content: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(content)[..HASH_DIGITS / 2])
}

/// The signs that mean something in a pattern (glob(7), with braces).
const MAGIC: &[u8] = b"*?[]{}\\";

/// The only path that a pattern can match; none when there may be several.
pub(crate) fn single_path(pattern: &[u8]) -> Option<Vec<u8>> {
    let mut path = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match (byte, tail) {
            (b'\\', [escaped, tail @ ..]) | (b'[', [b'\\', escaped, b']', tail @ ..]) => {
                (*escaped, tail)
            }
            (byte, _) if MAGIC.contains(&byte) => return None,
            found => found,
        };
        path.push(byte);
        rest = tail;
    }
    Some(path)
}

/// A pattern that matches this path, and no other but one with another control character where this
/// has a line break, which no line can hold. The last name is escaped more than it needs: systemd
/// applies the line of a directory before those of what is in it unless it cannot tell (`parent` of
/// `ItemArray` in tmpfiles.c), and below a directory that has its owner already it refuses.
pub(crate) fn pattern_of(path: &[u8]) -> Vec<u8> {
    let name = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let mut pattern = Vec::with_capacity(path.len() + 1);
    for (index, &byte) in path.iter().enumerate() {
        match byte {
            b'\n' | b'\r' => pattern.extend(b"[[:cntrl:]]"),
            byte if index == name && MAGIC.contains(&byte) => {
                pattern.extend([b'[', b'\\', byte, b']']);
            }
            byte if index == name || MAGIC.contains(&byte) => pattern.extend([b'\\', byte]),
            byte => pattern.push(byte),
        }
    }
    pattern
}
