//! What tells that a file or a variable holds a private key, a password or a token. Where programs keep them is in
//! `knowledge::secrets`.

use crate::knowledge::secrets::Mark;

/// Bytes of a file at most that may be a private key; the longest known, of RSA with 16384 bits, has 13,000.
pub const MAX_KEY_BYTES: u64 = 64 << 10;

/// As much of a file as is looked at for a secret.
pub const MAX_BYTES: u64 = 1 << 20;

impl Mark {
    /// Whether a file with this content holds one.
    pub fn is_in(self, content: &[u8]) -> bool {
        let has = |word: &&str| {
            content
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        };
        match self {
            Self::Content => !content.is_empty(),
            Self::Words(words) => words.iter().any(has),
            Self::PrivateKey => holds_private_key(content),
        }
    }
}

/// What stands in private keys of other text forms than PEM: `PuTTY`'s, Tor's, age's and minisign's.
const KEY_TEXTS: [&[u8]; 4] = [
    b"PuTTY-User-Key-File-",
    b"== ed25519v1-secret: ",
    b"AGE-SECRET-KEY-1",
    b"minisign encrypted secret key",
];

/// How the label of a private key ends in PEM (RFC 7468; `OpenSSH`'s and `OpenPGP`'s too).
const LABELS: [&[u8]; 2] = [b"PRIVATE KEY-----", b"PRIVATE KEY BLOCK-----"];

/// Whether bytes hold a private key: as text in one of the usual forms, encrypted or not, or as a whole in DER
/// (PKCS #8, PKCS #1, SEC 1). What begins only after [`MAX_BYTES`] is not looked at.
pub fn holds_private_key(content: &[u8]) -> bool {
    let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    let start = &content[..content.len().min(limit)];
    let has = |text: &&[u8]| start.windows(text.len()).any(|part| part == *text);
    KEY_TEXTS.iter().any(has)
        || LABELS.iter().any(|label| begins_key(start, label))
        || is_der_key(content)
}

/// Whether a label stands there as the end of a key's first line, and not as a word of a program: a line's end
/// follows, written out (`\\n`) in JSON.
fn begins_key(text: &[u8], label: &[u8]) -> bool {
    let mut places = text.windows(label.len()).enumerate();
    places.any(|(at, part)| {
        let is_end = |rest: &[u8]| {
            let ends: [&[u8]; 3] = [b"\n", b"\r", b"\\n"];
            rest.is_empty() || ends.iter().any(|end| rest.starts_with(end))
        };
        let before = &text[at.saturating_sub(40)..at];
        let begin = b"-----BEGIN ";
        part == label
            && is_end(&text[at + label.len()..])
            && before.windows(begin.len()).any(|part| part == begin)
    })
}

/// Whether a file is one DER sequence that begins as a private key does (RFC 5958, RFC 8017 A.1.2, RFC 5915).
fn is_der_key(content: &[u8]) -> bool {
    let Some((0x30, inside, [])) = der(content) else {
        return false;
    };
    let Some((0x02, [version], rest)) = der(inside) else {
        return false;
    };
    match (version, der(rest)) {
        // The algorithm, which begins with its object identifier, and the key.
        (0 | 1, Some((0x30, algorithm, rest))) => {
            let is_named = matches!(der(algorithm), Some((0x06, _, _)));
            is_named && matches!(der(rest), Some((0x04, _, _)))
        }
        // RSA's modulus and exponents.
        (0, Some((0x02, modulus, rest))) => {
            let mut rest = rest;
            let mut numbers = 0;
            while let Some((0x02, _, tail)) = der(rest) {
                numbers += 1;
                rest = tail;
            }
            modulus.len() >= 64 && numbers == 7 && rest.is_empty()
        }
        // The scalar of an elliptic curve.
        (1, Some((0x04, scalar, _))) => (20..=72).contains(&scalar.len()),
        _ => false,
    }
}

/// The tag and the content of the first DER element, and what follows it; none where it is not whole.
fn der(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let digits = rest.get(..count)?;
        length = digits
            .iter()
            .fold(0, |length, &digit| length << 8 | usize::from(digit));
        rest = &rest[count..];
    }
    Some((tag, rest.get(..length)?, &rest[length..]))
}

/// Parts of a variable's name, between underscores, that speak of a secret.
const SECRET_PARTS: [&str; 9] = [
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "SECRET",
    "SECRETKEY",
    "TOKEN",
];

