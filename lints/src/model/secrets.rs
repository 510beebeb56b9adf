//! Where programs keep private keys, passwords and tokens, and what tells that a file holds one.

/// What tells that a file holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// That it is not empty.
    Content,
    /// One of these words in it.
    Words(&'static [&'static str]),
}

const PRIVATE_KEY: Mark = Mark::Words(&["PRIVATE KEY-----"]);

/// Directories whose files may hold secrets, below /etc.
pub const IN_ETC: [(&str, Mark); 10] = [
    (
        "NetworkManager/system-connections",
        Mark::Words(&["psk=", "password=", "private-key="]),
    ),
    ("apt/auth.conf.d", Mark::Words(&["password"])),
    ("nginx", PRIVATE_KEY),
    ("pki/entitlement", PRIVATE_KEY),
    ("pki/tls/certs", PRIVATE_KEY),
    ("pki/tls/private", PRIVATE_KEY),
    ("ssh", PRIVATE_KEY),
    ("ssl", PRIVATE_KEY),
    ("ssl/private", PRIVATE_KEY),
    ("wireguard", Mark::Words(&["PrivateKey", "PresharedKey"])),
];

/// Files and directories that may hold secrets, in each home directory.
pub const IN_HOMES: [(&str, Mark); 12] = [
    (".aws/credentials", Mark::Content),
    (".cargo/credentials.toml", Mark::Content),
    (".config/containers/auth.json", Mark::Words(&["\"auth\""])),
    (
        ".docker/config.json",
        Mark::Words(&["\"auth\"", "identitytoken", "registrytoken"]),
    ),
    (".git-credentials", Mark::Content),
    (
        ".kube/config",
        Mark::Words(&["token:", "client-key-data:", "password:"]),
    ),
    (".netrc", Mark::Words(&["password"])),
    (
        ".npmrc",
        Mark::Words(&["_authToken", "_auth=", "_password"]),
    ),
    (".pgpass", Mark::Content),
    (".pypirc", Mark::Words(&["password"])),
    (".ssh", PRIVATE_KEY),
    (".vault-token", Mark::Content),
];

/// Root's home: as a link, and as what bases link to.
pub const ROOT_HOMES: [&str; 2] = ["root", "var/roothome"];
/// The directories of the others' homes, in the same way.
pub const HOMES: [&str; 2] = ["home", "var/home"];

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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_or_any_content_tells() {
        assert!(PRIVATE_KEY.is_in(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(!PRIVATE_KEY.is_in(b"-----BEGIN CERTIFICATE-----\n"));
        assert!(Mark::Content.is_in(b"x"));
        assert!(!Mark::Content.is_in(b""));
    }
}
