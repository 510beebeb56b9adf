//! What the documents of an image say that its parts are, and whether they are: each part is hashed while it is
//! read, and never read twice for it (image-spec `descriptor.md`, "Digests").

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::ImageError;

/// The digest of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    /// Takes `ALGORITHM:HEX`.
    ///
    /// # Errors
    /// When it is none, or of an algorithm that no engine knows.
    pub(crate) fn parse(text: &str) -> Result<Self, ImageError> {
        let shown = text.escape_debug();
        let (algorithm, hex) = text.split_once(':').unwrap_or_default();
        let (algorithm, length) = match algorithm {
            "sha256" => (Algorithm::Sha256, 64),
            "sha384" => (Algorithm::Sha384, 96),
            "sha512" => (Algorithm::Sha512, 128),
            _ => {
                let why = format!("{shown} is no digest by sha256, sha384 or sha512");
                return Err(ImageError::NoImage(why));
            }
        };
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != length || !hex.bytes().all(is_hex) {
            return Err(ImageError::NoImage(format!("{shown} is no digest")));
        }
        let hex = hex.to_owned();
        Ok(Self { algorithm, hex })
    }

    /// The file of a layout that has it.
    pub(crate) fn file(&self) -> String {
        format!("blobs/{}/{}", self.algorithm.name(), self.hex)
    }

    /// A source whose bytes are hashed while they are read.
    pub(crate) fn of<R: Read>(&self, input: R) -> Hashed<R> {
        let hasher = match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        };
        let state = State { input, hasher };
        Hashed(Arc::new(Mutex::new(state)))
    }

    /// Whether bytes have it.
    ///
    /// # Errors
    /// When they have another one.
    pub(crate) fn check(&self, bytes: &[u8]) -> io::Result<()> {
        match self.compare(&self.of(bytes))? {
            None => Ok(()),
            Some(damaged) => Err(io::Error::new(io::ErrorKind::InvalidData, damaged)),
        }
    }

    /// Reads the rest of a source; what is wrong if all its bytes have another digest.
    ///
    /// # Errors
    /// When the rest cannot be read.
    pub(crate) fn compare<R: Read>(&self, hashed: &Hashed<R>) -> io::Result<Option<String>> {
        let found = hashed.finish()?;
        let (name, expected) = (self.algorithm.name(), &self.hex);
        Ok((found != *expected).then(|| {
            format!("it is damaged: its digest is {name}:{found}, and has to be {name}:{expected}")
        }))
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

#[derive(Clone)]
enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn hex(self) -> String {
        let bytes = match self {
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha384(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
        };
        base16ct::lower::encode_string(&bytes)
    }
}

/// A source whose bytes are hashed while they are read. A clone is the same source: one goes into a decoder, which
/// may stop before the end.
pub(crate) struct Hashed<R>(Arc<Mutex<State<R>>>);

struct State<R> {
    input: R,
    hasher: Hasher,
}

impl<R> Clone for Hashed<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = state.input.read(buffer)?;
        state.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

impl<R: Read> Hashed<R> {
    fn finish(&self) -> io::Result<String> {
        io::copy(&mut self.clone(), &mut io::sink())?;
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.hasher.clone().hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of FIPS 180-4.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn what_was_read_in_part_is_hashed_as_a_whole() {
        let digest = Digest::parse(ABC).expect("a digest");
        let hashed = digest.of(&b"abc"[..]);
        let mut first = [0];
        hashed.clone().read_exact(&mut first).expect("a byte");
        assert_eq!(digest.compare(&hashed).expect("readable"), None);
        let error = digest.check(b"abd").expect_err("another").to_string();
        assert!(
            error.starts_with("it is damaged: its digest is sha256:"),
            "{error}"
        );
        assert!(error.ends_with(ABC), "{error}");
    }

    #[test]
    fn only_digests_that_engines_know_are_taken() {
        let long = format!("sha512:{}", "0".repeat(128));
        let digest = Digest::parse(&long).expect("a digest");
        assert!(digest.file().starts_with("blobs/sha512/00"));
        for text in [
            "",
            "sha256:",
            "sha256:../../x",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256",
        ] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
        assert!(Digest::parse(&ABC.to_uppercase().replace("SHA", "sha")).is_err());
    }
}
