//! The instructions of a Containerfile with their lines, as far as findings and suppressions need them:
//! comments, continued lines and here-documents, with the parser directive `escape` (Dockerfile
//! reference, "Format"). What an instruction means is not asked.

use super::{Pattern, Place, PolicyError, Suppression};
use crate::Origin;
use crate::rules::Rule;

/// What a comment with a suppression begins with.
const MARK: &str = "osderive:";

/// A Containerfile.
#[derive(Clone, Debug, Default)]
pub struct Containerfile {
    /// The file as the user named it.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Its instructions in their order.
    pub instructions: Vec<Instruction>,
    /// What comments above or within instructions say is wanted.
    pub suppressions: Vec<Suppression>,
}

/// An instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    /// What it says, on one line, with single blanks; without its here-documents.
    pub text: String,
    /// The same with all of its blanks, as an engine reads it: continued lines follow one another with nothing between
    /// (moby/buildkit `frontend/dockerfile/parser/parser.go`, as openshift/imagebuilder has it).
    pub line: String,
    /// Its lines from and to, counted from 1.
    pub lines: (u32, u32),
    /// Its here-documents.
    pub documents: Vec<Document>,
}

/// A here-document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The word that ends it.
    pub end: String,
    /// Its lines.
    pub content: String,
}

impl Containerfile {
    /// Reads a Containerfile; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// For the first suppression that is wrong.
    pub fn parse(file: &str, content: &[u8]) -> Result<Self, PolicyError> {
        let (containerfile, errors) = Self::read(file, content);
        errors.into_iter().next().map_or(Ok(containerfile), Err)
    }

    /// Reads a Containerfile, and tells of all suppressions that are wrong.
    pub fn read(file: &str, content: &[u8]) -> (Self, Vec<PolicyError>) {
        let text = String::from_utf8_lossy(content).into_owned();
        let mut parser = Parser {
            file,
            text: &text,
            escape: '\\',
            allowed: Vec::new(),
            current: None,
            documents: Vec::new(),
            instructions: Vec::new(),
            suppressions: Vec::new(),
            errors: Vec::new(),
        };
        let mut start = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            parser.line(number, start, line.trim_end_matches(['\n', '\r']));
            start += line.len();
        }
        parser.end();
        let (instructions, suppressions) = (parser.instructions, parser.suppressions);
        let errors = parser.errors;
        let containerfile = Self {
            file: file.to_owned(),
            text,
            instructions,
            suppressions,
        };
        (containerfile, errors)
    }

    /// Adds the lines to what an image's history says of a layer: those of the last instruction that says
    /// the same.
    pub fn locate(&self, origin: &mut Origin) {
        let wanted = plain(&origin.instruction);
        if origin.lines.is_some() || wanted.is_empty() {
            return;
        }
        let instructions = self.instructions.iter().rev();
        let mut same = instructions.filter(|instruction| instruction.says(&wanted));
        origin.lines = same.next().map(|instruction| instruction.lines);
        if origin.lines.is_none() {
            origin.lines = self.of_script(&wanted);
        }
    }

    /// The lines of a RUN whose here-document begins with `#!`: BuildKit runs it from a file, and the
    /// history shows nothing but the file's name. Several of the same name are not told apart.
    fn of_script(&self, wanted: &str) -> Option<(u32, u32)> {
        let end = wanted.strip_prefix("/dev/pipes/")?;
        let mut same = self.instructions.iter().filter(|instruction| {
            matches!(&instruction.documents[..], [script]
                if script.end == end && script.content.starts_with("#!"))
        });
        let lines = same.next()?.lines;
        same.next().is_none().then_some(lines)
    }
}

impl Instruction {
    /// The first word, in capitals.
    pub fn keyword(&self) -> String {
        let word = self.text.split(' ').next().unwrap_or_default();
        word.to_ascii_uppercase()
    }

    /// The words behind the first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split(' ').skip(1)
    }

    /// Whether it is what [`plain`] says of an image's history. BuildKit has the content alone for a RUN
    /// that is nothing but a here-document, and the command with all documents below it for another one
    /// (`dispatchRun` in `frontend/dockerfile/dockerfile2llb/convert.go`).
    fn says(&self, wanted: &str) -> bool {
        let own = plain(&self.text);
        match &self.documents[..] {
            [] => own == wanted,
            [only] if own.starts_with("<<") && !own.contains(' ') => {
                let mut words = only.content.split_whitespace();
                wanted.split(' ').all(|word| words.next() == Some(word)) && words.next().is_none()
            }
            documents => {
                let below = documents.iter();
                let below = below.map(|document| format!(" {} {}", document.content, document.end));
                own == wanted || plain(&(own + &below.collect::<String>())) == wanted
            }
        }
    }
}

