//! Where programs keep private keys, passwords and tokens.

use super::{DECEMBER, NOVEMBER, Source, read};

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
        read("nm-settings-keyfile(5)", DECEMBER),
    ),
    words(
        "apt/auth.conf.d",
        &["password"],
        read("apt_auth.conf(5)", DECEMBER),
    ),
    key("nginx", read("nginx, Configuring HTTPS servers", DECEMBER)),
    key(
        "pki/entitlement",
        read("rhsm.conf(5), entitlementCertDir", DECEMBER),
    ),
    key(
        "pki/tls/certs",
        read("Fedora's openssl, make-dummy-cert", DECEMBER),
    ),
    key("pki/tls/private", read("genkey(1)", DECEMBER)),
    key("ssh", read("sshd_config(5), HostKey", DECEMBER)),
    key("ssl", read("openssl, OPENSSLDIR", NOVEMBER)),
    key("ssl/private", read("make-ssl-cert(8)", DECEMBER)),
    words(
        "wireguard",
        &["PrivateKey", "PresharedKey"],
        read("wg-quick(8)", DECEMBER),
    ),
];

/// Files, and directories whose files and those below may be private keys, relative to the root: those that sign kernel
/// modules and boot loaders, and those that servers make when they are installed. What is of /var is kept in
/// [`FACTORY`] too.
pub const PRIVATE_KEYS: [(&str, Source); 34] = [
    // Whoever has one of these signs what a machine's firmware and kernel trust.
    (
        "etc/dkms",
        read("dkms(8), mok_signing_key in framework.conf", DECEMBER),
    ),
    (
        "etc/efi-keys",
        read("sbupdate, sbupdate.conf, KEY_DIR", DECEMBER),
    ),
    (
        "etc/kernel",
        read("ukify(1), SecureBootPrivateKey", DECEMBER),
    ),
    (
        "etc/pki/akmods",
        read("Fedora's akmods, kmodgenca", DECEMBER),
    ),
    ("etc/refind.d/keys", read("refind-install(8)", DECEMBER)),
    (
        "etc/secureboot",
        read("sbsigntool, sbkeysync; lanzaboote, pkiBundle", DECEMBER),
    ),
    (
        "usr/share/secureboot",
        read("sbctl(8), setup --migrate: before 0.15", DECEMBER),
    ),
    (
        "var/lib/dkms",
        read("dkms 3, README.md, Module signing", DECEMBER),
    ),
    ("var/lib/sbctl", read("sbctl.conf(5), keydir", DECEMBER)),
    (
        "var/lib/shim-signed/mok",
        read("dkms 3.0, prepare_signing: Ubuntu's place", DECEMBER),
    ),
    // Servers.
    (
        "etc/apache2",
        read("openSUSE's apache2, vhost-ssl.template", DECEMBER),
    ),
    ("etc/cockpit/ws-certs.d", read("cockpit-tls(8)", DECEMBER)),
    (
        "etc/dovecot",
        read("Debian's dovecot-core 2.3, 10-ssl.conf", DECEMBER),
    ),
    ("etc/ipsec.d/private", read("ipsec.secrets(5)", DECEMBER)),
    (
        "etc/kubernetes",
        read("kubernetes.io, kubeadm, --cert-dir", DECEMBER),
    ),
    (
        "etc/letsencrypt",
        read("certbot(1), --config-dir", DECEMBER),
    ),
    (
        "etc/openvpn",
        read("openvpn 2.6, openvpn@.service", DECEMBER),
    ),
    (
        "etc/postfix",
        read("postconf(5), smtpd_tls_chain_files", DECEMBER),
    ),
    (
        "etc/prosody/certs",
        read("prosody 0.12, prosody.cfg.lua, certificates", DECEMBER),
    ),
    (
        "etc/puppetlabs/puppet/ssl",
        read("Puppet, SSL directory", DECEMBER),
    ),
    ("etc/rancher", read("k3s, k3s.yaml", DECEMBER)),
    (
        "etc/step-ca",
        read("smallstep/certificates, systemd/step-ca.service", DECEMBER),
    ),
    (
        "etc/swanctl",
        read("strongSwan, swanctl Directory", DECEMBER),
    ),
    ("var/lib/acme", read("acmetool(8), --state", DECEMBER)),
    ("var/lib/caddy", read("Debian's caddy, postinst", DECEMBER)),
    (
        "var/lib/etcd",
        read("etcd, server/embed/config.go", DECEMBER),
    ),
    (
        "var/lib/ipa",
        read("FreeIPA, ipaplatform/base/paths.py", DECEMBER),
    ),
    (
        "var/lib/kubelet/pki",
        read("kubernetes.io, kubelet, --cert-dir", DECEMBER),
    ),
    (
        "var/lib/mysql",
        read("MySQL, Creating SSL and RSA Certificates", DECEMBER),
    ),
    (
        "var/lib/prosody",
        read("prosody 0.12, util/prosodyctl/cert.lua", DECEMBER),
    ),
    (
        "var/lib/puppet/ssl",
        read("Debian's puppet-agent 7, run_mode.rb", DECEMBER),
    ),
    ("var/lib/rancher", read("k3s, server/tls", DECEMBER)),
    (
        "var/lib/step-ca",
        read("openSUSE's step-ca, STEPPATH", DECEMBER),
    ),
    ("var/lib/tor", read("torrc(5), HiddenServiceDir", DECEMBER)),
];

