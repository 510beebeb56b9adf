//! Presets as systemd reads them (systemd.preset(5), systemd's `src/shared/install.c`): whether a
//! unit is to be enabled on a machine's first boot. Pure functions over bytes.

use super::{pattern::Pattern, sysusers::lines, units::words};

/// What a line wants of the units that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresetAction {
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
    pub action: PresetAction,
    /// The unit's name, or more than one.
    pub pattern: Pattern,
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
        b"enable" => PresetAction::Enable,
        b"disable" => PresetAction::Disable,
        b"ignore" => PresetAction::Ignore,
        _ => return None,
    };
    let mut words = match action {
        // Only here may instances follow.
        PresetAction::Enable => words(&text[end..]),
        PresetAction::Disable | PresetAction::Ignore => vec![text[end..].trim_ascii().to_vec()],
    }
    .into_iter();
    Some(Line {
        action,
        pattern: Pattern::new(words.next().filter(|pattern| !pattern.is_empty())?),
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
        if line.pattern.matches(unit.as_str().as_bytes()) {
            return true;
        }
        let instance = unit.instance().unwrap_or_default().as_bytes();
        template.as_ref().is_some_and(|template| {
            line.pattern.matches(template.as_str().as_bytes())
                && line.instances.iter().any(|listed| listed == instance)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{hostile, unit_name::UnitName};

    fn action(file: &str, unit: &str) -> Option<PresetAction> {
        let unit = UnitName::parse(unit).expect("a name");
        first_match(&parse(file.as_bytes()), &unit).map(|line| line.action)
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = "# c\n\nenable ssh.service\ndisable s*\nignore x.?imer\nnonsense\nenable\n";
        assert_eq!(action(file, "ssh.service"), Some(PresetAction::Enable));
        assert_eq!(action(file, "sshd.service"), Some(PresetAction::Disable));
        assert_eq!(action(file, "x.timer"), Some(PresetAction::Ignore));
        assert_eq!(action(file, "a.service"), None);
        assert_eq!(parse(file.as_bytes())[1].line, 4);
    }

    #[test]
    fn a_template_names_its_instances() {
        let file = "enable getty@.service tty1 tty2\ndisable *";
        assert_eq!(
            action(file, "getty@tty2.service"),
            Some(PresetAction::Enable)
        );
        assert_eq!(
            action(file, "getty@tty3.service"),
            Some(PresetAction::Disable)
        );
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            parse(&file);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file: Vec<u8>) {
            parse(&file);
        }
    }
}
