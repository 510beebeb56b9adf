//! The paths that a suppression is about.

use wildmatch::WildMatchPattern;

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
    // NUL, which is in no path, stands for "any one": nothing does.
    WildMatchPattern::<'*', '\0'>::new(wanted).matches(part)
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
