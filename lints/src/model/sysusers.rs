//! sysusers.d as systemd reads it (sysusers.d(5), systemd's `src/sysusers/sysusers.c`, versions
//! 252 to 257): which file counts, how a line is cut into words, what each kind of line declares.

use std::collections::BTreeMap;

use super::number;

/// Characters of a user or group name at the most (`UT_NAMESIZE` - 1).
pub const MAX_NAME_BYTES: usize = 31;

/// Bytes of a path, and of a name in it, at most (`PATH_MAX` with its end, `NAME_MAX`).
const MAX_PATH: usize = 4096;
const MAX_FILE_NAME: usize = 255;

/// A line that systemd accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: u32,
    /// What it declares.
    pub item: Item,
}

/// What a line declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// `u` and `u!`: a user.
    User(User),
    /// `g`: a group.
    Group {
        /// The group's name.
        name: Vec<u8>,
        /// Its id.
        id: Id,
    },
    /// `m`: a user is a member of a group. Both are made if nothing else declares them.
    Member {
        /// The user's name.
        user: Vec<u8>,
        /// The group's name.
        group: Vec<u8>,
    },
    /// `r`: the pool that ids are taken from, instead of the built-in one.
    Range {
        /// The lowest id.
        first: u32,
        /// The highest id.
        last: u32,
    },
}

/// A declared user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: Vec<u8>,
    /// The user id.
    pub id: Id,
    /// The primary group.
    pub group: PrimaryGroup,
    /// The comment; none means an empty one.
    pub gecos: Option<Vec<u8>>,
    /// The home directory; none means `/`.
    pub home: Option<Vec<u8>>,
    /// The login shell; none means nologin.
    pub shell: Option<Vec<u8>>,
    /// `u!`: the account is locked as a whole. systemd 257 and newer; older ones ignore the line.
    pub locked: bool,
}

/// Where an id comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// `-`: a free one of the pool, on each machine another.
    Automatic,
    /// This number, if it is free on the machine.
    Number(u32),
    /// The owner of the file at this path.
    OwnerOf(Vec<u8>),
}

/// A declared user's primary group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrimaryGroup {
    /// The group of the user's name, made with the user's id if nothing else declares it.
    OwnName,
    /// An existing group with this id.
    Id(u32),
    /// An existing group with this name.
    Name(Vec<u8>),
}

/// A line that systemd ignores with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line's number, from 1.
    pub number: u32,
    /// What is wrong with it.
    pub message: &'static str,
}

/// All of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The lines that count, in order.
    pub lines: Vec<Line>,
    /// The lines that do not.
    pub problems: Vec<Problem>,
}

/// Reads one file.
pub fn parse(file: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    for (number, line) in lines(file) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match item(line) {
            Ok(item) => parsed.lines.push(Line { number, item }),
            Err(message) => parsed.problems.push(Problem { number, message }),
        }
    }
    parsed
}

/// Which files count: of the same name only the one in the first directory, all in the order of
/// their names. Each directory is given as its `.conf` files; one that masks (a link to
/// /dev/null) is an empty file.
pub fn effective<'a>(
    directories: impl IntoIterator<Item = &'a [(Vec<u8>, Vec<u8>)]>,
) -> Vec<(&'a [u8], &'a [u8])> {
    let mut files = BTreeMap::new();
    for (name, content) in directories.into_iter().flatten() {
        files.entry(name.as_slice()).or_insert(content.as_slice());
    }
    files.into_iter().collect()
}

/// Whether systemd takes a name for a user or group in sysusers.d (`valid_user_group_name`).
pub fn is_valid_name(name: &[u8]) -> bool {
    let [first, rest @ ..] = name else {
        return false;
    };
    (first.is_ascii_alphabetic() || *first == b'_')
        && rest
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
        && name.len() <= MAX_NAME_BYTES
}

/// systemd ends a line at a line feed, a carriage return (or both together) and a NUL.
pub(super) fn lines(file: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = Some(file);
    let next = move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| b"\n\r\0".contains(byte)) else {
            rest = None;
            return Some(text);
        };
        let pair = matches!(text.get(end..end + 2), Some(b"\r\n" | b"\n\r"));
        rest = text.get(end + 1 + usize::from(pair)..);
        text.get(..end)
    };
    (1..).zip(std::iter::from_fn(next))
}

fn item(line: &[u8]) -> Result<Item, &'static str> {
    let mut words = words(line)?.into_iter();
    let action = words.next().unwrap_or_default();
    let mut field = || words.next().filter(|word| !word.is_empty() && word != b"-");
    let (name, id, gecos, home, shell) = (field(), field(), field(), field(), field());
    if words.next().is_some() {
        return Err("there are more than six fields");
    }
    let bare = gecos.is_none() && home.is_none() && shell.is_none();
    match action.as_slice() {
        b"u" | b"u!" => user(
            required_name(name)?,
            id,
            [gecos, home, shell],
            action.len() > 1,
        ),
        b"g" if bare => group(required_name(name)?, id),
        b"m" if bare => Ok(Item::Member {
            user: required_name(name)?,
            group: required_name(id)?,
        }),
        b"r" if bare && name.is_none() => range(id),
        b"g" | b"m" | b"r" => Err("this kind of line takes fewer fields"),
        _ => Err("the kind of line is unknown"),
    }
}

