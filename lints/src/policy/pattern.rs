//! The paths that a suppression is about.

/// An absolute path, which stands for itself and all below it; `*` in it for anything but a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads one; none for what is no absolute path.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        text.starts_with('/').then(|| Self(text.to_owned()))
    }

    /// Whether it covers a path as findings have it.
    pub fn covers(&self, path: &str) -> bool {
        let mut parts = path.split('/');
        self.0
            .split('/')
            .all(|wanted| parts.next().is_some_and(|part| is_like(wanted, part)))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_like(wanted: &str, part: &str) -> bool {
    let mut pieces = wanted.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| part.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = &rest[found + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_itself_and_what_is_below() {
        let covers = |pattern: &str, path: &str| Pattern::parse(pattern).expect("one").covers(path);
        assert!(covers("/var/lib/a", "/var/lib/a") && covers("/var/lib/a/", "/var/lib/a/b/c"));
        assert!(!covers("/var/lib/a", "/var/lib/ab") && !covers("/var/lib/a", "/var/lib"));
        assert!(covers(
            "/usr/lib/modules/*/build",
            "/usr/lib/modules/6.12/build"
        ));
        assert!(covers("/etc/*.d/a*c", "/etc/x.d/abbc") && !covers("/etc/*.d", "/etc/d"));
        assert!(!covers("/usr/*/b", "/usr/x/y/b"));
        assert_eq!(Pattern::parse("var/lib"), None);
    }
}
