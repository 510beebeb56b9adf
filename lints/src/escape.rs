//! What others wrote, as text that is shown: any bytes may stand in a file name, a unit or an image's history. A
//! terminal, a log and a report hold neither broken UTF-8, nor characters that steer or turn what is shown, nor
//! commands of the CI system that reads the log.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::Finding;

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
            if steers(character) || escape_like {
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

/// Whether a character moves the cursor, changes what stands around it, or cannot be seen: control characters, those
/// of both sets of C1, line separators, and those that turn the direction of writing (Unicode, UAX 9).
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text of others for one line of a terminal or a log: what steers it becomes `\xNN`, and so does the sign that
/// would make a command for GitHub Actions of it (`::NAME` where a word begins, `##[NAME]` anywhere). What is escaped
/// already stays as it is.
///
/// ```
/// assert_eq!(osderive_lints::escape_text("a\u{1b}[31m ::error::b"), r"a\x1b[31m \x3a:error::b");
/// ```
pub fn escape_text(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) && !text.contains("::") && !text.contains("##[") {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        let rest = &text[at..];
        let commands =
            (before.is_whitespace() && rest.starts_with("::")) || rest.starts_with("##[");
        if steers(character) || commands {
            let mut utf8 = [0; 4];
            push_hex(&mut escaped, character.encode_utf8(&mut utf8).as_bytes());
        } else {
            escaped.push(character);
        }
        before = character;
    }
    Cow::Owned(escaped)
}

/// The same of text in several lines, of which each is escaped.
pub fn escape_lines(text: &str) -> String {
    let lines = text.split('\n').map(escape_text);
    lines.collect::<Vec<_>>().join("\n")
}

/// A finding as it is shown to people, whoever wrote what is in it.
#[must_use]
pub fn escape_finding(mut finding: Finding) -> Finding {
    let one_line = |text: &mut String| {
        if let Cow::Owned(escaped) = escape_text(text) {
            *text = escaped;
        }
    };
    one_line(&mut finding.rule);
    one_line(&mut finding.message);
    finding.help = escape_lines(&finding.help);
    finding.paths.iter_mut().for_each(one_line);
    for origin in finding.origin.iter_mut().chain(&mut finding.related) {
        one_line(&mut origin.instruction);
        one_line(&mut origin.layer);
    }
    finding
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

    #[test]
    fn what_turns_or_hides_text_is_escaped_in_paths_and_texts() {
        for hostile in [
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{200b}b",
            "a\u{9b}31mb",
            "a\u{2028}b",
            "a\u{feff}b",
            "a\u{e0041}b",
        ] {
            for shown in [
                escape_path(hostile.as_bytes()),
                escape_text(hostile).into_owned(),
            ] {
                assert!(shown.is_ascii(), "{shown:?}");
                assert_eq!(unescape_path(&shown), hostile.as_bytes());
            }
        }
    }

    #[test]
    fn text_is_escaped_once_and_ordinary_text_is_itself() {
        for text in ["größe 👩‍👧", "std::fmt", r"C:\x", "#[rule]", "/a:b", "किताब"]
        {
            assert_eq!(escape_text(text), text);
        }
        let once = escape_text("a\n::b ##[c]").into_owned();
        assert_eq!(once, r"a\x0a\x3a:b \x23#[c]");
        assert_eq!(escape_text(&once), once);
        assert_eq!(escape_lines("a\n\x1bb\n::c"), "a\n\\x1bb\n\\x3a:c");
    }
}
