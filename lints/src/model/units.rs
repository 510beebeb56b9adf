//! Unit files as systemd reads them (systemd.syntax(7), systemd.unit(5), systemd's
//! `src/shared/conf-parser.c` and `src/basic/extract-word.c`): sections, assignments, lines that
//! go on, and the words of a value. Pure functions over bytes.

use super::{sysusers::lines, tmpfiles::unescape};

/// Bytes of a line at most, continuations included (`LONG_LINE_MAX`): systemd does not load a
/// file with a longer one.
const MAX_LINE_BYTES: usize = 1 << 20;

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The section's name.
    pub section: Vec<u8>,
    /// What stands before `=`.
    pub key: Vec<u8>,
    /// What stands after it, without blanks at its ends.
    pub value: Vec<u8>,
    /// The line on which it begins, from 1.
    pub line: u32,
}

/// A line that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line's number, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: &'static str,
    /// Whether systemd does not load the file because of it; otherwise it ignores the line.
    pub is_fatal: bool,
}

/// All of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The assignments in their order.
    pub assignments: Vec<Assignment>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads a unit file, a drop-in or another file of that syntax.
pub fn parse(file: &[u8]) -> Parsed {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut reader = Reader::default();
    let mut open: Option<(u32, Vec<u8>)> = None;
    for (number, line) in lines(file) {
        // A comment counts for nothing within a line that goes on, too.
        if matches!(line.trim_ascii_start().first(), Some(b'#' | b';')) {
            continue;
        }
        let (begun, mut text) = open.take().unwrap_or((number, Vec::new()));
        text.extend_from_slice(line);
        if text.len() > MAX_LINE_BYTES {
            reader.problem(number, "a line is too long", true);
            return reader.parsed;
        }
        // Of several backslashes at the end each second one escapes the next.
        let slashes = text.iter().rev().take_while(|&&byte| byte == b'\\').count();
        if slashes % 2 == 1 {
            text.pop();
            text.push(b' ');
            open = Some((begun, text));
        } else if !reader.line(begun, text.trim_ascii()) {
            return reader.parsed;
        }
    }
    if let Some((begun, text)) = open {
        reader.line(begun, text.trim_ascii());
    }
    reader.parsed
}

#[derive(Default)]
struct Reader {
    section: Vec<u8>,
    parsed: Parsed,
}

impl Reader {
    fn problem(&mut self, line: u32, message: &'static str, is_fatal: bool) {
        self.parsed.problems.push(Problem {
            line,
            message,
            is_fatal,
        });
    }

    /// Takes in one line; false if systemd reads no further.
    fn line(&mut self, line: u32, text: &[u8]) -> bool {
        let Some(&first) = text.first() else {
            return true;
        };
        if first == b'[' {
            let section = text[1..].strip_suffix(b"]");
            match section.filter(|name| !name.iter().any(u8::is_ascii_control)) {
                Some(section) => self.section = section.to_vec(),
                None => self.problem(line, "a section's name is not closed", true),
            }
            return section.is_some();
        }
        // Sections of others' are theirs; systemd looks for nothing in them.
        let is_foreign = self.section.starts_with(b"X-");
        let Some(equals) = text.iter().position(|&byte| byte == b'=') else {
            if self.section.is_empty() {
                self.problem(line, "it stands in no section", false);
            } else if !is_foreign {
                self.problem(line, "there is no =", false);
            }
            return true;
        };
        let (key, value) = (text[..equals].trim_ascii(), text[equals + 1..].trim_ascii());
        if self.section.is_empty() {
            self.problem(line, "it stands in no section", false);
        } else if key.is_empty() {
            if !is_foreign {
                self.problem(line, "nothing stands before =", false);
            }
        } else {
            self.parsed.assignments.push(Assignment {
                section: self.section.clone(),
                key: key.to_vec(),
                value: value.to_vec(),
                line,
            });
        }
        true
    }
}

/// The words of a value: quotes of both kinds go, C escapes are undone. What follows a quote
/// without its end is lost, as it is to systemd.
pub fn words(value: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = value;
    while let Some((word, tail)) = next_word(rest) {
        words.push(word);
        rest = tail;
    }
    words
}

/// The names of units in a value: quotes go, backslashes stay, since they belong to the names
/// (`EXTRACT_RETAIN_ESCAPE`).
pub fn unit_names(value: &[u8]) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut rest = value;
    while let Some((name, tail)) = word_of(rest, |text| (b"\\".to_vec(), text)) {
        names.push(name);
        rest = tail;
    }
    names
}

