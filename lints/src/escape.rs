//! Paths of an image as text: any bytes may stand in a file name, a report and a terminal line
//! hold neither broken UTF-8 nor control characters.

use std::fmt::Write as _;

/// Bytes of an escaped path at the most; a longer one is cut and ends in `…`, so that a hostile
/// tree cannot grow a report without bound.
pub const MAX_PATH_BYTES: usize = 1024;

/// Writes a path's bytes as text: control characters and bytes outside UTF-8 become `\xNN`, and
/// so does a backslash that stands before an `x`, which keeps the text unambiguous.
///
/// ```
/// assert_eq!(osderive_lints::escape_path(b"/tmp/a\nb\xff"), r"/tmp/a\x0ab\xff");
/// ```
pub fn escape_path(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        let mut characters = chunk.valid().chars().peekable();
        while let Some(character) = characters.next() {
            let escape_like = character == '\\' && characters.peek() == Some(&'x');
            if character.is_control() || escape_like {
                let mut utf8 = [0; 4];
                push_hex(&mut text, character.encode_utf8(&mut utf8).as_bytes());
            } else {
                text.push(character);
            }
        }
        push_hex(&mut text, chunk.invalid());
        if text.len() > MAX_PATH_BYTES {
            break;
        }
    }
    cut(text)
}

/// The bytes of a path that [`escape_path`] wrote, unless it was cut.
///
/// ```
/// assert_eq!(osderive_lints::unescape_path(r"/tmp/a\x0ab\xff"), b"/tmp/a\nb\xff");
/// ```
pub fn unescape_path(text: &str) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.strip_prefix(b"x").and_then(|hex| hex.get(..2));
        let escaped = (digits.filter(|_| byte == b'\\'))
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        path.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() {
            &after[3..]
        } else {
            after
        };
    }
    path
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "\\x{byte:02x}");
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_PATH_BYTES {
        while text.len() > MAX_PATH_BYTES {
            text.pop();
        }
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_path_is_itself() {
        assert_eq!(
            escape_path("/var/cache/größe".as_bytes()),
            "/var/cache/größe"
        );
        assert_eq!(escape_path(br"/tmp/a\b"), r"/tmp/a\b");
    }

    #[test]
    fn control_characters_and_broken_utf8_are_escaped() {
        assert_eq!(escape_path(b"a\nb\x1b\xffc"), r"a\x0ab\x1b\xffc");
        assert_eq!(escape_path(b"\xc3"), r"\xc3");
    }

    #[test]
    fn a_name_that_looks_like_an_escape_is_told_from_one() {
        assert_eq!(escape_path(br"a\x0a"), r"a\x5cx0a");
        assert_ne!(escape_path(br"a\x0a"), escape_path(b"a\n"));
        assert_eq!(unescape_path(&escape_path(br"a\x0a\y")), br"a\x0a\y");
    }

    #[test]
    fn a_very_long_path_is_cut() {
        let text = escape_path(&vec![0xff; 1 << 20]);
        assert_eq!(text.len(), MAX_PATH_BYTES + '…'.len_utf8());
        assert!(text.ends_with('…'));
    }
}
