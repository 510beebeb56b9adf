//! # What it does
//! Finds private keys, passwords and tokens in the places where programs look for them. It checks
//! after a step and in an image:
//!
//! - ssh and TLS keys
//! - registry and cloud credentials
//! - network connections with a password
//! - keys that sign kernel modules and boot loaders (dkms, akmods, shim-signed, sbctl)
//!
//! It also searches what is kept of /var in /usr/share/factory.
//!
//! # Why it breaks
//! Whoever can pull the image can read the secret. Removing it in a later step does not help: it
//! stays in the layer. Every host with the image has the same one.
//!
//! # Example
//! ```dockerfile
//! RUN install -D -m 600 /run/secrets/deploy_key /root/.ssh/id_ed25519
//! ```
//!
//! # Fix
//! Give a secret only to the step that needs it: `RUN --mount=type=secret,…`. Or give it to the
//! host through an installer, cloud-init or systemd's credentials. A secret is never removed for
//! you: only you know what it is for.

use super::{Check, MAX_NAMED, Rule, counted};
use crate::knowledge::machine::{SNAKEOIL_KEY, SSH_KEYS_BEGIN};
use crate::knowledge::secrets::{FACTORY, HOMES, IN_ETC, IN_HOMES, Mark, PRIVATE_KEYS, ROOT_HOMES};
use crate::model::secrets;
use crate::tree::{Kind, Meta};
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "secret-in-image",
    severity: Severity::Warning,
    summary: "a private key, password or token can be read by whoever pulls the image",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Entries of one place of private keys that are looked at, at most.
const MAX_ENTRIES: usize = 2000;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (place, mark) in places(image) {
        let names = image.names(&place).into_iter();
        let inside = names.map(|name| format!("{place}/{name}"));
        let files = std::iter::once(place.clone()).chain(inside);
        found.extend(files.filter(|path| holds_secret(image, path, mark, secrets::MAX_BYTES)));
    }
    for (place, _) in PRIVATE_KEYS {
        for place in [place.to_owned(), kept(place)] {
            let files = files_below(image, place).into_iter();
            let is_key =
                |path: &String| holds_secret(image, path, Mark::PrivateKey, secrets::MAX_KEY_BYTES);
            found.extend(files.filter(is_key));
        }
    }
    // identity-host-keys tells of these.
    found.retain(|path| {
        let in_etc = path.strip_prefix("etc/").unwrap_or_default();
        !in_etc.starts_with(SSH_KEYS_BEGIN) && in_etc != SNAKEOIL_KEY
    });
    found.sort();
    found.dedup();
    let found: Vec<String> = (found.iter())
        .map(|path| format!("/{}", crate::escape_path(path.as_bytes())))
        .collect();
    finding(&found).into_iter().collect()
}

/// Where what is at a path is kept for a machine's /var.
fn kept(path: &str) -> String {
    format!("{FACTORY}/{path}")
}

/// The files, and the directories of files, that may hold secrets.
fn places(image: &Image<'_>) -> Vec<(String, Mark)> {
    let and_kept = |paths: [&'static str; 2]| {
        let paths = paths.into_iter();
        paths.flat_map(|path| [path.to_owned(), kept(path)])
    };
    let others = and_kept(HOMES).flat_map(|top| {
        let names = image.names(&top).into_iter();
        names.map(move |name| format!("{top}/{name}"))
    });
    let homes = and_kept(ROOT_HOMES).chain(others);
    // A link leads to a home that is in the list too.
    let homes = homes.filter(|home| {
        let top = home.split('/').next().unwrap_or_default();
        [home, top]
            .iter()
            .all(|path| image.kind(path) == Some(Kind::Directory))
    });
    let in_homes =
        homes.flat_map(|home| IN_HOMES.map(|row| (format!("{home}/{}", row.path), row.mark)));
    let in_etc = IN_ETC.map(|row| (format!("etc/{}", row.path), row.mark));
    in_etc.into_iter().chain(in_homes).collect()
}