/// The first word and what follows it.
pub fn next_word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    // An escape that is none stays as it is, with a warning.
    word_of(text, |rest| {
        unescape(rest).unwrap_or((b"\\".to_vec(), rest))
    })
}

/// The first word; `escaped` is asked for what a backslash before its argument means, and what is left then.
fn word_of(text: &[u8], escaped: impl Fn(&[u8]) -> (Vec<u8>, &[u8])) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.trim_ascii_start();
    if rest.is_empty() {
        return None;
    }
    let mut word = Vec::new();
    let mut quote = None;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, quote) {
            (b'\\', _) => {
                let (bytes, tail) = escaped(tail);
                word.extend(bytes);
                rest = tail;
            }
            (byte, Some(open)) if byte == open => quote = None,
            (b'"' | b'\'', None) => quote = Some(byte),
            (b' ' | b'\t' | b'\r' | b'\n', None) => break,
            (byte, _) => word.push(byte),
        }
    }
    quote.is_none().then_some((word, rest))
}

/// One command of an `Exec…=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program's path, or its name to be looked for, with its specifiers.
    pub program: Vec<u8>,
    /// What follows it, each with its specifiers.
    pub arguments: Vec<Vec<u8>>,
    /// `-`: that it fails does not matter.
    pub may_fail: bool,
    /// `+`, `!`, `!!`: it runs as root, whatever `User=` says.
    pub is_privileged: bool,
    /// `|`: a shell runs it. systemd 258 and newer.
    pub in_shell: bool,
}

impl Command {
    /// What it gives a shell to run, `sh -c SCRIPT`.
    pub fn shell_script(&self) -> Option<&[u8]> {
        let name = self.program.rsplit(|&byte| byte == b'/').next()?;
        if ![&b"sh"[..], b"bash", b"dash"].contains(&name) {
            return None;
        }
        let mut arguments = self.arguments.iter();
        let is_option = |word: &&Vec<u8>| word.starts_with(b"-") && !word.starts_with(b"--");
        arguments.find(|word| is_option(word) && word.ends_with(b"c"))?;
        arguments.next().map(Vec::as_slice)
    }
}

/// The commands of one value: prefixes, `;` between them (systemd.service(5), "Command lines").
pub fn commands(value: &[u8]) -> Vec<Command> {
    let mut commands = Vec::new();
    let mut rest = value;
    while let Some((first, tail)) = next_word(rest) {
        rest = tail;
        if first == b";" {
            continue;
        }
        let prefixes = first.iter().take_while(|byte| b"-@:+!|".contains(byte));
        let (prefixes, program) = first.split_at(prefixes.count());
        let mut arguments = Vec::new();
        loop {
            // `\;` is a semicolon of the command's own.
            let text = rest.trim_ascii_start();
            if let Some(tail) = text.strip_prefix(b"\\;")
                && tail.first().is_none_or(u8::is_ascii_whitespace)
            {
                arguments.push(b";".to_vec());
                rest = tail;
                continue;
            }
            let bare = text.strip_prefix(b";");
            if let Some(tail) = bare.filter(|tail| tail.first().is_none_or(u8::is_ascii_whitespace))
            {
                rest = tail;
                break;
            }
            let Some((argument, tail)) = next_word(rest) else {
                rest = b"";
                break;
            };
            arguments.push(argument);
            rest = tail;
        }
        // The first argument is then the name that the program sees.
        if prefixes.contains(&b'@') && !arguments.is_empty() {
            arguments.remove(0);
        }
        if !program.is_empty() {
            commands.push(Command {
                program: program.to_vec(),
                arguments,
                may_fail: prefixes.contains(&b'-'),
                is_privileged: prefixes.iter().any(|byte| b"+!".contains(byte)),
                in_shell: prefixes.contains(&b'|'),
            });
        }
    }
    commands
}

