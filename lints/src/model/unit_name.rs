//! Names of units, and what `%` stands for in unit files (systemd.unit(5), systemd's
//! `src/basic/unit-name.c` and `src/core/unit-printf.c`).

/// The kinds of units, as a name ends.
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "target",
    "timer",
    "path",
    "mount",
    "automount",
    "swap",
    "device",
    "slice",
    "scope",
];

/// Bytes of a unit's name at most (`UNIT_NAME_MAX`).
const MAX_BYTES: usize = 255;

/// The name of a unit: `PREFIX.KIND`, `PREFIX@INSTANCE.KIND`, or of a template, `PREFIX@.KIND`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName {
    text: String,
    at: Option<usize>,
    dot: usize,
}

impl UnitName {
    /// Reads a name; none if systemd would not take it.
    pub fn parse(text: &str) -> Option<Self> {
        let dot = text.rfind('.')?;
        let is_known = KINDS.contains(&&text[dot + 1..]);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        let at = text[..dot].find('@');
        let is_valid = is_known && dot > 0 && at != Some(0) && text.len() <= MAX_BYTES;
        (is_valid && text.bytes().all(allowed)).then(|| Self {
            text: text.to_owned(),
            at,
            dot,
        })
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `service`, `socket` …
    pub fn kind(&self) -> &str {
        &self.text[self.dot + 1..]
    }

    /// What stands before `@`, or before the kind.
    pub fn prefix(&self) -> &str {
        &self.text[..self.at.unwrap_or(self.dot)]
    }

    /// What stands after `@`; none where there is no `@`, an empty text for a template.
    pub fn instance(&self) -> Option<&str> {
        self.at.map(|at| &self.text[at + 1..self.dot])
    }

    /// Whether it is `PREFIX@.KIND`, of which only instances can be started.
    pub fn is_template(&self) -> bool {
        self.instance() == Some("")
    }

    /// The template that an instance is made of.
    pub fn template(&self) -> Option<Self> {
        let instance = self.instance()?;
        let text = format!("{}@.{}", self.prefix(), self.kind());
        (!instance.is_empty()).then(|| Self::parse(&text))?
    }

    /// The template with an instance, or the name as it is where it is no template.
    pub fn with_instance(&self, instance: &str) -> Option<Self> {
        if !self.is_template() {
            return Some(self.clone());
        }
        Self::parse(&format!("{}@{instance}.{}", self.prefix(), self.kind()))
    }

    /// The same name with another kind: the service that a socket starts.
    pub fn with_kind(&self, kind: &str) -> Option<Self> {
        Self::parse(&format!("{}.{kind}", &self.text[..self.dot]))
    }

    /// Names of the drop-in directories without their `.d`, those that count most first:
    /// `a-b@x.service`, `a-b@.service`, `a-@x.service`, `a-@.service`, `service`.
    pub fn drop_ins(&self) -> Vec<String> {
        let mut names = Vec::new();
        let kind = self.kind();
        let instance = self.instance();
        let mut add = |prefix: &str| match instance {
            None => names.push(format!("{prefix}.{kind}")),
            Some(instance) => {
                names.push(format!("{prefix}@{instance}.{kind}"));
                if !instance.is_empty() {
                    names.push(format!("{prefix}@.{kind}"));
                }
            }
        };
        let mut prefix = self.prefix();
        add(prefix);
        while let Some(dash) = prefix.trim_end_matches('-').rfind('-') {
            prefix = &prefix[..=dash];
            add(prefix);
        }
        names.push(kind.to_owned());
        names
    }

    /// The path that a mount's name says; none for another kind.
    pub fn mount_point(&self) -> Option<Vec<u8>> {
        ["mount", "automount"]
            .contains(&self.kind())
            .then(|| unescaped_path(&self.text[..self.dot]))
    }
}

/// Undoes the escaping of a text in a unit's name (`unit_name_unescape`): `-` is a slash, `\xNN` a byte.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'-' => bytes.push(b'/'),
            b'\\' => match hex(tail) {
                Some(escaped) => {
                    bytes.push(escaped);
                    rest = &tail[3..];
                }
                None => bytes.push(b'\\'),
            },
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// Undoes the escaping of a path (`unit_name_path_unescape`): a single `-` is the root.
fn unescaped_path(text: &str) -> Vec<u8> {
    match text {
        "-" => b"/".to_vec(),
        text => [b"/", &unescaped(text)[..]].concat(),
    }
}

/// Escapes a text for a unit's name (`unit_name_escape`): a slash becomes `-`, other bytes than letters,
/// digits, `:`, `_` and `.` become `\\xNN`, and so does a dot at the beginning.
pub fn escaped(text: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut name = String::with_capacity(text.len());
    for (index, &byte) in text.iter().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => {
                name.push(char::from(byte));
            }
            byte => {
                let _ = write!(name, "\\x{byte:02x}");
            }
        }
    }
    name
}

/// Escapes an absolute path (`unit_name_path_escape`): the slashes at its ends and double ones go, and the root is
/// `-`.
pub fn escaped_path(path: &[u8]) -> String {
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && part != b".")
        .collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    escaped(&parts.join(&b'/'))
}

/// The byte of `xNN`.
fn hex(text: &[u8]) -> Option<u8> {
    let [b'x', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Puts in what `%` stands for as far as the image decides it; none where only a running machine
/// knows. A `%` before a letter without meaning stays as it is.
pub fn expand(text: &[u8], name: &UnitName) -> Option<Vec<u8>> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            expanded.push(byte);
            continue;
        }
        let Some(&letter) = bytes.next() else {
            expanded.push(b'%');
            break;
        };
        expanded.extend(specifier(letter, name)?);
    }
    Some(expanded)
}