/// A file, or those in a directory and below it; links are not followed.
fn files_below(image: &Image<'_>, place: String) -> Vec<String> {
    let mut files = Vec::new();
    let mut todo = vec![place];
    let mut looked_at = 0;
    while let Some(path) = todo.pop() {
        looked_at += 1;
        if looked_at > MAX_ENTRIES {
            break;
        }
        match image.kind(&path) {
            Some(Kind::File) => files.push(path),
            Some(Kind::Directory) => {
                let names = image.names(&path).into_iter();
                todo.extend(names.map(|name| format!("{path}/{name}")));
            }
            _ => {}
        }
    }
    files
}

fn holds_secret(image: &Image<'_>, path: &str, mark: Mark, limit: u64) -> bool {
    let meta = image.tree.look(path.as_bytes()).ok().flatten();
    // What is larger is no key.
    let fits = |meta: &Meta| meta.kind == Kind::File && meta.size > 0 && meta.size <= limit;
    if !meta.as_ref().is_some_and(fits) {
        return false;
    }
    let content = image.tree.read(path.as_bytes(), limit);
    content.is_ok_and(|content| content.is_some_and(|content| mark.is_in(&content)))
}

/// The finding about the files that hold secrets, none if there is none; the paths are escaped.
pub fn finding(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let others = match paths.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "other file", "other files")),
    };
    Some(
        RULE.finding(
            format!("{first}{others} holds a secret that whoever pulls the image can read"),
            "for the build use `RUN --mount=type=secret`, for the machine cloud-init or systemd's \
         credentials; replace a secret that was in a layer"
                .to_owned(),
            paths.iter().take(MAX_NAMED).cloned().collect(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn secrets_of_an_image_are_told() {
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let tree = Fixture::new().file("etc/ssl/private/acme.key", key);
        let tree = tree
            .file("var/roothome/.ssh/id_rsa", key)
            .link("root", "var/roothome");
        let tree = tree.file("home/u/.git-credentials", "https://u:p@acme");
        let found = [
            "/etc/ssl/private/acme.key",
            "/home/u/.git-credentials",
            "/var/roothome/.ssh/id_rsa",
        ];
        assert_eq!(tree.paths_of(&RULE), found);
    }

    #[test]
    fn keys_that_packages_make_when_they_are_installed_are_told() {
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let places = [
            "etc/pki/akmods/private/acme.priv",
            "usr/share/factory/var/lib/dkms/mok.key",
            "var/lib/dkms/mok.key",
            "var/lib/sbctl/keys/db/db.key",
            "var/lib/shim-signed/mok/MOK.priv",
        ];
        let mut tree = Fixture::new().file("var/lib/dkms/mok.pub", "-----BEGIN CERTIFICATE-----\n");
        for place in places {
            tree = tree.file(place, key);
        }
        let tree = tree.file("usr/share/factory/var/home/u/.ssh/id_rsa", key);
        let found = tree.paths_of(&RULE);
        let home = "/usr/share/factory/var/home/u/.ssh/id_rsa".to_owned();
        let mut expected: Vec<String> = places.iter().map(|place| format!("/{place}")).collect();
        expected.push(home);
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn public_halves_and_host_keys_are_right() {
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let tree = Fixture::new().file("etc/ssh/ssh_host_rsa_key", key);
        let tree = tree
            .file("etc/ssl/certs/acme.pem", key)
            .file("etc/nginx/key", "");
        assert_eq!(
            tree.file("root/.ssh/id_rsa.pub", "ssh-rsa A")
                .findings_of(&RULE),
            []
        );
    }

    #[test]
    fn one_finding_names_the_first_file_and_counts_the_others() {
        let paths = ["/root/.netrc".to_owned(), "/root/.ssh/id_rsa".to_owned()];
        let finding = finding(&paths).expect("a finding");
        assert!(
            (finding.message).starts_with("/root/.netrc (and 1 other file) holds a secret"),
            "{}",
            finding.message
        );
        assert_eq!(finding.paths, paths);
    }

    #[test]
    fn no_secret_is_no_finding() {
        assert_eq!(finding(&[]), None);
    }
}