struct Parser<'a> {
    file: &'a str,
    text: &'a str,
    escape: char,
    /// Suppressions that wait for their instruction.
    allowed: Vec<Suppression>,
    /// The instruction that goes on in the next line.
    current: Option<Instruction>,
    /// The ends of here-documents that the current instruction has still, and whether tabs before them
    /// count.
    documents: Vec<(String, bool)>,
    instructions: Vec<Instruction>,
    suppressions: Vec<Suppression>,
    errors: Vec<PolicyError>,
}

impl Parser<'_> {
    fn line(&mut self, number: u32, start: usize, line: &str) {
        if let Some((end, strips_tabs)) = self.documents.first() {
            let line = if *strips_tabs {
                line.trim_start_matches('\t')
            } else {
                line
            };
            let is_end = line == end;
            if let Some(instruction) = &mut self.current {
                instruction.lines.1 = number;
                let place = instruction
                    .documents
                    .len()
                    .saturating_sub(self.documents.len());
                if let Some(document) = instruction.documents.get_mut(place).filter(|_| !is_end) {
                    document.content.push_str(line);
                    document.content.push('\n');
                }
            }
            if is_end {
                self.documents.remove(0);
            }
            if self.documents.is_empty() {
                self.finish();
            }
            return;
        }
        let trimmed = line.trim();
        if let Some(comment) = trimmed.strip_prefix('#') {
            self.comment(number, start, line, comment.trim());
            return;
        }
        if trimmed.is_empty() {
            return;
        }
        let continued = trimmed.strip_suffix(self.escape);
        let instruction = self.current.get_or_insert_with(|| Instruction {
            lines: (number, number),
            ..Instruction::default()
        });
        instruction.lines.1 = number;
        let whole = line.trim_end().strip_suffix(self.escape);
        let whole = whole.filter(|_| continued.is_some()).unwrap_or(line);
        instruction.line.push_str(if instruction.line.is_empty() {
            whole.trim_start()
        } else {
            whole
        });
        for word in continued.unwrap_or(trimmed).split_whitespace() {
            if !instruction.text.is_empty() {
                instruction.text.push(' ');
            }
            instruction.text.push_str(word);
        }
        if continued.is_none() {
            self.documents = documents(&instruction.text);
            let ends = self.documents.iter().map(|(end, _)| Document {
                end: end.clone(),
                content: String::new(),
            });
            instruction.documents = ends.collect();
            if self.documents.is_empty() {
                self.finish();
            }
        }
    }

    fn comment(&mut self, number: u32, start: usize, line: &str, comment: &str) {
        if self.instructions.is_empty()
            && let Some((name, value)) = comment.split_once('=')
            && name.trim().eq_ignore_ascii_case("escape")
        {
            self.escape = value.trim().chars().next().unwrap_or('\\');
        }
        if let Some(words) = comment.strip_prefix(MARK) {
            match allow(words.trim()) {
                Ok((rule, path, reason)) => self.allowed.push(Suppression {
                    rule,
                    path,
                    reason,
                    place: Place {
                        file: self.file.to_owned(),
                        line: number,
                    },
                    lines: None,
                }),
                Err((message, help)) => self.errors.push(PolicyError {
                    file: self.file.to_owned(),
                    message,
                    help: help.to_owned(),
                    source: self.text.to_owned(),
                    span: start..start + line.len(),
                }),
            }
        }
    }

    fn finish(&mut self) {
        if let Some(instruction) = self.current.take() {
            for mut allowed in self.allowed.drain(..) {
                allowed.lines = Some(instruction.lines);
                self.suppressions.push(allowed);
            }
            self.instructions.push(instruction);
        }
    }

    /// What stands below the last instruction is about the whole file.
    fn end(&mut self) {
        self.finish();
        self.suppressions.append(&mut self.allowed);
    }
}

