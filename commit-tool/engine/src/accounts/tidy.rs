//! What is put right in shadow and gshadow, line by line with every other byte kept: the day of the
//! build as date of accounts without a password, and entries that have lost their other half.

use std::collections::{BTreeMap, BTreeSet};

use osderive_lints::model::{group::Group, passwd::User, shadow};

/// A file's lines without their line ends. The end of the last line is given back by [`joined`].
fn lines(file: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = file.split(|&byte| byte == b'\n').collect();
    if lines.last() == Some(&&b""[..]) {
        lines.pop();
    }
    lines
}

fn joined<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Vec<u8> {
    let mut file = Vec::new();
    for line in lines {
        file.extend_from_slice(line.as_ref());
        file.push(b'\n');
    }
    file
}

/// What changed in a file, for people.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tidied {
    /// The new content; none when nothing changed.
    pub(super) content: Option<Vec<u8>>,
    pub(super) reasons: Vec<&'static str>,
}

/// Why dates go.
pub(super) const DATE: &str =
    "the day of the build is no property of an account without a password";
/// Why entries go.
pub(super) const STALE: &str = "systemd-sysusers stops at an entry without its account";
/// Why entries come.
pub(super) const MISSING: &str = "an account that refers to it has no entry";

/// Takes the date from entries that `dated` names and that hold no hash, and makes entries and
/// users match.
///
/// An empty date switches password ageing off (shadow(5)), which is what an account without a
/// password has; 0 would ask for a new password.
pub(super) fn shadow(file: &[u8], users: &[User<'_>], dated: impl Fn(&[u8]) -> bool) -> Tidied {
    let known: BTreeSet<&[u8]> = users.iter().map(|user| user.name).collect();
    let entries: BTreeMap<u32, shadow::Shadow<'_>> = shadow::entries(file)
        .map(|entry| (entry.line, entry))
        .collect();
    let mut tidy = Tidier::default();
    for (number, line) in (1..).zip(lines(file)) {
        match entries.get(&number) {
            Some(entry) if !known.contains(entry.name) => tidy.drop_line(),
            Some(entry)
                if !entry.last_change.is_empty()
                    && shadow::is_without_hash(entry.password)
                    && dated(entry.name) =>
            {
                tidy.replace(without_date(line), DATE);
            }
            _ => tidy.keep(line),
        }
    }
    let present: BTreeSet<&[u8]> = entries.values().map(|entry| entry.name).collect();
    let missing = users
        .iter()
        .filter(|user| user.password == b"x" && !present.contains(user.name));
    for user in missing {
        tidy.add([user.name, b":!*:::::::"].concat());
    }
    tidy.done()
}

/// Makes entries and groups match.
pub(super) fn gshadow(file: &[u8], groups: &[Group<'_>]) -> Tidied {
    let known: BTreeSet<&[u8]> = groups.iter().map(|group| group.name).collect();
    let entries: BTreeMap<u32, shadow::GroupShadow<'_>> = shadow::group_entries(file)
        .map(|entry| (entry.line, entry))
        .collect();
    let mut tidy = Tidier::default();
    for (number, line) in (1..).zip(lines(file)) {
        match entries.get(&number) {
            Some(entry) if !known.contains(entry.name) => tidy.drop_line(),
            _ => tidy.keep(line),
        }
    }
    let present: BTreeSet<&[u8]> = entries.values().map(|entry| entry.name).collect();
    let missing = groups
        .iter()
        .filter(|group| group.password == b"x" && !present.contains(group.name));
    for group in missing {
        tidy.add([group.name, b":!*::", &group.members.join(&b','), b""].concat());
    }
    tidy.done()
}

fn without_date(line: &[u8]) -> Vec<u8> {
    let mut fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
    if let Some(date) = fields.get_mut(2) {
        *date = b"";
    }
    fields.join(&b':')
}

#[derive(Default)]
struct Tidier {
    lines: Vec<Vec<u8>>,
    reasons: Vec<&'static str>,
}

impl Tidier {
    fn keep(&mut self, line: &[u8]) {
        self.lines.push(line.to_owned());
    }

    fn replace(&mut self, line: Vec<u8>, reason: &'static str) {
        self.lines.push(line);
        self.because(reason);
    }

    fn add(&mut self, line: Vec<u8>) {
        self.replace(line, MISSING);
    }

    fn drop_line(&mut self) {
        self.because(STALE);
    }

    fn because(&mut self, reason: &'static str) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    fn done(self) -> Tidied {
        Tidied {
            content: (!self.reasons.is_empty()).then(|| joined(self.lines)),
            reasons: self.reasons,
        }
    }
}

#[cfg(test)]
mod tests {
    use osderive_lints::model::{group::groups, passwd::users};

    use super::*;

    fn text(tidied: Tidied) -> Option<String> {
        tidied
            .content
            .map(|content| String::from_utf8(content).expect("text"))
    }

    #[test]
    fn only_the_date_of_a_new_account_without_a_password_goes() {
        let passwd = b"old:x:1:1:::\nnew:x:2:2:::\npw:x:3:3:::\n";
        let file = b"old:*:20000:0:99999:7:::\nnew:!:20778::::::\npw:$6$x:20778::::::\n+odd\n";
        let users: Vec<User> = users(passwd).collect();
        let tidied = shadow(file, &users, |name| name != b"old");
        assert_eq!(
            text(tidied).as_deref(),
            Some("old:*:20000:0:99999:7:::\nnew:!:::::::\npw:$6$x:20778::::::\n+odd\n")
        );
    }

    #[test]
    fn what_is_right_is_not_written_again() {
        let users: Vec<User> = users(b"a:x:1:1:::").collect();
        assert_eq!(shadow(b"a:!:::::::", &users, |_| true), Tidied::default());
        let groups: Vec<Group> = groups(b"a:x:1:").collect();
        assert_eq!(gshadow(b"a:!::", &groups), Tidied::default());
    }

    #[test]
    fn entries_without_an_account_go_and_missing_ones_come() {
        let groups: Vec<Group> = groups(b"a:x:1:m,n\nb:x:2:\nopen::3:\n").collect();
        let tidied = gshadow(b"gone:!::\nb:!::", &groups);
        assert_eq!(tidied.reasons, [STALE, MISSING]);
        assert_eq!(text(tidied).as_deref(), Some("b:!::\na:!*::m,n\n"));
    }
}