fn specifier(letter: u8, name: &UnitName) -> Option<Vec<u8>> {
    let instance = || name.instance().unwrap_or_default();
    let last = || {
        let prefix = name.prefix();
        prefix.rsplit('-').next().unwrap_or(prefix)
    };
    let file = || match name.instance() {
        Some(instance) if !instance.is_empty() => instance,
        _ => name.prefix(),
    };
    Some(match letter {
        b'i' => instance().into(),
        b'I' => unescaped(instance()),
        b'n' => name.as_str().into(),
        b'N' => name.as_str()[..name.dot].into(),
        b'p' => name.prefix().into(),
        b'P' => unescaped(name.prefix()),
        b'j' => last().into(),
        b'J' => unescaped(last()),
        b'f' => unescaped_path(file()),
        b'%' => b"%".into(),
        b't' => b"/run".into(),
        b'S' => b"/var/lib".into(),
        b'C' => b"/var/cache".into(),
        b'L' => b"/var/log".into(),
        b'E' => b"/etc".into(),
        b'T' => b"/tmp".into(),
        b'V' => b"/var/tmp".into(),
        b'h' => b"/root".into(),
        b'u' | b'g' => b"root".into(),
        b'U' | b'G' => b"0".into(),
        // The machine, its kernel, its OS release, its credentials, the unit's files, and root's shell:
        // /bin/sh, but /bin/bash to systemd 255 and newer if that is there (`default_root_shell`).
        b'a' | b'A' | b'b' | b'B' | b'c' | b'd' | b'D' | b'H' | b'l' | b'm' | b'M' | b'o'
        | b'q' | b'r' | b'R' | b's' | b'v' | b'w' | b'W' | b'y' | b'Y' => return None,
        other => vec![b'%', other],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::parse(text).expect("a name")
    }

    #[test]
    fn a_name_has_parts() {
        let getty = name("getty@tty1.service");
        assert_eq!((getty.prefix(), getty.kind()), ("getty", "service"));
        assert_eq!(getty.instance(), Some("tty1"));
        assert_eq!(getty.template(), Some(name("getty@.service")));
        assert!(name("getty@.service").is_template());
        assert_eq!(
            name("a.b.socket").with_kind("service"),
            Some(name("a.b.service"))
        );
        assert_eq!(name("a.service").instance(), None);
    }

    #[test]
    fn what_systemd_does_not_take_is_no_name() {
        for text in [
            "",
            "a",
            ".service",
            "@x.service",
            "a.txt",
            "a b.service",
            "ä.service",
        ] {
            assert_eq!(UnitName::parse(text), None, "{text}");
        }
        assert_eq!(
            UnitName::parse(&format!("{}.service", "a".repeat(255))),
            None
        );
    }

    #[test]
    fn drop_ins_are_of_the_name_its_prefixes_and_its_kind() {
        let names = name("foo-bar-baz.service").drop_ins();
        let expected = [
            "foo-bar-baz.service",
            "foo-bar-.service",
            "foo-.service",
            "service",
        ];
        assert_eq!(names, expected);
        let names = name("a-b@x.service").drop_ins();
        let expected = [
            "a-b@x.service",
            "a-b@.service",
            "a-@x.service",
            "a-@.service",
            "service",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn specifiers_of_the_name_and_of_every_machine_are_put_in() {
        let unit = name(r"tor-x@a-b\x2dc.service");
        for (text, expected) in [
            ("%n", r"tor-x@a-b\x2dc.service"),
            ("%p %j", "tor-x x"),
            ("%i", r"a-b\x2dc"),
            ("/%I", "/a/b-c"),
            ("%f", "/a/b-c"),
            ("%S%C%L%t%E", "/var/lib/var/cache/var/log/run/etc"),
            ("100%% %", "100% %"),
        ] {
            let expanded = expand(text.as_bytes(), &unit).expect("known");
            assert_eq!(String::from_utf8_lossy(&expanded), expected, "{text}");
        }
        assert_eq!(expand(b"/x/%m", &unit), None);
    }

    #[test]
    fn a_mount_is_named_after_its_path() {
        assert_eq!(
            name(r"srv-my\x2ddata.mount").mount_point(),
            Some(b"/srv/my-data".into())
        );
        assert_eq!(name("-.mount").mount_point(), Some(b"/".into()));
        assert_eq!(name("a.service").mount_point(), None);
    }

    #[test]
    fn a_path_is_escaped_as_systemd_does() {
        for (path, name) in [
            ("/", "-"),
            ("/srv//my-data/", r"srv-my\x2ddata"),
            ("/.hidden/a b", r"\x2ehidden-a\x20b"),
            ("/a:b_c.d", "a:b_c.d"),
        ] {
            assert_eq!(escaped_path(path.as_bytes()), name, "{path}");
        }
    }

    #[test]
    fn a_single_dash_is_a_slash_and_as_a_path_the_root() {
        let expanded = |text: &str| expand(text.as_bytes(), &name("app@-.service"));
        assert_eq!(expanded("%I"), Some(b"/".into()));
        assert_eq!(expanded("%f"), Some(b"/".into()));
        assert_eq!(unescaped(&escaped(b"/")), b"/");
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(unescaped(&escaped(&bytes)), bytes);
        }

        #[test]
        fn any_text_is_a_name_or_none(text in r"[-a-z@\\x0-9.]{0,12}(\.service)?", value: Vec<u8>) {
            if let Some(name) = UnitName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                let _ = (name.drop_ins(), name.template(), expand(&value, &name));
            }
        }
    }
}
