//! The id ledger: a text file that users keep beside their Containerfile and that says which account
//! has which id, so that every rebuild gives the same ones. One account a line, as in sysusers.d.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::sysusers::is_valid_name;

/// What a line of the ledger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccountKind {
    /// `g`: a group and its gid.
    Group,
    /// `u`: a user and its uid.
    User,
}

impl AccountKind {
    /// The first word of a line.
    pub fn letter(self) -> char {
        match self {
            Self::Group => 'g',
            Self::User => 'u',
        }
    }

    /// `uid` or `gid`.
    pub fn id_name(self) -> &'static str {
        match self {
            Self::Group => "gid",
            Self::User => "uid",
        }
    }
}

impl fmt::Display for AccountKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Group => "group",
            Self::User => "user",
        })
    }
}

/// One line of a ledger. Its `Display` is the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about.
    pub kind: AccountKind,
    /// The account's name.
    pub name: String,
    /// The uid or gid.
    pub id: u32,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {}",
            self.kind.letter(),
            self.name,
            self.id
        )
    }
}

/// A ledger without a mistake: each account once, each id once. Its `Display` is its lines in an
/// order and spelling that comments and blanks do not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    ids: BTreeMap<(AccountKind, String), u32>,
    owners: BTreeMap<(AccountKind, u32), String>,
}

/// A line that makes no sense.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: {message}")]
pub struct LedgerError {
    /// Its number, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub message: String,
}

impl Ledger {
    /// Reads a ledger. Blank lines do not count, nor does what follows a word's leading `#`.
    ///
    /// # Errors
    /// The first line that is no `u NAME UID` or `g NAME GID`, or that contradicts one above it.
    pub fn parse(file: &[u8]) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        for (line, text) in (1..).zip(String::from_utf8_lossy(file).lines()) {
            let words = text.split_whitespace();
            let words: Vec<&str> = words.take_while(|word| !word.starts_with('#')).collect();
            if !words.is_empty() {
                let add = entry(&words).and_then(|entry| ledger.add(entry));
                add.map_err(|message| LedgerError { line, message })?;
            }
        }
        Ok(ledger)
    }

    fn add(&mut self, Entry { kind, name, id }: Entry) -> Result<(), String> {
        if let Some(old) = self.ids.get(&(kind, name.clone())) {
            return Err(format!("{kind} {name} has the id {old} already"));
        }
        if let Some(owner) = self.owners.get(&(kind, id)) {
            return Err(format!(
                "{} {id} belongs to {kind} {owner} already",
                kind.id_name()
            ));
        }
        self.owners.insert((kind, id), name.clone());
        self.ids.insert((kind, name), id);
        Ok(())
    }

    /// The id of an account.
    pub fn id(&self, kind: AccountKind, name: &str) -> Option<u32> {
        self.ids.get(&(kind, name.to_owned())).copied()
    }

    /// The account that an id is kept for.
    pub fn owner(&self, kind: AccountKind, id: u32) -> Option<&str> {
        self.owners.get(&(kind, id)).map(String::as_str)
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ((kind, name), id) in &self.ids {
            write!(formatter, "{separator}{} {name} {id}", kind.letter())?;
            separator = "\n";
        }
        Ok(())
    }
}

fn entry(words: &[&str]) -> Result<Entry, String> {
    let &[kind, name, id] = words else {
        return Err("a line is `u NAME UID` or `g NAME GID`".to_owned());
    };
    let kind = match kind {
        "u" => AccountKind::User,
        "g" => AccountKind::Group,
        _ => {
            return Err(format!(
                "`{kind}` is neither `u` for a user nor `g` for a group"
            ));
        }
    };
    if !is_valid_name(name.as_bytes()) {
        return Err(format!(
            "`{name}` is no name for an account: letters, digits, `_` and `-`, 31 at the most"
        ));
    }
    Ok(Entry {
        kind,
        name: name.to_owned(),
        id: valid_id(kind, id)?,
    })
}

/// Root's id, the overflow id and the two that mean "no id" (systemd, `uid_is_valid`) are not given.
fn valid_id(kind: AccountKind, id: &str) -> Result<u32, String> {
    match super::number(id.as_bytes()) {
        Some(0 | 65534 | 65535 | u32::MAX) => Err(format!(
            "{id} is a {} that no account is given",
            kind.id_name()
        )),
        Some(id) => Ok(id),
        None => Err(format!("`{id}` is no {}", kind.id_name())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error(file: &str) -> String {
        Ledger::parse(file.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn lines_comments_and_blanks_are_read() {
        let file = b"# ids\r\n\n\tu  redis 105 # cache\ng redis 106\r\nu tor 107";
        let ledger = Ledger::parse(file).unwrap();
        assert_eq!(ledger.id(AccountKind::User, "redis"), Some(105));
        assert_eq!(ledger.id(AccountKind::Group, "redis"), Some(106));
        assert_eq!(ledger.id(AccountKind::Group, "tor"), None);
        assert_eq!(ledger.owner(AccountKind::User, 107), Some("tor"));
        assert_eq!(ledger.owner(AccountKind::Group, 107), None);
    }

    #[test]
    fn order_and_comments_do_not_change_what_a_ledger_says() {
        let one = Ledger::parse(b"u a 101\ng a 102\nu b 103").unwrap();
        let other = Ledger::parse(b"# again\nu b 103\nu a 101 # a\n\ng a 102\n").unwrap();
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "g a 102\nu a 101\nu b 103");
        assert_eq!(Ledger::parse(one.to_string().as_bytes()), Ok(one));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (file, expected) in [
            (
                "\nu redis",
                "line 2: a line is `u NAME UID` or `g NAME GID`",
            ),
            (
                "u redis 1 2",
                "line 1: a line is `u NAME UID` or `g NAME GID`",
            ),
            (
                "x redis 1",
                "line 1: `x` is neither `u` for a user nor `g` for a group",
            ),
            ("u redis -", "line 1: `-` is no uid"),
            ("g redis +1", "line 1: `+1` is no gid"),
            ("u redis 0", "line 1: 0 is a uid that no account is given"),
            ("u a 1\ng a 1\nu a 2", "line 3: user a has the id 1 already"),
            ("g a 1\ng b 1", "line 2: gid 1 belongs to group a already"),
        ] {
            assert_eq!(error(file), expected, "{file:?}");
        }
        assert!(error("u web.app 1").contains("`web.app` is no name"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_ledger_or_a_mistake_in_one_of_its_lines(
            file in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            if let Err(error) = Ledger::parse(&file) {
                let lines = String::from_utf8_lossy(&file).lines().count();
                prop_assert!((1..=lines).contains(&(error.line as usize)), "{error}");
            }
        }

        #[test]
        fn what_a_ledger_says_is_read_back(
            lines in proptest::collection::vec("[ug] [a-c] 10[0-4]", 0..8)
        ) {
            match Ledger::parse(lines.join("\n").as_bytes()) {
                Ok(ledger) => {
                    prop_assert_eq!(ledger.to_string().lines().count(), lines.len());
                    prop_assert_eq!(Ledger::parse(ledger.to_string().as_bytes()), Ok(ledger));
                }
                Err(error) => {
                    let good = &lines[..error.line as usize - 1];
                    prop_assert!(Ledger::parse(good.join("\n").as_bytes()).is_ok(), "{}", error);
                }
            }
        }
    }
}
