//! # What it does
//! Looks for private keys, passwords and tokens where programs look for them, after a step and in an image:
//! ssh and TLS keys, registry and cloud credentials, network connections with a password.
//!
//! # Why it breaks
//! Whoever can pull the image can read them, also when a later step removes them: they stay in the
//! layer. Every machine of the image has the same ones.
//!
//! # Example
//! ```dockerfile
//! RUN install -D -m 600 /run/secrets/deploy_key /root/.ssh/id_ed25519
//! ```
//!
//! # Fix
//! Give a secret to the step alone (`RUN --mount=type=secret,…`) or to the machine (an installer,
//! cloud-init, systemd's credentials). It is never removed for you: only you know what it is for.

use super::{Check, MAX_NAMED, Rule, counted};
use crate::model::secrets::{self, Mark};
use crate::tree::Kind;
use crate::{Finding, Image, Severity};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "secret-in-image",
    severity: Severity::Warning,
    summary: "a private key, password or token can be read by whoever pulls the image",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// What identity-host-keys speaks of.
const MACHINES_OWN: [&str; 2] = ["etc/ssh/ssh_host_", "etc/ssl/private/ssl-cert-snakeoil.key"];

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (place, mark) in places(image) {
        let names = image.names(&place).into_iter();
        let inside = names.map(|name| format!("{place}/{name}"));
        let files = std::iter::once(place.clone()).chain(inside);
        let own = |path: &String| MACHINES_OWN.iter().any(|own| path.starts_with(own));
        let secret = files.filter(|path| !own(path) && holds_secret(image, path, mark));
        found.extend(secret.map(|path| format!("/{}", crate::escape_path(path.as_bytes()))));
    }
    found.sort();
    found.dedup();
    finding(&found).into_iter().collect()
}

/// The files, and the directories of files, that may hold secrets.
fn places(image: &Image<'_>) -> Vec<(String, Mark)> {
    let others = secrets::HOMES.into_iter().flat_map(|top| {
        let names = image.names(top).into_iter();
        names.map(move |name| format!("{top}/{name}"))
    });
    let homes = secrets::ROOT_HOMES
        .map(str::to_owned)
        .into_iter()
        .chain(others);
    // A link leads to a home that is in the list too.
    let homes = homes.filter(|home| {
        let top = home.split('/').next().unwrap_or_default();
        [home, top]
            .iter()
            .all(|path| image.kind(path) == Some(Kind::Directory))
    });
    let in_homes = homes
        .flat_map(|home| secrets::IN_HOMES.map(|(path, mark)| (format!("{home}/{path}"), mark)));
    let in_etc = secrets::IN_ETC.map(|(path, mark)| (format!("etc/{path}"), mark));
    in_etc.into_iter().chain(in_homes).collect()
}

fn holds_secret(image: &Image<'_>, path: &str, mark: Mark) -> bool {
    if image.kind(path) != Some(Kind::File) {
        return false;
    }
    // What is larger is no key.
    let content = image.tree.read(path.as_bytes(), secrets::MAX_BYTES);
    content.is_ok_and(|content| content.is_some_and(|content| mark.is_in(&content)))
}

/// The finding about the files that hold secrets, none if there is none; the paths are escaped.
pub fn finding(paths: &[String]) -> Option<Finding> {
    let first = paths.first()?;
    let others = match paths.len() - 1 {
        0 => String::new(),
        more => format!(" (and {})", counted(more, "other file", "other files")),
    };
    Some(RULE.finding(
        format!("{first}{others} holds a secret that whoever pulls the image can read"),
        "use `RUN --mount=type=secret` for what only the build needs, and give the machine its own \
         (cloud-init, systemd's credentials); a secret that was in a layer should be replaced"
            .to_owned(),
        paths.iter().take(MAX_NAMED).cloned().collect(),
    ))
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
