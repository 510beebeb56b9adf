//! Patterns of names, as fnmatch(3) has them with `FNM_NOESCAPE`: a backslash is itself. systemd's install.c calls it so.

/// A pattern of `*`, `?` and `[…]`. A name is compared in a time that does not depend on the pattern's length, but for the
/// stars that end it: at most the square of the name's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Star,
    Any,
    Byte(u8),
    /// The bytes of a bracket expression, a bit for each.
    OneOf(Box<[u64; 4]>),
}

impl Pattern {
    /// Reads a pattern; each text is one. A bracket without its end is a byte like others.
    pub fn new(text: Vec<u8>) -> Self {
        let mut parts = Vec::new();
        let mut rest = text.as_slice();
        while let Some((&first, behind)) = rest.split_first() {
            let (part, behind) = match first {
                b'*' => (Part::Star, behind),
                b'?' => (Part::Any, behind),
                b'[' => one_of(behind).unwrap_or((Part::Byte(first), behind)),
                byte => (Part::Byte(byte), behind),
            };
            // A star behind another one says nothing more.
            if part != Part::Star || parts.last() != Some(&Part::Star) {
                parts.push(part);
            }
            rest = behind;
        }
        Self { text, parts }
    }

    /// As it was written.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether a name fits.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut at, mut position) = (0, 0);
        // Where the last star stands, and up to where it has eaten: each star is tried once for each byte.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&byte) = name.get(position) {
            let fits = match self.parts.get(at) {
                Some(Part::Star) => {
                    star = Some((at, position));
                    at += 1;
                    continue;
                }
                Some(Part::Any) => true,
                Some(Part::Byte(own)) => *own == byte,
                Some(Part::OneOf(bytes)) => has(bytes, byte),
                None => false,
            };
            match (fits, star) {
                (true, _) => {
                    at += 1;
                    position += 1;
                }
                (false, Some((of_star, eaten))) => {
                    star = Some((of_star, eaten + 1));
                    at = of_star + 1;
                    position = eaten + 1;
                }
                (false, None) => return false,
            }
        }
        self.parts[at..].iter().all(|part| *part == Part::Star)
    }
}

/// The bracket expression that begins before the text, and what is behind it; none if it does not end. Its first byte is
/// in it, even a bracket.
fn one_of(text: &[u8]) -> Option<(Part, &[u8])> {
    let negated = matches!(text.first(), Some(b'!' | b'^'));
    let mut rest = &text[usize::from(negated)..];
    let mut bytes = Box::new([0; 4]);
    let mut add = |byte: u8| bytes[usize::from(byte / 64)] |= 1 << (byte % 64);
    let mut is_first = true;
    let behind = loop {
        match rest {
            [] => return None,
            [b']', behind @ ..] if !is_first => break behind,
            [low, b'-', high, behind @ ..] if *high != b']' => {
                (*low..=*high).for_each(&mut add);
                rest = behind;
            }
            [low, behind @ ..] => {
                let class = class(rest);
                rest = class.map_or(behind, |(_, behind)| behind);
                match class {
                    Some((is_in, _)) => (0..=u8::MAX).filter(is_in).for_each(&mut add),
                    None => add(*low),
                }
            }
        }
        is_first = false;
    };
    if negated {
        bytes.iter_mut().for_each(|part| *part = !*part);
    }
    Some((Part::OneOf(bytes), behind))
}

type IsIn = fn(&u8) -> bool;

/// The character classes of POSIX, with the bytes that they have in the C locale.
const CLASSES: [(&[u8], IsIn); 12] = [
    (b"[:alnum:]", u8::is_ascii_alphanumeric),
    (b"[:alpha:]", u8::is_ascii_alphabetic),
    (b"[:blank:]", |byte| matches!(byte, b' ' | b'\t')),
    (b"[:cntrl:]", u8::is_ascii_control),
    (b"[:digit:]", u8::is_ascii_digit),
    (b"[:graph:]", u8::is_ascii_graphic),
    (b"[:lower:]", u8::is_ascii_lowercase),
    (b"[:print:]", |byte| (b' '..=b'~').contains(byte)),
    (b"[:punct:]", u8::is_ascii_punctuation),
    (b"[:space:]", |byte| matches!(byte, b' ' | b'\t'..=b'\r')),
    (b"[:upper:]", u8::is_ascii_uppercase),
    (b"[:xdigit:]", u8::is_ascii_hexdigit),
];

/// The character class that a text begins with, and what is behind it.
fn class(text: &[u8]) -> Option<(IsIn, &[u8])> {
    let mut classes = CLASSES.iter();
    classes.find_map(|(name, is_in)| Some((*is_in, text.strip_prefix(*name)?)))
}

fn has(bytes: &[u64; 4], byte: u8) -> bool {
    bytes[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &[u8], name: &[u8]) -> bool {
        Pattern::new(pattern.to_vec()).matches(name)
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "a-b-c", false),
            ("a**", "a", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]x]", "]", true),
            ("[!]]", "]", false),
            ("[c-a]", "b", false),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("[", "[", true),
            ("[[:digit:]-]x", "7x", true),
            ("[[:digit:]-]x", "-x", true),
            ("[![:alpha:]_]", "a", false),
            ("[[:none:]]", ":]", true),
            ("[[a]", "[", true),
            ("[]", "[]", true),
            ("a?", "a", false),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, fits, "{pattern} {name}");
        }
        assert!(!matches(&b"*a".repeat(2000), &b"a".repeat(1999)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_compared(name: Vec<u8>, pattern in r"[-*?\[\]!a-c]{0,12}") {
            matches(pattern.as_bytes(), &name);
        }

        #[test]
        fn a_name_fits_itself_with_stars_anywhere(name in "[a-c]{0,8}", at in 0usize..8) {
            let at = at.min(name.len());
            let pattern = format!("{}*{}", &name[..at], &name[at..]);
            prop_assert!(matches(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
