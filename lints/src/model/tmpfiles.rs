//! tmpfiles.d(5) as systemd reads it (`src/tmpfiles/tmpfiles.c`, `src/basic/extract-word.c`), and
//! a writer whose lines systemd 252 and newer read back alike. Pure functions over bytes: a line
//! that cannot be read is a [`Problem`], never a panic.

use std::collections::{BTreeMap, HashMap};

use super::sysusers::lines;
use super::time_span;

mod words;
mod write;

use words::Words;
pub(super) use words::unescape;

/// Where a `C` line without argument copies from, relative to the root.
pub const FACTORY: &str = "usr/share/factory";

/// The directories that systemd reads, relative to the root; a file of an earlier one replaces
/// one of the same name in a later one (tmpfiles.d(5)).
pub const DIRECTORIES: [&str; 4] = [
    "etc/tmpfiles.d",
    "run/tmpfiles.d",
    "usr/local/lib/tmpfiles.d",
    "usr/lib/tmpfiles.d",
];

/// Why a line that systemd does read is not read here: it depends on the machine.
pub const SPECIFIER_OF_MACHINE: &str = "has a specifier that only a running machine knows";

/// Types in whose arguments escapes and specifiers are resolved.
const UNESCAPED_ARGUMENT: &[u8] = b"fFwLC";

/// Bytes of a path at most (`PATH_MAX` without its end).
const MAX_PATH: usize = 4095;

/// The letters of such specifiers (tmpfiles.d(5), "Specifiers").
const KNOWN_TO_MACHINES: &[u8] = b"aAbBHlmMovwW";

/// A file of one of [`DIRECTORIES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// Index in [`DIRECTORIES`].
    pub directory: usize,
    /// Its name; one that does not end in `.conf` is not read.
    pub name: Vec<u8>,
    /// What it says; nothing of a link to /dev/null, which masks its name.
    pub content: Vec<u8>,
}

/// A mode as a line gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The twelve permission bits.
    pub bits: u32,
    /// `~`: masked by what an existing entry has.
    pub masked: bool,
    /// `:`: for what is created only.
    pub only_created: bool,
}

impl Mode {
    /// The bits for an entry that has the bits `now` (`process_mask_perms` of tmpfiles.c).
    pub fn applied_to(self, now: u32, is_directory: bool) -> u32 {
        if !self.masked {
            return self.bits;
        }
        let classes = [0o111, 0o222, 0o444].into_iter();
        let lacking = classes.filter(|class| now & class == 0).sum::<u32>();
        let special = if is_directory { 0 } else { 0o7000 };
        self.bits & !lacking & !special
    }
}

/// A user or a group as a line gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// By name, which the image's passwd or group has to know.
    Name(Vec<u8>),
    /// By number.
    Id(u32),
}

/// One line that could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The type's letter: `d`, `L`, `C` …
    pub kind: u8,
    /// The signs after the letter: `+`, `!`, `-`, `=`, `~`, `^`, `$`, `?`.
    pub modifiers: Vec<u8>,
    /// An absolute path without `.`, empty components or a slash at its end.
    pub path: Vec<u8>,
    /// None for `-`.
    pub mode: Option<Mode>,
    /// None for `-`.
    pub user: Option<Owner>,
    /// None for `-`.
    pub group: Option<Owner>,
    /// As it stands; none for `-`.
    pub age: Option<Vec<u8>>,
    /// With its escapes and specifiers resolved where the type has that; none for `-`.
    pub argument: Option<Vec<u8>>,
    /// The file's name.
    pub file: Vec<u8>,
    /// Counted from 1.
    pub number: usize,
}

/// A line that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: Vec<u8>,
    /// Counted from 1.
    pub number: usize,
    /// Why, as a fragment of a sentence.
    pub reason: &'static str,
}

/// All that the snippets of an image say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// In the order in which systemd reads them.
    pub lines: Vec<Line>,
    /// What could not be read, in the same order.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads the snippets of an image, given in any order.
    pub fn read(snippets: &[Snippet]) -> Self {
        let mut chosen: BTreeMap<&[u8], &Snippet> = BTreeMap::new();
        let is_conf = |snippet: &&Snippet| snippet.name.ends_with(b".conf");
        for snippet in snippets.iter().filter(is_conf) {
            let known = chosen.entry(&snippet.name).or_insert(snippet);
            if snippet.directory < known.directory {
                *known = snippet;
            }
        }
        let mut config = Self::default();
        for snippet in chosen.into_values() {
            config.read_file(&snippet.name, &snippet.content);
        }
        config
    }

    fn read_file(&mut self, file: &[u8], content: &[u8]) {
        for (index, text) in lines(content).enumerate() {
            let text = text.1.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let (file, number) = (file.to_vec(), index + 1);
            match parse_line(text) {
                Ok(line) => self.lines.push(Line {
                    file,
                    number,
                    ..line
                }),
                Err(reason) => self.problems.push(Problem {
                    file,
                    number,
                    reason,
                }),
            }
        }
    }

    /// The lines that make something, one for each path and sorted by it, so that a directory
    /// stands before what is in it: of two for one path the first that was read counts. Lines that
    /// are not `usable`, because they name an unknown account, do not count at all.
    pub fn makers(&self, usable: impl Fn(&Line) -> bool) -> Vec<&Line> {
        let mut first: HashMap<&[u8], &Line> = HashMap::new();
        let counts = |line: &&Line| line.makes_something() && usable(line);
        for line in self.lines.iter().filter(counts) {
            first.entry(&line.path).or_insert(line);
        }
        let mut lines: Vec<&Line> = first.into_values().collect();
        lines.sort_by(|left, right| left.path.cmp(&right.path));
        lines
    }
}