fn required_name(word: Option<Vec<u8>>) -> Result<Vec<u8>, &'static str> {
    let name = expanded(word.ok_or("a name is missing")?)?;
    if is_valid_name(&name) {
        Ok(name)
    } else {
        Err("a name is not valid")
    }
}

fn user(
    name: Vec<u8>,
    id: Option<Vec<u8>>,
    texts: [Option<Vec<u8>>; 3],
    locked: bool,
) -> Result<Item, &'static str> {
    let (id, group) = match id.map(expanded).transpose()? {
        None => (Id::Automatic, PrimaryGroup::OwnName),
        Some(path) if path.starts_with(b"/") => (Id::OwnerOf(path), PrimaryGroup::OwnName),
        Some(ids) => user_ids(&ids)?,
    };
    let [gecos, home, shell] = texts.map(|text| text.map(expanded).transpose());
    let (gecos, home, shell) = (gecos?, home?, shell?);
    if !gecos.as_deref().is_none_or(is_text) {
        return Err("the comment is not valid");
    }
    if !home.as_deref().is_none_or(is_path) {
        return Err("the home directory is not an absolute path in its plain form");
    }
    if !shell
        .as_deref()
        .is_none_or(|shell| is_path(shell) && !shell.ends_with(b"/"))
    {
        return Err("the shell is not an absolute path in its plain form");
    }
    Ok(Item::User(User {
        name,
        id,
        group,
        gecos,
        home,
        shell,
        locked,
    }))
}

/// What a field of passwd may hold (`valid_gecos`): text without control characters and colons.
fn is_text(field: &[u8]) -> bool {
    let is_allowed = |byte: &u8| !byte.is_ascii_control() && *byte != b':';
    str::from_utf8(field).is_ok() && field.iter().all(is_allowed)
}

/// What a home directory may be (`valid_home`): an absolute path in its plain form.
fn is_path(field: &[u8]) -> bool {
    let Some(below) = field.strip_prefix(b"/") else {
        return false;
    };
    let below = below.strip_suffix(b"/").unwrap_or(below);
    let is_plain = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && name.len() <= MAX_FILE_NAME;
    let mut names = below.split(|&byte| byte == b'/');
    is_text(field) && field.len() < MAX_PATH && (below.is_empty() || names.all(is_plain))
}

fn user_ids(ids: &[u8]) -> Result<(Id, PrimaryGroup), &'static str> {
    let (uid, group) = match ids.iter().position(|&byte| byte == b':') {
        None => (ids, PrimaryGroup::OwnName),
        Some(colon) => (&ids[..colon], primary_group(&ids[colon + 1..])?),
    };
    match uid {
        b"-" => Ok((Id::Automatic, group)),
        uid => Ok((Id::Number(valid_id(uid)?), group)),
    }
}

fn primary_group(text: &[u8]) -> Result<PrimaryGroup, &'static str> {
    match valid_id(text) {
        Ok(gid) => Ok(PrimaryGroup::Id(gid)),
        Err(_) if is_valid_name(text) => Ok(PrimaryGroup::Name(text.to_owned())),
        Err(message) => Err(message),
    }
}

fn group(name: Vec<u8>, id: Option<Vec<u8>>) -> Result<Item, &'static str> {
    let id = match id.map(expanded).transpose()? {
        None => Id::Automatic,
        Some(path) if path.starts_with(b"/") => Id::OwnerOf(path),
        Some(gid) => Id::Number(valid_id(&gid)?),
    };
    Ok(Item::Group { name, id })
}

fn range(id: Option<Vec<u8>>) -> Result<Item, &'static str> {
    let text = expanded(id.ok_or("a range is missing")?)?;
    let mut ends = text.splitn(2, |&byte| byte == b'-');
    let first = valid_id(ends.next().unwrap_or_default())?;
    let last = ends.next().map_or(Ok(first), valid_id)?;
    if first > last {
        return Err("a range ends before it begins");
    }
    Ok(Item::Range { first, last })
}

/// The kernel's two "no id" numbers, of 16 and of 32 bits, are no ids.
fn valid_id(text: &[u8]) -> Result<u32, &'static str> {
    let is_decimal = text == b"0" || !text.starts_with(b"0");
    number(text)
        .filter(|id| is_decimal && ![0xffff, u32::MAX].contains(id))
        .ok_or("an id is not valid")
}

/// Letters that stand for what only a booted machine knows (sysusers.d(5), "Specifiers").
const KNOWN_TO_MACHINES: &[u8] = b"aAbBHlmMovwW";

