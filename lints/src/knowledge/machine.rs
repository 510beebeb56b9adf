//! What each machine has for itself and makes anew where it is missing.

use super::{NOVEMBER, Source, read};

/// sshd's host keys, relative to /etc.
pub const SSH_KEYS: [(&str, Source); 3] = [
    (
        "ssh/ssh_host_ecdsa_key",
        read("sshd_config(5), HostKey", NOVEMBER),
    ),
    (
        "ssh/ssh_host_ed25519_key",
        read("sshd_config(5), HostKey", NOVEMBER),
    ),
    (
        "ssh/ssh_host_rsa_key",
        read("sshd_config(5), HostKey", NOVEMBER),
    ),
];

/// How the paths of all host keys begin, relative to /etc (ssh-keygen(1), `-A`).
pub const SSH_KEYS_BEGIN: &str = "ssh/ssh_host_";

/// Debian's self-signed certificate and its key, relative to /etc (make-ssl-cert(8)).
pub const SNAKEOIL_CERTIFICATE: &str = "ssl/certs/ssl-cert-snakeoil.pem";
/// Its key.
pub const SNAKEOIL_KEY: &str = "ssl/private/ssl-cert-snakeoil.key";

/// Files that appear again by themselves when they are missing, relative to the root, and who makes them.
pub const MADE_ANEW: [(&str, &str, Source); 4] = [
    (
        "var/lib/dbus/machine-id",
        "dbus has the id of /etc/machine-id",
        read("dbus-uuidgen(1)", NOVEMBER),
    ),
    (
        "var/lib/systemd/random-seed",
        "systemd-random-seed.service makes it at boot",
        read("systemd-random-seed.service(8)", NOVEMBER),
    ),
    (
        "var/lib/systemd/credential.secret",
        "systemd makes it when it needs one",
        read("systemd-creds(1), setup", NOVEMBER),
    ),
    (
        "var/lib/NetworkManager/secret_key",
        "NetworkManager makes it at its start",
        read("NetworkManager(8), secret_key", NOVEMBER),
    ),
];
