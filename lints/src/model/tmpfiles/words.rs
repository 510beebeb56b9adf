//! The words of a line, with quotes and escapes (`src/basic/extract-word.c`).

/// The fields of a line: `extract_first_word` with `EXTRACT_UNQUOTE` and `EXTRACT_CUNESCAPE`.
pub(super) struct Words<'a> {
    pub(super) rest: &'a [u8],
}

impl Words<'_> {
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut word = Vec::new();
        let mut quote = None;
        while let Some((&byte, tail)) = self.rest.split_first() {
            self.rest = tail;
            match (byte, quote) {
                (b'\\', _) => {
                    if tail.is_empty() {
                        return Err("ends in a backslash");
                    }
                    // 252 knows no escape but the sign itself, and takes it as it is.
                    let (bytes, tail) = unescape(tail).unwrap_or((vec![tail[0]], &tail[1..]));
                    word.extend(bytes);
                    self.rest = tail;
                }
                (byte, Some(open)) if byte == open => quote = None,
                (b'"' | b'\'', None) => quote = Some(byte),
                (b' ' | b'\t' | b'\r' | b'\n', None) => break,
                (byte, _) => word.push(byte),
            }
        }
        match quote {
            Some(_) => Err("has a quote without its end"),
            None => Ok(Some(word)),
        }
    }
}

/// What stands after a backslash, as C has it (`cunescape_one`), and what follows.
pub(in crate::model) fn unescape(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (&sign, rest) = text.split_first()?;
    let simple = match sign {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b's' => b' ',
        b'\\' | b'"' | b'\'' => sign,
        b'x' => return numeric(rest, 2, 16, false),
        b'u' => return numeric(rest, 4, 16, true),
        b'U' => return numeric(rest, 8, 16, true),
        b'0'..=b'7' => return numeric(text, 3, 8, false),
        _ => return None,
    };
    Some((vec![simple], rest))
}

fn numeric(text: &[u8], digits: usize, radix: u32, unicode: bool) -> Option<(Vec<u8>, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let add = |value: u32, &digit: &u8| {
        let digit = char::from(digit).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    };
    let value = number
        .iter()
        .try_fold(0u32, add)
        .filter(|value| *value > 0)?;
    if unicode {
        let character = char::from_u32(value)?;
        return Some((character.to_string().into_bytes(), rest));
    }
    Some((vec![u8::try_from(value).ok()?], rest))
}