impl Line {
    /// What a `C` line copies, relative to the root (tmpfiles.d(5)).
    pub fn copy_source(&self) -> Vec<u8> {
        let source = match &self.argument {
            Some(source) => source.clone(),
            None => [FACTORY.as_bytes(), &self.path[..]].concat(),
        };
        source.strip_prefix(b"/").unwrap_or(&source).to_vec()
    }

    /// Whether the line owns its path, so that another such line for it is ignored, and makes
    /// something there (`takes_ownership` of tmpfiles.c without what only removes or ignores).
    pub fn makes_something(&self) -> bool {
        matches!(
            self.kind,
            b'd' | b'D' | b'v' | b'q' | b'Q' | b'L' | b'f' | b'F' | b'C' | b'p' | b'c' | b'b'
        )
    }

    /// Whether the line makes a directory.
    pub fn makes_directory(&self) -> bool {
        matches!(self.kind, b'd' | b'D' | b'v' | b'q' | b'Q')
    }
}

fn parse_line(text: &[u8]) -> Result<Line, &'static str> {
    let mut words = Words { rest: text };
    let kind = words.next()?.ok_or("has no type")?;
    let (&kind, modifiers) = kind.split_first().ok_or("has an empty type")?;
    if !b"fFwdDevqQpLcbCxXrRzZtThHaAm".contains(&kind) {
        return Err("has an unknown type");
    }
    check_modifiers(kind, modifiers)?;
    let path = words.next()?.ok_or("has no path")?;
    let mode = given(words.next()?).map(|mode| parse_mode(&mode));
    let user = given(words.next()?).map(|user| parse_owner(&user));
    let group = given(words.next()?).map(|group| parse_owner(&group));
    let age = given(words.next()?);
    let argument = parse_argument(kind, modifiers, words.rest);
    let (mode, user, group) = (mode.transpose(), user.transpose(), group.transpose());
    if !age.as_deref().is_none_or(is_age) {
        return Err("has no valid age");
    }
    let path = expand(&path)
        .map_err(|reason| match path.get(..2).map(expand) {
            Some(Ok(begin)) if begin.starts_with(b"/") => reason,
            _ => "has no absolute path",
        })
        .and_then(|path| simplify(&path));
    // What only a machine knows is told last: whatever else is wrong, is wrong on each.
    let reasons = [
        mode.as_ref().err(),
        user.as_ref().err(),
        group.as_ref().err(),
        argument.as_ref().err(),
        path.as_ref().err(),
    ];
    let wrong = reasons.into_iter().flatten();
    if let Some(reason) = wrong.min_by_key(|reason| **reason == SPECIFIER_OF_MACHINE) {
        return Err(reason);
    }
    Ok(Line {
        kind,
        modifiers: modifiers.to_vec(),
        path: path?,
        mode: mode?,
        user: user?,
        group: group?,
        age,
        argument: argument?,
        file: Vec::new(),
        number: 0,
    })
}

/// Whether signs may stand after a letter: each of them once, some with some letters only.
fn check_modifiers(kind: u8, signs: &[u8]) -> Result<(), &'static str> {
    let is_first = |at: usize| !signs[..at].contains(&signs[at]);
    if !(0..signs.len()).all(|at| b"+!-=~^$?".contains(&signs[at]) && is_first(at)) {
        return Err("has an unknown modifier");
    }
    let fits = |sign: u8| match sign {
        b'?' => kind == b'L',
        b'$' => b"fFdDvqQpLcbCwe".contains(&kind),
        b'~' => !b"LCcbtTaAhH".contains(&kind),
        _ => true,
    };
    if signs.iter().all(|&sign| fits(sign)) {
        Ok(())
    } else {
        Err("has a modifier that does not go with its type")
    }
}

/// None for what is missing, empty or `-`.
fn given(word: Option<Vec<u8>>) -> Option<Vec<u8>> {
    word.filter(|word| !word.is_empty() && word != b"-")
}

