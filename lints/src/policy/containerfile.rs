//! The instructions of a Containerfile with their lines, as far as findings and suppressions need them:
//! comments, continued lines and here-documents, with the parser directive `escape` (Dockerfile
//! reference, "Format"). What an instruction means is not asked.

use super::{Pattern, PolicyError, SourceLine, Suppression};
use crate::Origin;
use crate::rules::Rule;

/// What a comment with a suppression begins with.
const MARK: &str = "osderive:";

const BYTE_ORDER_MARK: char = '\u{feff}';

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
        // A byte order mark is no part of the first line, for engines too (BuildKit, `discardBOM`).
        let mut start = if text.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len_utf8()
        } else {
            0
        };
        for (number, line) in (1..).zip(text[start..].split_inclusive('\n')) {
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
            self.documents = documents(&instruction.line);
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
                    place: SourceLine {
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

/// The here-documents that an instruction begins: the words that end them, and whether tabs before them do not count.
/// As BuildKit and buildah have it (`heredocsFromLine` and `ParseHeredoc` of `frontend/dockerfile/parser/parser.go`): of an
/// instruction's words, those that are `<<WORD` and nothing else.
fn documents(line: &str) -> Vec<(String, bool)> {
    let (mut keyword, mut rest) = first_word(line);
    if keyword.eq_ignore_ascii_case("ONBUILD") {
        (keyword, rest) = first_word(rest);
    }
    let may_begin = ["RUN", "COPY", "ADD"].iter();
    let is_list = || serde_json::from_str::<Vec<String>>(without_flags(rest)).is_ok();
    if !may_begin
        .into_iter()
        .any(|known| keyword.eq_ignore_ascii_case(known))
        || is_list()
    {
        return Vec::new();
    }
    let begin = |word: &str| {
        let word = word.trim_start_matches(|sign: char| sign.is_ascii_digit());
        let word = word.strip_prefix("<<")?;
        let (word, strips_tabs) = match word.strip_prefix('-') {
            Some(word) => (word, true),
            None => (word, false),
        };
        let end = unquoted(word).filter(|end| !end.is_empty() && !word.contains('<'));
        Some((end?, strips_tabs))
    };
    words(rest).filter_map(begin).collect()
}

/// The first word, and what comes after it.
fn first_word(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    line.split_once(char::is_whitespace).unwrap_or((line, ""))
}

fn without_flags(mut rest: &str) -> &str {
    loop {
        rest = rest.trim();
        match words(rest).next().filter(|word| word.starts_with("--")) {
            Some(flag) => rest = &rest[flag.len()..],
            None => return rest,
        }
    }
}

/// What quotes and a backslash do to the signs of a line (BuildKit's `shell.Lex`): nothing in single quotes, and in double
/// quotes a backslash counts before few signs only.
#[derive(Default)]
struct Quotes {
    open: Option<char>,
    is_escaped: bool,
}

/// What a sign is among quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It stands for itself.
    Own,
    /// A blank between words.
    Blank,
    /// A quote or a backslash, which goes.
    Quote,
}

impl Quotes {
    fn take(&mut self, sign: char, next: Option<char>) -> Sign {
        if std::mem::take(&mut self.is_escaped) {
            return Sign::Own;
        }
        match (self.open, sign) {
            (None, '\'' | '"') => self.open = Some(sign),
            (Some(open), _) if sign == open => self.open = None,
            (None, '\\') => self.is_escaped = true,
            (Some('"'), '\\') if matches!(next, Some('"' | '$' | '\\')) => self.is_escaped = true,
            (None, _) if sign.is_whitespace() => return Sign::Blank,
            _ => return Sign::Own,
        }
        Sign::Quote
    }
}

/// The words of a line, as they are written.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut quotes = Quotes::default();
    let mut signs = line.chars().peekable();
    line.split(move |sign| {
        signs.next();
        quotes.take(sign, signs.peek().copied()) == Sign::Blank
    })
    .filter(|word| !word.is_empty())
}

/// A word without its quotes; none where one does not end.
fn unquoted(word: &str) -> Option<String> {
    let mut quotes = Quotes::default();
    let mut signs = word.chars().peekable();
    let mut text = String::new();
    while let Some(sign) = signs.next() {
        if quotes.take(sign, signs.peek().copied()) == Sign::Own {
            text.push(sign);
        }
    }
    (quotes.open.is_none() && !quotes.is_escaped).then_some(text)
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
mod tests;
