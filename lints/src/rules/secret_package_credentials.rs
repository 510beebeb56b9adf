//! # What it does
//! Finds passwords and tokens in the configuration of package managers: apt, dnf, yum, zypper, pip
//! and npm. Also finds them in the URLs of their sources.
//!
//! # Why it breaks
//! Whoever can pull the image can read them. So can every user of a host: these files are readable
//! for all.
//!
//! # Example
//! ```dockerfile
//! RUN echo 'deb https://acme:s3cret@repo.acme.example/ stable main' \
//!     > /etc/apt/sources.list.d/acme.list
//! ```
//!
//! # Fix
//! Mount them in the step that needs them:
//! ```dockerfile
//! RUN --mount=type=secret,id=apt,target=/etc/apt/auth.conf.d/acme.conf apt-get install -y acme
//! ```

use super::{Check, Rule};
use crate::knowledge::secrets::CREDENTIALS;
use crate::tree::Kind;
use crate::{Finding, Image, Severity, escape_path};

/// The rule's constants.
pub const RULE: Rule = Rule {
    name: "secret-package-credentials",
    severity: Severity::Warning,
    summary: "a package manager's password or token is in the image",
    check: Check::Image(check),
    ..Rule::IMAGE
};

/// Bytes of a file at most.
const MAX_BYTES: u64 = 1 << 20;

fn check(image: &Image<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, _) in CREDENTIALS {
        let names = image.names(place).into_iter();
        let inside = names.map(|name| format!("{place}/{name}"));
        for path in std::iter::once(place.to_owned()).chain(inside) {
            findings.extend(finding(image, &path));
        }
    }
    findings
}

fn finding(image: &Image<'_>, path: &str) -> Option<Finding> {
    if image.kind(path) != Some(Kind::File) {
        return None;
    }
    let content = image.tree.read(path.as_bytes(), MAX_BYTES).ok().flatten()?;
    let mut lines = content.split(|&byte| byte == b'\n');
    let line = 1 + lines.position(holds_secret)?;
    let path = format!("/{}", escape_path(path.as_bytes()));
    Some(RULE.finding(
        format!("{path}:{line} holds a password or token that whoever pulls the image can read"),
        format!("give it to the step alone: `RUN --mount=type=secret,id=NAME,target={path} …`"),
        vec![path],
    ))
}

fn holds_secret(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let is_comment = line.starts_with(b"#") || line.starts_with(b";") || line.starts_with(b"// ");
    !is_comment && (has_assignment(line) || has_netrc(line) || has_url(line))
}

/// `password=…` and its kin.
fn has_assignment(line: &[u8]) -> bool {
    let Some(equals) = line.iter().position(|&byte| byte == b'=') else {
        return false;
    };
    let key = line[..equals].trim_ascii().to_ascii_lowercase();
    // npm writes `//registry.example/:_authToken=…`.
    let key = key.rsplit(|&byte| byte == b':').next().unwrap_or(&key);
    let is_secret = matches!(
        key,
        b"password" | b"proxy_password" | b"_authtoken" | b"_auth" | b"_password"
    );
    is_secret && is_given(line[equals + 1..].trim_ascii())
}

/// apt's auth.conf: `machine HOST login NAME password SECRET` (`apt_auth.conf(5)`).
fn has_netrc(line: &[u8]) -> bool {
    let words = line.split(u8::is_ascii_whitespace);
    let mut words = words
        .filter(|word| !word.is_empty())
        .skip_while(|word| *word != b"password");
    let is_netrc = line.starts_with(b"machine ") || line.starts_with(b"password ");
    is_netrc && words.nth(1).is_some_and(is_given)
}

/// `https://NAME:SECRET@HOST/`.
fn has_url(line: &[u8]) -> bool {
    let mut rest = line;
    while let Some(start) = rest.windows(3).position(|part| part == b"://") {
        rest = &rest[start + 3..];
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"/\"'?#".contains(byte);
        let authority = rest.split(ends).next().unwrap_or_default();
        let Some(at) = authority.iter().rposition(|&byte| byte == b'@') else {
            continue;
        };
        let mut parts = authority[..at].splitn(2, |&byte| byte == b':');
        if parts.nth(1).is_some_and(is_given) {
            return true;
        }
    }
    false
}

/// A variable is filled in elsewhere.
fn is_given(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    !value.is_empty() && !b"$%<{\"".contains(&value[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;

    #[test]
    fn each_form_is_told() {
        for line in [
            "password=s3cret",
            "Password = s3cret",
            "//npm.acme.example/:_authToken=npm_abc",
            "machine acme.example login acme password s3cret",
            "deb https://acme:s3cret@repo.acme.example/ stable main",
            "index-url = \"https://u:p@pypi.acme.example/simple\"",
        ] {
            assert!(holds_secret(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn what_is_no_secret_is_right() {
        for line in [
            "# password=s3cret",
            "password=",
            "password=$PASSWORD",
            "//npm.acme.example/:_authToken=${NPM_TOKEN}",
            "deb https://deb.debian.org/debian stable main",
            "baseurl=https://user@repo.acme.example/$basearch",
            "proxy=http://proxy:3128/a@b",
            "baseurl=http://[::1]:80/",
            "password_file=/run/secrets/x",
        ] {
            assert!(!holds_secret(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_file_and_its_line_are_named() {
        let tree = Fixture::new().file("etc/yum.repos.d/a.repo", "[a]\npassword=x\n");
        let tree = tree.file("etc/apt/sources.list", "deb http://a.example a b\n");
        let found = tree.findings_of(&RULE);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .message
                .starts_with("/etc/yum.repos.d/a.repo:2 holds")
        );
    }
}
