//! Lines as text that systemd 252 and newer read back alike.

use super::{Line, Mode, Owner, UNESCAPED_ARGUMENT};

impl Line {
    /// The line as text with its end; none when systemd 252 has no way to say it, which is so
    /// for a line break in the path.
    pub fn to_text(&self) -> Option<Vec<u8>> {
        let mut text = vec![self.kind];
        text.extend(&self.modifiers);
        text.push(b' ');
        text.extend(quote(&self.path)?);
        text.push(b' ');
        text.extend(self.mode.map_or_else(|| b"-".to_vec(), mode_text));
        for owner in [&self.user, &self.group] {
            text.push(b' ');
            text.extend(owner.as_ref().map_or(Some(b"-".to_vec()), owner_text)?);
        }
        text.push(b' ');
        text.extend(
            self.age
                .as_deref()
                .map_or(Some(b"-".to_vec()), quote_plain)?,
        );
        if let Some(argument) = &self.argument {
            text.push(b' ');
            if UNESCAPED_ARGUMENT.contains(&self.kind) {
                text.extend(escape_argument(argument));
            } else {
                text.extend(argument);
            }
        }
        text.push(b'\n');
        Some(text)
    }
}

fn mode_text(mode: Mode) -> Vec<u8> {
    let masked = if mode.masked { "~" } else { "" };
    let only_created = if mode.only_created { ":" } else { "" };
    format!("{only_created}{masked}{:04o}", mode.bits).into_bytes()
}

fn owner_text(owner: &Owner) -> Option<Vec<u8>> {
    match owner {
        Owner::Name(name) => quote(name),
        Owner::Id(id) => Some(id.to_string().into_bytes()),
    }
}

/// A field in which systemd resolves specifiers.
fn quote(field: &[u8]) -> Option<Vec<u8>> {
    quote_plain(
        &field
            .split(|&byte| byte == b'%')
            .collect::<Vec<_>>()
            .join(&b"%%"[..]),
    )
}

/// A field as systemd reads it back: in quotes where it must be, since bare escapes are read
/// differently by systemd 252 and later ones. None with an end of a line, which only later ones read.
fn quote_plain(field: &[u8]) -> Option<Vec<u8>> {
    if field.iter().any(|byte| b"\n\r\0".contains(byte)) {
        return None;
    }
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte) || *byte >= 0x80;
    let needs_quotes = field.is_empty() || !field.iter().all(plain);
    let mut text = Vec::with_capacity(field.len() + 2);
    text.extend(needs_quotes.then_some(b'"'));
    for &byte in field {
        match byte {
            b'"' | b'\\' => text.push(b'\\'),
            _ => {}
        }
        text.push(byte);
    }
    text.extend(needs_quotes.then_some(b'"'));
    Some(text)
}

/// An argument: never unquoted, C escapes are read in it.
fn escape_argument(argument: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(argument.len());
    for (index, &byte) in argument.iter().enumerate() {
        let at_edge = index == 0 || index + 1 == argument.len();
        match byte {
            b'%' => text.extend(b"%%"),
            b'\\' => text.extend(b"\\\\"),
            b' ' if !at_edge => text.push(byte),
            b'-' if argument.len() == 1 => text.extend(b"\\x2d"),
            byte if byte.is_ascii_graphic() || byte >= 0x80 => text.push(byte),
            byte => text.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    text
}