fn parse_argument(
    kind: u8,
    modifiers: &[u8],
    rest: &[u8],
) -> Result<Option<Vec<u8>>, &'static str> {
    let Some(rest) = given(Some(rest.trim_ascii().to_vec())) else {
        return match kind {
            _ if modifiers.contains(&b'^') => Err("has no name of a credential"),
            b'w' | b'c' | b'b' | b't' | b'T' | b'a' | b'A' | b'h' | b'H' => Err("has no argument"),
            _ => Ok(None),
        };
    };
    if !UNESCAPED_ARGUMENT.contains(&kind) {
        return Ok(Some(rest));
    }
    let mut plain = Vec::with_capacity(rest.len());
    let mut rest = &rest[..];
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'\\' {
            let (byte, tail) = unescape(tail).ok_or("has a broken escape in its argument")?;
            plain.extend(byte);
            rest = tail;
        } else {
            plain.push(byte);
            rest = tail;
        }
    }
    let plain = expand(&plain)?;
    if plain.len() > MAX_PATH {
        return Err("has an argument that is too long");
    }
    if modifiers.contains(&b'^') && !is_credential(&plain) {
        return Err("has no valid name of a credential");
    }
    if kind == b'C' && !plain.starts_with(b"/") {
        return Err("has a source that is not absolute");
    }
    Ok(Some(plain))
}

/// Whether a name may be that of a credential (`credential_name_valid`).
fn is_credential(name: &[u8]) -> bool {
    let is_allowed = |byte: &u8| (b' '..0x7f).contains(byte) && !b":/".contains(byte);
    !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && name.iter().all(is_allowed)
}

fn parse_mode(text: &[u8]) -> Result<Mode, &'static str> {
    let (mut masked, mut only_created, mut digits) = (false, false, text);
    while let Some((&sign @ (b'~' | b':'), rest)) = digits.split_first() {
        masked |= sign == b'~';
        only_created |= sign == b':';
        digits = rest;
    }
    let octal = |value: u32, digit: &u8| match digit {
        b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')).filter(|value| *value <= 0o7777),
        _ => None,
    };
    let bits = digits.iter().try_fold(0, octal);
    let bits = bits
        .filter(|_| !digits.is_empty())
        .ok_or("has no valid mode")?;
    Ok(Mode {
        bits,
        masked,
        only_created,
    })
}

/// Whether a text is an age: `AGE`, or by which timestamps, `abcmABCM:AGE`, after `~` for what is below
/// the first level (tmpfiles.d(5), "Age").
fn is_age(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"~").unwrap_or(text);
    let colon = text.iter().position(|&byte| byte == b':');
    let (by, span) = colon.map_or((&b"a"[..], text), |at| (&text[..at], &text[at + 1..]));
    !by.is_empty()
        && by.iter().all(|letter| b"abcmABCM".contains(letter))
        && time_span::microseconds(span).is_some()
}

fn parse_owner(text: &[u8]) -> Result<Owner, &'static str> {
    let text = expand(text.strip_prefix(b":").unwrap_or(text))?;
    if text.is_empty() {
        return Err("has an empty owner");
    }
    // No account has such a name, and a line that says it would be read otherwise.
    if text == b"-" || text.contains(&b':') {
        return Err("has an invalid owner");
    }
    let number = std::str::from_utf8(&text).ok().and_then(|text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    });
    // Both (uid_t) -1 and its 16-bit kin mean "none".
    Ok(match number {
        Some(u32::MAX | 0xffff) => return Err("has an invalid owner"),
        Some(id) => Owner::Id(id),
        None => Owner::Name(text),
    })
}

/// Resolves the specifiers that are the same on every machine (tmpfiles.d(5), "Specifiers").
fn expand(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            expanded.push(byte);
            continue;
        }
        // A `%` at the end or before no letter is one (`specifier_printf`).
        let letter = rest.split_first();
        let Some((letter, tail)) = letter.filter(|(letter, _)| is_letter(**letter)) else {
            expanded.push(b'%');
            continue;
        };
        rest = tail;
        expanded.extend_from_slice(match letter {
            b'%' => b"%",
            b't' => b"/run",
            b'S' => b"/var/lib",
            b'C' => b"/var/cache",
            b'L' => b"/var/log",
            b'T' => b"/tmp",
            b'V' => b"/var/tmp",
            b'h' => b"/root",
            b'u' | b'g' => b"root",
            b'U' | b'G' => b"0",
            _ if KNOWN_TO_MACHINES.contains(letter) => return Err(SPECIFIER_OF_MACHINE),
            _ => return Err("has an unknown specifier"),
        });
    }
    Ok(expanded)
}

/// Whether what follows a `%` is a specifier (`POSSIBLE_SPECIFIERS`).
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'%'
}

fn simplify(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    if !path.starts_with(b"/") {
        return Err("has no absolute path");
    }
    let mut simple = Vec::with_capacity(path.len());
    for name in path.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            // systemd reads it and then makes nothing: "path not normalized".
            b".." => return Err("has a path with .."),
            name => {
                simple.push(b'/');
                simple.extend_from_slice(name);
            }
        }
    }
    if path.len() > MAX_PATH {
        return Err("has a path that is too long");
    }
    if simple.is_empty() {
        simple.push(b'/');
    }
    Ok(simple)
}

#[cfg(test)]
mod tests;
