//! The name of an op: the SHA-256 of its bytes, as `BuildKit` computes it.
//! A digest of any other algorithm can name nothing in a definition, so this type holds no other.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "sha256:";

/// A SHA-256 digest, shown and read as `sha256:` and 64 lowercase hexadecimal digits.
///
/// `BuildKit` names ops by `digest.FromBytes`, which is always SHA-256 (solver/llbsolver/vertex.go,
/// `loadLLB`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// A text that is not `sha256:` and 64 lowercase hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sha256 digest")]
pub struct DigestError(pub String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        parse(text).ok_or_else(|| DigestError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Digest> {
    let mut value = [0; 32];
    let read = base16ct::lower::decode(text.strip_prefix(PREFIX)?, &mut value).ok()?;
    (read.len() == value.len()).then_some(Digest(value))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 64];
        let hex = base16ct::lower::encode_str(&self.0, &mut hex).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{hex}")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), text);
        assert_eq!(text.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn other_algorithms_lengths_and_cases_are_refused() {
        let good = Digest::of(b"x").to_string();
        for text in [
            "",
            "sha256:",
            "sha512:00",
            &good[..70],
            &good.to_uppercase(),
            &format!("{good}0"),
            &good.replacen("sha256:", "sha384:", 1),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError(text.to_owned())));
        }
    }
}