/// Puts in what `%` stands for, as far as the image decides it (`specifier_printf`). The rest, such as
/// the host name, is left as it is: only a booted machine knows. So is a `%` before no letter.
fn expanded(word: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if !word.contains(&b'%') {
        return Ok(word);
    }
    let mut text = Vec::with_capacity(word.len());
    let mut bytes = word.iter();
    while let Some(&byte) = bytes.next() {
        match (byte, byte == b'%') {
            (byte, false) => text.push(byte),
            (_, true) => match bytes.next() {
                None | Some(b'%') => text.push(b'%'),
                Some(b'T') => text.extend_from_slice(b"/tmp"),
                Some(b'V') => text.extend_from_slice(b"/var/tmp"),
                Some(&other)
                    if other.is_ascii_alphanumeric() && !KNOWN_TO_MACHINES.contains(&other) =>
                {
                    return Err("a specifier is unknown");
                }
                Some(&other) => text.extend_from_slice(&[b'%', other]),
            },
        }
    }
    Ok(text)
}

/// Cuts a line into words (`extract_first_word` with `EXTRACT_UNQUOTE`): quotes of both kinds, and
/// a backslash takes the next character as it is, inside of quotes too.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = line.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => {
                let escaped = bytes.next().ok_or("a backslash stands at the end")?;
                word.get_or_insert_default().push(*escaped);
            }
            byte if quote == Some(byte) => quote = None,
            b'"' | b'\'' if quote.is_none() => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            b' ' | b'\t' if quote.is_none() => words.extend(word.take()),
            byte => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    fn only(line: &str) -> Item {
        let parsed = parse(line.as_bytes());
        assert_eq!(parsed.problems, []);
        parsed.lines.into_iter().next().expect("a line").item
    }

    fn problem(line: &str) -> &'static str {
        let parsed = parse(line.as_bytes());
        assert_eq!(parsed.lines, [], "{line}");
        parsed.problems[0].message
    }

    #[test]
    fn a_user_with_everything_is_read() {
        let Item::User(user) = only(r#"u! web 33:www "A \"q\" 100%%" /srv/www '/bin/a b'"#) else {
            panic!("a user")
        };
        assert_eq!(user.id, Id::Number(33));
        assert_eq!(user.group, PrimaryGroup::Name(b"www".to_vec()));
        assert_eq!(user.gecos.as_deref(), Some(&b"A \"q\" 100%"[..]));
        assert_eq!(user.shell.as_deref(), Some(&b"/bin/a b"[..]));
        assert!(user.locked);
    }

    #[test]
    fn every_way_to_give_ids_is_read() {
        let user = |line: &str| match only(line) {
            Item::User(user) => (user.id, user.group),
            _ => panic!("a user"),
        };
        let own = PrimaryGroup::OwnName;
        assert_eq!(user("u a"), (Id::Automatic, own.clone()));
        assert_eq!(user("u a -"), (Id::Automatic, own.clone()));
        assert_eq!(user("u a 5"), (Id::Number(5), own.clone()));
        assert_eq!(user("u a 5:6"), (Id::Number(5), PrimaryGroup::Id(6)));
        assert_eq!(
            user("u a -:b"),
            (Id::Automatic, PrimaryGroup::Name(b"b".to_vec()))
        );
        assert_eq!(user("u a /x/%T"), (Id::OwnerOf(b"/x//tmp".to_vec()), own));
        assert_eq!(
            only("r - 500-900"),
            Item::Range {
                first: 500,
                last: 900
            }
        );
        assert_eq!(
            only("r - 500"),
            Item::Range {
                first: 500,
                last: 500
            }
        );
    }

    #[test]
    fn what_systemd_ignores_is_a_problem() {
        for line in [
            "x a",
            "u",
            "u -",
            "g a - text",
            "m a",
            "r a 5",
            "r - 9-5",
            "u a.b",
            "u 1a",
            "u a 65535",
            "u a \"b",
            "u a b\\",
            "uu a",
            "u a 1 b c d e",
            "g a 4294967295",
            "m a -",
            "u a 08",
            "u a - %Q",
            "u a - a:b",
            "u a - x home",
            "u a - x /a/../b",
            "u a - x /a//b",
            "u a - x /a x",
            "u a - x /a /bin/sh/",
        ] {
            problem(line);
        }
    }

    #[test]
    fn odd_texts_that_systemd_takes_are_read() {
        for line in ["u a 0 100% / /x/", "u a - %m%- /home/%H"] {
            let home_only = line.replace(" /x/", "");
            only(&home_only);
        }
    }

    #[test]
    fn lines_keep_their_numbers_whatever_ends_them() {
        let parsed = parse(b"# c\r\n\r\ng a 1\n  \ng b 2\0g c 3");
        let numbers: Vec<u32> = parsed.lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [3, 5, 6]);
    }

    #[test]
    fn a_file_of_the_same_name_in_an_earlier_directory_overrides() {
        let file =
            |name: &str, content: &str| (name.as_bytes().to_vec(), content.as_bytes().to_vec());
        let etc = [file("b.conf", ""), file("z.conf", "g z 1")];
        let lib = [file("a.conf", "g a 2"), file("b.conf", "g b 3")];
        let counts = effective([&etc[..], &lib[..]]);
        assert_eq!(
            counts,
            [
                (&b"a.conf"[..], &b"g a 2"[..]),
                (b"b.conf", b""),
                (b"z.conf", b"g z 1")
            ]
        );
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            parse(&file);
        }
    }
}