/// What a boolean says (`parse_boolean`).
pub fn boolean(value: &[u8]) -> Option<bool> {
    let is_one_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|name| value.eq_ignore_ascii_case(name.as_bytes()))
    };
    if is_one_of(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is_one_of(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::hostile;

    fn values(file: &str) -> Vec<(String, String, u32)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let assignments = parse(file.as_bytes()).assignments.into_iter();
        assignments
            .map(|one| (text(&one.key), text(&one.value), one.line))
            .collect()
    }

    fn value(file: &str) -> String {
        let found = values(&format!("[Service]\n{file}"));
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().expect("one").1
    }

    #[test]
    fn sections_keys_and_lines_are_kept() {
        let parsed = parse(b"# c\n\n[Unit]\r\nA = b = c \n[X-Own]\n; c\n  A=\n");
        let of = |section: &str, value: &str, line| Assignment {
            section: section.into(),
            key: b"A".to_vec(),
            value: value.into(),
            line,
        };
        assert_eq!(
            parsed.assignments,
            [of("Unit", "b = c", 4), of("X-Own", "", 7)]
        );
        assert_eq!(parsed.problems, []);
    }

    #[test]
    fn a_line_goes_on_after_a_backslash_and_over_comments() {
        assert_eq!(value("A=a \\\n# no \\\n; no\n  b\\\n"), "a    b");
        assert_eq!(value("A=a\\\\\n"), "a\\\\");
        assert_eq!(
            values("[S]\nA=1\\\n\nB=2\n")[1],
            ("B".into(), "2".into(), 4)
        );
        // An end of file ends the line as well.
        assert_eq!(value("A=a\\"), "a");
    }

    #[test]
    fn what_systemd_ignores_or_refuses_is_a_problem() {
        let problems = |file: &[u8]| {
            let parsed = parse(file);
            let problems = parsed.problems.into_iter();
            let told = problems.map(|problem| (problem.line, problem.is_fatal));
            (parsed.assignments.len(), told.collect::<Vec<_>>())
        };
        assert_eq!(
            problems(b"A=1\n[S]\nA\n=x\nB=2"),
            (1, vec![(1, false), (3, false), (4, false)])
        );
        assert_eq!(problems(b"[S]\nA=1\n[T\nB=2"), (1, vec![(3, true)]));
        // Without a section, that is what is wrong; in one of others' nothing is.
        let found = parse(b"A\n=x\n[X-Own]\nA\n=x\nB=2");
        let outside = |line| Problem {
            line,
            message: "it stands in no section",
            is_fatal: false,
        };
        assert_eq!(found.problems, [outside(1), outside(2)]);
        let long = [b"[S]\nA=", &vec![b'x'; MAX_LINE_BYTES][..]].concat();
        assert_eq!(problems(&long), (0, vec![(2, true)]));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(parse(b"\xef\xbb\xbf[S]\nA=1").assignments.len(), 1);
    }

    #[test]
    fn words_lose_quotes_and_escapes() {
        let texts = |value: &str| -> Vec<String> {
            let words = words(value.as_bytes()).into_iter();
            words
                .map(|word| String::from_utf8_lossy(&word).into_owned())
                .collect()
        };
        assert_eq!(
            texts(r#" a "b c" 'd'e\x20f ""  "#),
            ["a", "b c", "de f", ""]
        );
        assert_eq!(texts("a 'b"), ["a"]);
        assert_eq!(texts(r"a b\q c\"), ["a", r"b\q", r"c\"]);
    }

    #[test]
    fn names_of_units_keep_their_escapes() {
        let names = unit_names(br#"a\x2db.service "c.socket" 'd@e\x20f.service'"#);
        let expected = [&br"a\x2db.service"[..], b"c.socket", br"d@e\x20f.service"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_command_has_prefixes_and_others_may_follow() {
        let found = commands(br#"-@!"/bin/a b" name x \; y ; +/bin/c 'd;e' ; "#);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].program, b"/bin/a b");
        assert_eq!(found[0].arguments, [&b"x"[..], b";", b"y"]);
        assert!(found[0].may_fail && found[0].is_privileged);
        assert_eq!(
            (&found[1].program[..], found[1].may_fail),
            (&b"/bin/c"[..], false)
        );
        assert_eq!(found[1].arguments, [b"d;e"]);
        assert_eq!(commands(b" ; -"), []);
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            parse(&file);
            words(&file);
            commands(&file);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(file in proptest::collection::vec(any::<u8>(), 0..300)) {
            let parsed = parse(&file);
            let lines = lines(&file).count();
            for one in &parsed.assignments {
                prop_assert!((1..=lines).contains(&(one.line as usize)));
                prop_assert!(!one.key.is_empty() && !one.section.contains(&b'\n'));
            }
            let _ = (words(&file), commands(&file));
        }

        #[test]
        fn any_lines_of_a_unit_are_read(
            file in r#"(\[[A-Z]?\]?|[AB]?=? ?["'\\;#a ]{0,6}|\\|\n|\r){0,30}"#
        ) {
            let parsed = parse(file.as_bytes());
            for one in parsed.assignments {
                let _ = commands(&one.value);
            }
        }
    }
}