/// Where files from /var are kept for machines (tmpfiles.d(5), `C`).
pub const FACTORY: &str = "usr/share/factory";

/// In each home directory.
pub const IN_HOMES: [Place; 13] = [
    place(
        ".aws/credentials",
        Mark::Content,
        read("AWS CLI, configuration and credential files", DECEMBER),
    ),
    place(
        ".cargo/credentials.toml",
        Mark::Content,
        read("cargo-login(1)", DECEMBER),
    ),
    words(
        ".config/containers/auth.json",
        &["\"auth\""],
        read("containers-auth.json(5)", DECEMBER),
    ),
    place(
        ".config/git/credentials",
        Mark::Content,
        read("git-credential-store(1)", DECEMBER),
    ),
    words(
        ".docker/config.json",
        &["\"auth\"", "identitytoken", "registrytoken"],
        read("docker login, credential stores", DECEMBER),
    ),
    place(
        ".git-credentials",
        Mark::Content,
        read("git-credential-store(1)", DECEMBER),
    ),
    words(
        ".kube/config",
        &["token:", "client-key-data:", "password:"],
        read("kubectl-config(1)", DECEMBER),
    ),
    words(
        ".netrc",
        &["password"],
        read("tnftp(1), The .netrc File", DECEMBER),
    ),
    words(
        ".npmrc",
        &["_authToken", "_auth=", "_password"],
        read("npmrc(5)", DECEMBER),
    ),
    place(
        ".pgpass",
        Mark::Content,
        read("PostgreSQL, The Password File", DECEMBER),
    ),
    words(
        ".pypirc",
        &["password"],
        read("packaging.python.org, The .pypirc file", NOVEMBER),
    ),
    key(".ssh", read("ssh(1), -i", DECEMBER)),
    place(
        ".vault-token",
        Mark::Content,
        read("Vault, token helpers", DECEMBER),
    ),
];

/// Root's home: as a link, and as what bases link to.
pub const ROOT_HOMES: [&str; 2] = ["root", "var/roothome"];
/// The directories of the others' homes, in the same way.
pub const HOMES: [&str; 2] = ["home", "var/home"];

/// Files of package managers with passwords or tokens, and directories of such files. /etc/apt/auth.conf.d is a row of
/// [`IN_ETC`].
pub const CREDENTIALS: [(&str, Source); 18] = [
    (
        "etc/apt/apt.conf",
        read("apt-transport-http(1), Acquire::http::Proxy", DECEMBER),
    ),
    (
        "etc/apt/apt.conf.d",
        read("apt-transport-http(1), Acquire::http::Proxy", DECEMBER),
    ),
    ("etc/apt/auth.conf", read("apt_auth.conf(5)", DECEMBER)),
    ("etc/apt/sources.list", read("sources.list(5)", DECEMBER)),
    ("etc/apt/sources.list.d", read("sources.list(5)", DECEMBER)),
    ("etc/dnf/dnf.conf", read("dnf.conf(5), password", DECEMBER)),
    ("etc/npmrc", read("Debian's npm, globalconfig", DECEMBER)),
    ("etc/pip.conf", read("pip, Configuration Files", DECEMBER)),
    ("etc/yum.conf", read("yum.conf(5), password", NOVEMBER)),
    ("etc/yum.repos.d", read("dnf.conf(5), password", DECEMBER)),
    (
        "etc/xdg/pip/pip.conf",
        read("pip, Configuration Files", DECEMBER),
    ),
    (
        "etc/zypp/credentials.cat",
        read("zypp.conf, credentials.global.file", DECEMBER),
    ),
    (
        "etc/zypp/credentials.d",
        read("zypp.conf, credentials.global.dir", DECEMBER),
    ),
    (
        "etc/zypp/repos.d",
        read("zypper(8), supported URI formats", DECEMBER),
    ),
    (
        "root/.config/pip/pip.conf",
        read("pip, Configuration Files", DECEMBER),
    ),
    (
        "root/.pip/pip.conf",
        read("pip, Configuration Files", DECEMBER),
    ),
    (
        "usr/etc/npmrc",
        read("npmrc(5), $PREFIX/etc/npmrc", DECEMBER),
    ),
    (
        "usr/local/etc/npmrc",
        read("npmrc(5), $PREFIX/etc/npmrc", DECEMBER),
    ),
];