type Allowed = (&'static Rule, Option<Pattern>, String);

/// Reads `allow=RULE[ path] -- reason`.
fn allow(words: &str) -> Result<Allowed, (String, &'static str)> {
    const FORM: &str = "write `# osderive: allow=RULE -- reason`, or `allow=RULE /path -- reason`";
    let wrong = |message: &str| (message.to_owned(), FORM);
    let words = words
        .strip_prefix("allow=")
        .ok_or_else(|| wrong("this is no suppression"))?;
    let (what, reason) = words.split_once(" -- ").unwrap_or((words, ""));
    if reason.trim().is_empty() {
        return Err(wrong("a suppression needs a reason"));
    }
    let (name, path) = what.trim().split_once(' ').unwrap_or((what.trim(), ""));
    let unknown = || {
        (
            format!("there is no rule {name:?}"),
            "`lint --list` prints them all",
        )
    };
    let rule = Rule::named(name).ok_or_else(unknown)?;
    let path = match path.trim() {
        "" => None,
        path => Some(Pattern::parse(path).ok_or_else(|| wrong("the path is not absolute"))?),
    };
    Ok((rule, path, reason.trim().to_owned()))
}

/// The here-documents that an instruction begins: the words that end them.
fn documents(instruction: &str) -> Vec<(String, bool)> {
    let keyword = instruction.split(' ').next().unwrap_or_default();
    if !["RUN", "COPY", "ADD"]
        .iter()
        .any(|known| keyword.eq_ignore_ascii_case(known))
    {
        return Vec::new();
    }
    let begin = |word: &str| {
        let rest = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let (rest, strips_tabs) = rest
            .strip_prefix('-')
            .map_or((rest, false), |rest| (rest, true));
        let end = rest.trim_matches(['"', '\'']);
        let is_word = !end.is_empty() && end.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_word.then(|| (end.to_owned(), strips_tabs))
    };
    instruction.split(' ').filter_map(begin).collect()
}

/// An instruction without what its builder adds: BuildKit writes `RUN /bin/sh -c COMMAND # buildkit`,
/// with `|N NAME=VALUE …` before the shell for build arguments; buildah and the classic builder leave
/// out `RUN`; for others the classic one writes `/bin/sh -c #(nop) CMD …`.
fn plain(instruction: &str) -> String {
    let mut words: Vec<&str> = instruction.split_whitespace().collect();
    if let [.., "#", "buildkit"] = words[..] {
        words.truncate(words.len() - 2);
    }
    if words.first() == Some(&"RUN") {
        words.remove(0);
    }
    if let Some(count) = words.first().and_then(|word| word.strip_prefix('|')) {
        let count = count.parse::<usize>().unwrap_or(0);
        words.drain(..words.len().min(count.saturating_add(1)));
    }
    if words.starts_with(&["/bin/sh", "-c"]) {
        words.drain(..2);
    }
    if words.first() == Some(&"#(nop)") {
        words.remove(0);
    }
    words.retain(|word| !(word.starts_with("--") && word.contains('=')));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# syntax=osderive
FROM base
# osderive: allow=import-special-file /usr/lib/a -- made by hand
RUN mkfifo /usr/lib/a && \\
    # osderive: allow=kernel -- none wanted

    true
COPY --chmod=755 <<\"EOF\" /usr/bin/x
RUN not an instruction
# osderive: not a comment
EOF
run /bin/true
";

    fn parse(text: &str) -> Containerfile {
        Containerfile::parse("Containerfile", text.as_bytes()).expect("a Containerfile")
    }

    #[test]
    fn instructions_have_their_lines() {
        let found = parse(TEXT).instructions.into_iter();
        let found: Vec<_> = found.map(|found| (found.text, found.lines)).collect();
        let expected = [
            ("FROM base", (2, 2)),
            ("RUN mkfifo /usr/lib/a && true", (4, 7)),
            ("COPY --chmod=755 <<\"EOF\" /usr/bin/x", (8, 11)),
            ("run /bin/true", (12, 12)),
        ];
        assert_eq!(
            found,
            expected.map(|(text, lines)| (text.to_owned(), lines))
        );
    }

    #[test]
    fn an_instruction_is_known_as_an_engine_reads_it() {
        let text =
            " RUN  printf '%s\\n'  a \\ \n\n # not of it\n#nor this\n  'b  c'\\\n; true  \nRUN x\n";
        let found = parse(text).instructions;
        assert_eq!(found[0].line, "RUN  printf '%s\\n'  a   'b  c'; true  ");
        assert_eq!(found[1].line, "RUN x");
    }

    #[test]
    fn suppressions_are_about_the_instruction_below_them() {
        let found = parse(TEXT).suppressions;
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0].path.as_ref().expect("a path").as_str(),
            "/usr/lib/a"
        );
        assert_eq!(
            (found[0].reason.as_str(), found[0].place.line),
            ("made by hand", 3)
        );
        assert_eq!(
            (found[1].rule.name, found[1].lines),
            ("kernel-count", Some((4, 7)))
        );
    }

    /// Where the file has what a layer's history calls its instruction.
    fn lines_of(file: &Containerfile, instruction: &str) -> Option<(u32, u32)> {
        let mut origin = Origin {
            instruction: instruction.to_owned(),
            ..Origin::default()
        };
        file.locate(&mut origin);
        origin.lines
    }

    #[test]
    fn a_layer_is_found_by_what_the_history_says() {
        let file = parse(TEXT);
        let lines = |instruction: &str| lines_of(&file, instruction);
        let expected = Some((4, 7));
        assert_eq!(
            lines("RUN /bin/sh -c mkfifo /usr/lib/a &&     true # buildkit"),
            expected
        );
        assert_eq!(
            lines("RUN |1 A=b /bin/sh -c mkfifo /usr/lib/a && true # buildkit"),
            expected
        );
        assert_eq!(lines("/bin/sh -c mkfifo /usr/lib/a &&     true"), expected);
        assert_eq!(lines("RUN something else"), None);
        // More build arguments than words, up to what a number holds (found by fuzzing).
        assert_eq!(lines(&format!("RUN |{} a", usize::MAX)), None);
        assert_eq!(lines(""), None);
    }

    #[test]
    fn a_here_document_is_found_by_what_the_history_says() {
        let text = "FROM base\nRUN <<EOF\nset -e\n  touch /a\nEOF\n\
            RUN --network=none cat <<-A >/b && cat <<B\n\tone\n\tA\ntwo\nB\n\
            RUN <<PY\n#!/usr/bin/python3\nprint(1)\nPY\nRUN touch /c\n";
        let file = parse(text);
        let lines = |instruction: &str| lines_of(&file, instruction);
        let simple = "RUN /bin/sh -c set -e\n  touch /a\n # buildkit";
        assert_eq!(lines(simple), Some((2, 5)));
        let several = "RUN /bin/sh -c cat <<-A >/b && cat <<B\n\tone\nA\ntwo\nB # buildkit";
        assert_eq!(lines(several), Some((6, 10)));
        let script = "RUN /bin/sh -c /dev/pipes/PY # buildkit";
        assert_eq!(lines(script), Some((11, 14)));
        assert_eq!(lines("RUN /bin/sh -c touch /c # buildkit"), Some((15, 15)));
        assert_eq!(lines("RUN /bin/sh -c set -e # buildkit"), None);
    }

    #[test]
    fn a_script_is_not_told_from_another_one_of_its_name() {
        let script = "RUN <<PY\n#!/usr/bin/python3\nPY\n";
        let file = parse(&format!("FROM base\n{script}{script}"));
        let mut origin = Origin {
            instruction: "RUN /bin/sh -c /dev/pipes/PY # buildkit".to_owned(),
            ..Origin::default()
        };
        file.locate(&mut origin);
        assert_eq!(origin.lines, None);
    }

    #[test]
    fn all_suppressions_that_are_wrong_are_told() {
        let text =
            "# osderive: allow=kernel\nFROM a\n# osderive: allow=var-log -- x\n# osderive: no\n";
        let (file, errors) = Containerfile::read("Containerfile", text.as_bytes());
        assert_eq!((file.suppressions.len(), errors.len()), (1, 2));
        assert_eq!((errors[0].line(), errors[1].line()), (1, 4));
    }

    #[test]
    fn a_wrong_suppression_is_shown_in_its_place() {
        let shown: Vec<String> = [
            "# osderive: allow=kernel\nFROM a\n",
            "FROM a\n  # osderive: allow=kernels -- because\n",
            "# osderive: allow=kernel usr/lib -- because\n",
            "# osderive: ignore kernel\n",
        ]
        .iter()
        .map(|text| {
            let parsed = Containerfile::parse("Containerfile", text.as_bytes());
            parsed.expect_err("an error").render(false)
        })
        .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(content in proptest::collection::vec(0_u8..128, 0..200)) {
            let _ = Containerfile::parse("Containerfile", &content);
        }
    }
}
