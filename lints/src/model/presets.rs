//! Presets as systemd reads them (systemd.preset(5), systemd's `src/shared/install.c`): whether a
//! unit is to be enabled on a machine's first boot. Pure functions over bytes.

use super::{sysusers::lines, units::words};

/// What a line wants of the units that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// They are enabled.
    Enable,
    /// They are disabled.
    Disable,
    /// They are left as they are. systemd 253 and newer; older ones ignore the line.
    Ignore,
}

/// A line that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it wants.
    pub action: Action,
    /// The unit's name, with `*`, `?` and `[…]` for more than one.
    pub pattern: Vec<u8>,
    /// Instances of a template to enable.
    pub instances: Vec<Vec<u8>>,
    /// The line's number, from 1.
    pub line: u32,
}

/// The lines of one file that systemd accepts; it ignores the others.
pub fn parse(file: &[u8]) -> Vec<Line> {
    lines(file)
        .filter_map(|(line, text)| read_line(line, text.trim_ascii()))
        .collect()
}

fn read_line(line: u32, text: &[u8]) -> Option<Line> {
    if matches!(text.first(), Some(b'#' | b';')) {
        return None;
    }
    let end = text.iter().position(u8::is_ascii_whitespace)?;
    let action = match &text[..end] {
        b"enable" => Action::Enable,
        b"disable" => Action::Disable,
        b"ignore" => Action::Ignore,
        _ => return None,
    };
    let mut words = match action {
        // Only here may instances follow.
        Action::Enable => words(&text[end..]),
        Action::Disable | Action::Ignore => vec![text[end..].trim_ascii().to_vec()],
    }
    .into_iter();
    Some(Line {
        action,
        pattern: words.next().filter(|pattern| !pattern.is_empty())?,
        instances: words.collect(),
        line,
    })
}

/// The first of the lines that names a unit; an instance is also named by its template with it in
/// the list of instances.
pub fn first_match<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    unit: &super::unit_name::UnitName,
) -> Option<&'a Line> {
    let template = unit.template();
    lines.into_iter().find(|line| {
        if matches(&line.pattern, unit.as_str().as_bytes()) {
            return true;
        }
        let instance = unit.instance().unwrap_or_default().as_bytes();
        template.as_ref().is_some_and(|template| {
            matches(&line.pattern, template.as_str().as_bytes())
                && line.instances.iter().any(|listed| listed == instance)
        })
    })
}

/// Whether a name fits a pattern of `*`, `?`, `[…]` and `\` (fnmatch(3) with `FNM_NOESCAPE`, as
/// install.c calls it: a backslash is itself).
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where the last star stands, and up to where it has eaten: each star is tried once for each
    // byte, so no pattern takes more than the product of both lengths.
    let mut star: Option<(usize, usize)> = None;
    while position < name.len() {
        let step = match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => one_of(&pattern[at..], name[position]),
            Some(&byte) => (byte == name[position]).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                at += step;
                position += 1;
            }
            (None, Some((of_star, eaten))) => {
                star = Some((of_star, eaten + 1));
                at = of_star + 1;
                position = eaten + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// How long the bracket expression at the beginning is, if the byte is in it. One without its end
/// is a bracket.
fn one_of(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(negated);
    let closing = pattern
        .iter()
        .skip(first + 1)
        .position(|&byte| byte == b']');
    let Some(end) = closing.map(|position| position + first + 1) else {
        return (byte == b'[').then_some(1);
    };
    let mut set = &pattern[first..end];
    let mut found = false;
    while let Some(&low) = set.first() {
        if let [_, b'-', high, ..] = set {
            found |= (low..=*high).contains(&byte);
            set = &set[3..];
        } else {
            found |= low == byte;
            set = &set[1..];
        }
    }
    (found != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{hostile, unit_name::UnitName};

    fn action(file: &str, unit: &str) -> Option<Action> {
        let unit = UnitName::parse(unit).expect("a name");
        first_match(&parse(file.as_bytes()), &unit).map(|line| line.action)
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# c\n\nenable ssh.service\ndisable s*\nignore x.?imer\nnonsense\nenable\n";
        assert_eq!(action(file, "ssh.service"), Some(Action::Enable));
        assert_eq!(action(file, "sshd.service"), Some(Action::Disable));
        assert_eq!(action(file, "x.timer"), Some(Action::Ignore));
        assert_eq!(action(file, "a.service"), None);
        assert_eq!(parse(file.as_bytes())[1].line, 4);
    }

    #[test]
    fn a_template_names_its_instances() {
        let file = "enable getty@.service tty1 tty2\ndisable *";
        assert_eq!(action(file, "getty@tty2.service"), Some(Action::Enable));
        assert_eq!(action(file, "getty@tty3.service"), Some(Action::Disable));
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "a-b-c", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]x]", "]", true),
            ("[a", "[a", true),
            ("a?", "a", false),
        ] {
            let found = matches(pattern.as_bytes(), name.as_bytes());
            assert_eq!(found, fits, "{pattern} {name}");
        }
        assert!(!matches(&b"*a".repeat(2000), &b"a".repeat(1999)));
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            parse(&file);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file: Vec<u8>, pattern in r"[-*?\[\]!a-c]{0,12}") {
            parse(&file);
            matches(pattern.as_bytes(), &file);
        }

        #[test]
        fn a_name_fits_itself_with_stars_anywhere(name in "[a-c]{0,8}", at in 0usize..8) {
            let at = at.min(name.len());
            let pattern = format!("{}*{}", &name[..at], &name[at..]);
            prop_assert!(matches(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