/// The same of two parts.
const SECRET_PAIRS: [[&str; 2]; 3] = [["ACCESS", "KEY"], ["API", "KEY"], ["PRIVATE", "KEY"]];

/// Last parts that say where a secret is, or something about it.
const ABOUT_SECRETS: [&str; 10] = [
    "DIR", "ENDPOINT", "FILE", "HOST", "ID", "LENGTH", "NAME", "PATH", "URI", "URL",
];

/// How tokens of well-known services begin, whatever the variable is called.
const TOKENS: [&str; 9] = [
    "AKIA",
    "dckr_pat_",
    "ghp_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "npm_",
    "pypi-",
    "xoxb-",
];

/// Whether a variable of the environment or of a build looks like a secret, by its name or its value.
pub fn is_secret(name: &str, value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    // A variable's name, a path or a switch is no secret.
    if value.len() < 4
        || value.starts_with(['$', '/'])
        || matches!(value, "true" | "false" | "none")
    {
        return false;
    }
    if TOKENS
        .iter()
        .any(|start| value.starts_with(start) && value.len() >= start.len() + 16)
    {
        return true;
    }
    let name = name.to_ascii_uppercase();
    let parts: Vec<&str> = name.split('_').collect();
    let is_about = (parts.last()).is_some_and(|last| ABOUT_SECRETS.contains(last));
    let has_part = parts.iter().any(|part| SECRET_PARTS.contains(part));
    !is_about
        && (has_part
            || parts
                .windows(2)
                .any(|pair| SECRET_PAIRS.iter().any(|known| known == pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_any_content_tells() {
        assert!(Mark::PrivateKey.is_in(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(!Mark::PrivateKey.is_in(b"-----BEGIN CERTIFICATE-----\n"));
        assert!(Mark::Content.is_in(b"x"));
        assert!(!Mark::Content.is_in(b""));
    }

    #[test]
    fn private_keys_in_any_form_are_told() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\n",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\n",
            "junk\n-----BEGIN OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
            "PuTTY-User-Key-File-3: ssh-ed25519\n",
            "== ed25519v1-secret: type0 ==\0\0\0",
            "# created\nAGE-SECRET-KEY-1QQ\n",
            r#"{"private_key": "-----BEGIN PRIVATE KEY-----\nMII"}"#,
        ] {
            assert!(holds_private_key(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "-----BEGIN CERTIFICATE-----\n",
            "-----BEGIN PUBLIC KEY-----\n",
            "ssh-ed25519 AAAA user@host\n",
            "grep -q 'BEGIN PRIVATE KEY-----' key\n",
            "begin='-----BEGIN PRIVATE KEY-----'\n",
        ] {
            assert!(!holds_private_key(text.as_bytes()), "{text}");
        }
    }

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).expect("a short element");
        let length = match u8::try_from(length) {
            Ok(short) if short < 0x80 => vec![short],
            _ => [&[0x82][..], &length.to_be_bytes()].concat(),
        };
        [&[tag][..], &length, content].concat()
    }

    #[test]
    fn keys_in_der_are_told_and_certificates_are_not() {
        let number = |bytes: usize| element(2, &vec![1; bytes]);
        let algorithm = element(0x30, &element(6, &[0x2a, 0x86, 0x48]));
        let pkcs8 = [element(2, &[0]), algorithm.clone(), element(4, &[7; 40])].concat();
        let pkcs8 = element(0x30, &pkcs8);
        assert!(holds_private_key(&pkcs8));
        let sizes = [256, 3, 256, 128, 128, 128, 128, 128];
        let numbers: Vec<u8> = sizes.into_iter().flat_map(number).collect();
        let pkcs1 = element(0x30, &[element(2, &[0]), numbers].concat());
        assert!(holds_private_key(&pkcs1));
        let sec1 = element(0x30, &[element(2, &[1]), element(4, &[7; 32])].concat());
        assert!(holds_private_key(&sec1));

        let signed = [element(2, &[9; 20]), algorithm.clone(), element(0x30, &[])].concat();
        let certificate = element(0x30, &[element(0x30, &signed), algorithm].concat());
        assert!(!holds_private_key(&certificate));
        let public = element(0x30, &[number(256), number(3)].concat());
        assert!(!holds_private_key(&public));
        assert!(!holds_private_key(&[&pkcs8[..], b"more"].concat()));
        assert!(!holds_private_key(&pkcs8[..pkcs8.len() - 1]));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes: Vec<u8>) {
            let _ = holds_private_key(&[&[0x30][..], &bytes].concat());
        }
    }
}
