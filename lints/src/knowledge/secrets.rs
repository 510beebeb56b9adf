//! Where programs keep private keys, passwords and tokens.

use super::{NOVEMBER, Source, read};

/// What tells that a file holds a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// That it is not empty.
    Content,
    /// One of these words in it.
    Words(&'static [&'static str]),
    /// A private key (`model::secrets::holds_private_key`).
    PrivateKey,
}

/// A file, or a directory of files, that may hold a secret.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Relative to the directory that the table is about.
    pub path: &'static str,
    /// What tells that it does.
    pub mark: Mark,
    /// Where this is from.
    pub source: Source,
}

const fn place(path: &'static str, mark: Mark, source: Source) -> Place {
    Place { path, mark, source }
}

const fn words(path: &'static str, words: &'static [&'static str], source: Source) -> Place {
    place(path, Mark::Words(words), source)
}

const fn key(path: &'static str, source: Source) -> Place {
    place(path, Mark::PrivateKey, source)
}

/// Below /etc.
pub const IN_ETC: [Place; 10] = [
    words(
        "NetworkManager/system-connections",
        &["psk=", "password=", "private-key="],
        read("nm-settings-keyfile(5)", NOVEMBER),
    ),
    words(
        "apt/auth.conf.d",
        &["password"],
        read("apt_auth.conf(5)", NOVEMBER),
    ),
    key("nginx", read("nginx, ssl_certificate_key", NOVEMBER)),
    key("pki/entitlement", read("subscription-manager(8)", NOVEMBER)),
    key(
        "pki/tls/certs",
        read("RHEL 9, Securing networks, TLS", NOVEMBER),
    ),
    key(
        "pki/tls/private",
        read("RHEL 9, Securing networks, TLS", NOVEMBER),
    ),
    key("ssh", read("sshd_config(5), HostKey", NOVEMBER)),
    key("ssl", read("openssl, OPENSSLDIR", NOVEMBER)),
    key(
        "ssl/private",
        read("Debian's ssl-cert, README.Debian", NOVEMBER),
    ),
    words(
        "wireguard",
        &["PrivateKey", "PresharedKey"],
        read("wg-quick(8)", NOVEMBER),
    ),
];

/// Files, and directories whose files and those below may be private keys, relative to the root: those that sign kernel
/// modules and boot loaders, and those that servers make when they are installed. What is of /var is kept in
/// [`FACTORY`] too.
pub const PRIVATE_KEYS: [(&str, Source); 37] = [
    // Whoever has one of these signs what a machine's firmware and kernel trust.
    ("etc/dkms", read("dkms(8), mok_signing_key", NOVEMBER)),
    (
        "etc/efi-keys",
        read("systemd-boot-tools of Arch, sbupdate", NOVEMBER),
    ),
    (
        "etc/kernel",
        read("ukify(1), SecureBootPrivateKey", NOVEMBER),
    ),
    (
        "etc/pki/akmods",
        read("akmods, README.secureboot", NOVEMBER),
    ),
    ("etc/pki/pesign", read("pesign(1), --certdir", NOVEMBER)),
    (
        "etc/refind.d/keys",
        read("rEFInd, refind-install --localkeys", NOVEMBER),
    ),
    ("etc/secureboot", read("sbctl, older than 0.14", NOVEMBER)),
    (
        "usr/share/secureboot",
        read("sbctl, older than 0.14", NOVEMBER),
    ),
    ("var/lib/dkms", read("dkms(8), mok_signing_key", NOVEMBER)),
    ("var/lib/sbctl", read("sbctl.conf(5)", NOVEMBER)),
    (
        "var/lib/shim-signed/mok",
        read("Debian, update-secureboot-policy", NOVEMBER),
    ),
    // Servers.
    (
        "etc/apache2",
        read("mod_ssl, SSLCertificateKeyFile", NOVEMBER),
    ),
    ("etc/cockpit/ws-certs.d", read("cockpit-tls(8)", NOVEMBER)),
    (
        "etc/dovecot",
        read("dovecot, ssl_key of Debian's package", NOVEMBER),
    ),
    ("etc/ipsec.d/private", read("ipsec.secrets(5)", NOVEMBER)),
    (
        "etc/kubernetes",
        read("kubeadm, PKI certificates and requirements", NOVEMBER),
    ),
    ("etc/letsencrypt", read("certbot(1)", NOVEMBER)),
    ("etc/openvpn", read("openvpn(8), --key", NOVEMBER)),
    (
        "etc/postfix",
        read("postconf(5), smtpd_tls_key_file", NOVEMBER),
    ),
    ("etc/prosody/certs", read("prosody, Certificates", NOVEMBER)),
    (
        "etc/puppetlabs/puppet/ssl",
        read("Puppet, ssldir", NOVEMBER),
    ),
    (
        "etc/rancher",
        read("RKE2 and k3s, configuration files", NOVEMBER),
    ),
    (
        "etc/step-ca",
        read("step-ca, STEPPATH as a service", NOVEMBER),
    ),
    ("etc/swanctl", read("swanctl.conf(5)", NOVEMBER)),
    ("var/lib/acme", read("acmetool, state directory", NOVEMBER)),
    ("var/lib/caddy", read("Caddy, data directory", NOVEMBER)),
    ("var/lib/cockpit", read("cockpit-tls(8)", NOVEMBER)),
    (
        "var/lib/docker-registry",
        read("Debian's docker-registry, config.yml", NOVEMBER),
    ),
    (
        "var/lib/etcd",
        read("etcd, --data-dir with auto-tls", NOVEMBER),
    ),
    (
        "var/lib/ipa",
        read("FreeIPA, ipaplatform/base/paths.py", NOVEMBER),
    ),
    ("var/lib/kubelet/pki", read("kubelet, --cert-dir", NOVEMBER)),
    (
        "var/lib/letsencrypt",
        read("certbot(1), --work-dir", NOVEMBER),
    ),
    (
        "var/lib/mysql",
        read("MySQL 8, auto_generate_certs", NOVEMBER),
    ),
    (
        "var/lib/prosody",
        read("prosody, prosodyctl cert", NOVEMBER),
    ),
    ("var/lib/puppet/ssl", read("Puppet, ssldir", NOVEMBER)),
    (
        "var/lib/rancher",
        read("k3s and RKE2, --data-dir", NOVEMBER),
    ),
    ("var/lib/tor", read("tor(1), HiddenServiceDir", NOVEMBER)),
];

/// Where files from /var are kept for machines (tmpfiles.d(5), `C`).
pub const FACTORY: &str = "usr/share/factory";

/// In each home directory.
pub const IN_HOMES: [Place; 12] = [
    place(
        ".aws/credentials",
        Mark::Content,
        read("AWS CLI, configuration files", NOVEMBER),
    ),
    place(
        ".cargo/credentials.toml",
        Mark::Content,
        read("The Cargo Book, credentials", NOVEMBER),
    ),
    words(
        ".config/containers/auth.json",
        &["\"auth\""],
        read("containers-auth.json(5)", NOVEMBER),
    ),
    words(
        ".docker/config.json",
        &["\"auth\"", "identitytoken", "registrytoken"],
        read("docker login", NOVEMBER),
    ),
    place(
        ".git-credentials",
        Mark::Content,
        read("git-credential-store(1)", NOVEMBER),
    ),
    words(
        ".kube/config",
        &["token:", "client-key-data:", "password:"],
        read("kubectl, kubeconfig files", NOVEMBER),
    ),
    words(
        ".netrc",
        &["password"],
        read("ftp(1), The .netrc File", NOVEMBER),
    ),
    words(
        ".npmrc",
        &["_authToken", "_auth=", "_password"],
        read("npmrc(5)", NOVEMBER),
    ),
    place(
        ".pgpass",
        Mark::Content,
        read("PostgreSQL, The Password File", NOVEMBER),
    ),
    words(
        ".pypirc",
        &["password"],
        read("packaging.python.org, The .pypirc file", NOVEMBER),
    ),
    key(".ssh", read("ssh(1), Files", NOVEMBER)),
    place(
        ".vault-token",
        Mark::Content,
        read("Vault, token helpers", NOVEMBER),
    ),
];

/// Root's home: as a link, and as what bases link to.
pub const ROOT_HOMES: [&str; 2] = ["root", "var/roothome"];
/// The directories of the others' homes, in the same way.
pub const HOMES: [&str; 2] = ["home", "var/home"];

/// Files of package managers with passwords or tokens, and directories of such files. /etc/apt/auth.conf.d is a row of
/// [`IN_ETC`].
pub const CREDENTIALS: [(&str, Source); 15] = [
    (
        "etc/apt/apt.conf.d",
        read("apt-transport-https(1), proxies", NOVEMBER),
    ),
    ("etc/apt/auth.conf", read("apt_auth.conf(5)", NOVEMBER)),
    ("etc/apt/sources.list", read("sources.list(5)", NOVEMBER)),
    ("etc/apt/sources.list.d", read("sources.list(5)", NOVEMBER)),
    ("etc/dnf/dnf.conf", read("dnf.conf(5), password", NOVEMBER)),
    ("etc/npmrc", read("npmrc(5)", NOVEMBER)),
    ("etc/pip.conf", read("pip, Configuration Files", NOVEMBER)),
    ("etc/yum.conf", read("yum.conf(5), password", NOVEMBER)),
    ("etc/yum.repos.d", read("dnf.conf(5), password", NOVEMBER)),
    (
        "etc/zypp/credentials.d",
        read("libzypp, credentials.global.dir", NOVEMBER),
    ),
    (
        "etc/zypp/repos.d",
        read("zypper(8), repository URIs", NOVEMBER),
    ),
    (
        "root/.config/pip/pip.conf",
        read("pip, Configuration Files", NOVEMBER),
    ),
    (
        "root/.pip/pip.conf",
        read("pip, Configuration Files", NOVEMBER),
    ),
    ("usr/etc/npmrc", read("npmrc(5)", NOVEMBER)),
    ("usr/local/etc/npmrc", read("npmrc(5)", NOVEMBER)),
];
