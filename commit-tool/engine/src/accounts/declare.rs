//! Accounts as sysusers.d lines: which accounts of an image can and shall be declared, how each line
//! reads so that systemd 252 and newer read it back, and what other files declare already.

use std::collections::{BTreeMap, BTreeSet};

use osderive_lints::model::{
    group::{Group, groups},
    passwd::{User, users},
    sysusers::{self, Id, Item, PrimaryGroup, is_valid_name},
};

/// systemd reads lines up to 1 MiB; no honest field comes near this.
const MAX_FIELD_BYTES: usize = 4096;

/// What one line declares. The order is that of the lines in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Group(&'a [u8]),
    User(&'a [u8]),
    /// The user and the group.
    Member(&'a [u8], &'a [u8]),
}

/// The ids of people's accounts, both ends included. Above them are what distributions have given away for good
/// (Debian's 60000 to 64999, Policy 9.2.2) and what systemd makes and forgets again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Range {
    pub(super) fn has(self, id: u32) -> bool {
        (self.min..=self.max).contains(&id)
    }
}

/// Which ids the machine gives to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) uids: Range,
    pub(super) gids: Range,
}

impl Limits {
    /// Reads login.defs; 1000 to 60000 where it is silent, as shadow-utils.
    pub(super) fn parse(login_defs: &[u8]) -> Self {
        let value = |key: &[u8], default: u32| {
            let mut words = login_defs.split(|&byte| byte == b'\n').filter_map(|line| {
                let line = line.trim_ascii().strip_prefix(key)?;
                let value = line.strip_prefix(b" ").or(line.strip_prefix(b"\t"))?;
                std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()
            });
            words.next().unwrap_or(default)
        };
        Self {
            uids: Range {
                min: value(b"UID_MIN", 1000),
                max: value(b"UID_MAX", 60_000),
            },
            gids: Range {
                min: value(b"GID_MIN", 1000),
                max: value(b"GID_MAX", 60_000),
            },
        }
    }
}

/// The users and groups of an image, the first of each name.
pub(super) struct Accounts<'a> {
    pub(super) users: Vec<User<'a>>,
    pub(super) groups: Vec<Group<'a>>,
    users_by_name: BTreeMap<&'a [u8], User<'a>>,
    groups_by_name: BTreeMap<&'a [u8], usize>,
    /// The ids of all primary groups.
    primary_gids: BTreeSet<u32>,
    names_of_groups: BTreeMap<u32, &'a [u8]>,
    /// The users and groups of nss-altfiles that are not among these, with their ids.
    pub(super) users_beside: BTreeMap<&'a [u8], u32>,
    pub(super) groups_beside: BTreeMap<&'a [u8], u32>,
    pub(super) limits: Limits,
}

impl<'a> Accounts<'a> {
    pub(super) fn new(passwd: &'a [u8], group: &'a [u8], limits: Limits) -> Self {
        let mut seen = BTreeSet::new();
        let users: Vec<User<'_>> = users(passwd)
            .filter(|user| seen.insert(user.name))
            .collect();
        let mut seen = BTreeSet::new();
        let groups: Vec<Group<'_>> = groups(group)
            .filter(|group| seen.insert(group.name))
            .collect();
        let mut names_of_groups = BTreeMap::new();
        for group in &groups {
            names_of_groups.entry(group.gid).or_insert(group.name);
        }
        Self {
            users_by_name: users.iter().map(|user| (user.name, *user)).collect(),
            groups_by_name: (groups.iter().enumerate())
                .map(|(index, group)| (group.name, index))
                .collect(),
            primary_gids: users.iter().map(|user| user.gid).collect(),
            users,
            groups,
            names_of_groups,
            users_beside: BTreeMap::new(),
            groups_beside: BTreeMap::new(),
            limits,
        }
    }

    /// These accounts, with those of nss-altfiles known: what is in both counts as it is here.
    pub(super) fn beside(mut self, passwd: &'a [u8], group: &'a [u8]) -> Self {
        for user in users(passwd) {
            if self.user(user.name).is_none() {
                self.users_beside.entry(user.name).or_insert(user.uid);
            }
        }
        for group in groups(group) {
            if self.group(group.name).is_none() {
                self.groups_beside.entry(group.name).or_insert(group.gid);
            }
        }
        for (name, gid) in &self.groups_beside {
            self.names_of_groups.entry(*gid).or_insert(name);
        }
        self
    }

    pub(super) fn user(&self, name: &[u8]) -> Option<&User<'a>> {
        self.users_by_name.get(name)
    }

    pub(super) fn group(&self, name: &[u8]) -> Option<&Group<'a>> {
        self.groups.get(*self.groups_by_name.get(name)?)
    }

    /// Whether a group is some user's primary one.
    pub(super) fn is_primary(&self, group: &Group<'_>) -> bool {
        self.primary_gids.contains(&group.gid)
    }

    /// The name of a user's primary group.
    pub(super) fn primary_group(&self, user: &User<'_>) -> Option<&'a [u8]> {
        self.names_of_groups.get(&user.gid).copied()
    }

    /// Whether an account is one that people log in to, which is for the machine to make.
    pub(super) fn is_login(&self, user: &User<'_>) -> bool {
        self.limits.uids.has(user.uid) && !is_nologin(user.shell)
    }

    /// Whether a group belongs to nobody but people.
    pub(super) fn is_login_group(&self, group: &Group<'_>) -> bool {
        self.limits.gids.has(group.gid)
            && self.is_primary(group)
            && (self.users.iter()).any(|user| user.gid == group.gid && self.is_login(user))
    }

    /// The lines for every account that can be declared. Root's exist everywhere.
    pub(super) fn lines(&self) -> BTreeMap<Key<'a>, String> {
        let mut lines = BTreeMap::new();
        let mut gids = BTreeSet::new();
        for group in &self.groups {
            let first = gids.insert(group.gid);
            if !first || group.gid == 0 || !declarable_id(group.gid) || self.is_login_group(group) {
                continue;
            }
            if let Some(name) = text_name(group.name) {
                lines.insert(Key::Group(group.name), format!("g {name} {}", group.gid));
            }
        }
        let mut uids = BTreeSet::new();
        for user in &self.users {
            let first = uids.insert(user.uid);
            if !first || user.uid == 0 || self.is_login(user) {
                continue;
            }
            if let Some(line) = self.user_line(user) {
                lines.insert(Key::User(user.name), line);
            }
        }
        self.add_members(&mut lines);
        lines
    }

    fn user_line(&self, user: &User<'_>) -> Option<String> {
        let name = text_name(user.name).filter(|_| declarable_id(user.uid))?;
        let group = text_name(self.primary_group(user)?)?;
        let gecos = quoted(user.gecos).unwrap_or_default();
        let [home, shell] = [home(user), shell(user)].map(Option::unwrap_or_default);
        let mut line = format!("u {name} {}:{group}", user.uid);
        for field in [gecos, home, shell] {
            line.push(' ');
            line.push_str(if field.is_empty() { "-" } else { &field });
        }
        Some(line)
    }

    fn add_members(&self, lines: &mut BTreeMap<Key<'a>, String>) {
        for group in &self.groups {
            if group.gid != 0 && !lines.contains_key(&Key::Group(group.name)) {
                continue;
            }
            for member in &group.members {
                let known = match self.user(member) {
                    Some(user) => user.uid == 0 || lines.contains_key(&Key::User(user.name)),
                    None => self.users_beside.contains_key(member),
                };
                if let (true, Some(user), Some(name)) =
                    (known, text_name(member), text_name(group.name))
                {
                    lines.insert(Key::Member(member, group.name), format!("m {user} {name}"));
                }
            }
        }
    }

    /// What of a user cannot be declared, for people.
    pub(super) fn obstacles(&self, user: &User<'_>) -> Vec<&'static str> {
        let group = self.primary_group(user);
        [
            (text_name(user.name).is_none(), "its name"),
            (!declarable_id(user.uid), "its id"),
            (group.and_then(text_name).is_none(), "its primary group"),
            (quoted(user.gecos).is_none(), "its comment"),
            (home(user).is_none(), "its home"),
            (shell(user).is_none(), "its shell"),
        ]
        .into_iter()
        .filter_map(|(is_obstacle, what)| is_obstacle.then_some(what))
        .collect()
    }
}

/// Whether a shell only says no (nologin(8), false(1)).
pub(super) fn is_nologin(shell: &[u8]) -> bool {
    let name = shell.rsplit(|&byte| byte == b'/').next();
    [
        &b"nologin"[..],
        b"false",
        b"true",
        b"sync",
        b"shutdown",
        b"halt",
    ]
    .contains(&name.unwrap_or_default())
}

/// An empty shell means this one (passwd(5)); in sysusers.d it would mean nologin.
fn effective_shell(shell: &[u8]) -> &[u8] {
    if shell.is_empty() { b"/bin/sh" } else { shell }
}

pub(super) fn text_name(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name)
        .ok()
        .filter(|_| is_valid_name(name))
}

/// The 16-bit "no id" number cannot be declared.
fn declarable_id(id: u32) -> bool {
    id != 0xffff
}

/// A home as systemd takes it (`valid_home`). No home is written as / by systemd too.
fn home(user: &User<'_>) -> Option<String> {
    match user.home {
        b"" => Some("/".to_owned()),
        home => absolute(home),
    }
}

/// A shell as systemd takes it: 257 ignores the whole line if it ends with a slash (`valid_shell`).
fn shell(user: &User<'_>) -> Option<String> {
    let shell = effective_shell(user.shell);
    absolute(shell).filter(|_| !shell.ends_with(b"/"))
}

/// An absolute path without `.` and `..`.
fn absolute(path: &[u8]) -> Option<String> {
    let is_plain = |name: &[u8]| name != b"." && name != b"..";
    let fits = path.starts_with(b"/") && path.split(|&byte| byte == b'/').all(is_plain);
    fits.then(|| quoted(path)).flatten()
}

/// A field in the only way that 252 and 257 read alike: `"` around it, `\` before `"` and `\`,
/// and `%` doubled. None for bytes that systemd takes nowhere in an account.
fn quoted(field: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(field).ok()?;
    if text.chars().any(char::is_control) || text.contains(':') || text.len() > MAX_FIELD_BYTES {
        return None;
    }
    let text = text.replace('%', "%%");
    let plain = |c: char| !c.is_whitespace() && !['"', '\'', '\\', '#'].contains(&c);
    if text.chars().all(plain) {
        return Some(text);
    }
    Some(format!(
        "\"{}\"",
        text.replace('\\', r"\\").replace('"', "\\\"")
    ))
}

/// What a set of sysusers.d files declares: of each account the first line counts.
#[derive(Debug, Default)]
pub(super) struct Declarations {
    users: BTreeMap<Vec<u8>, sysusers::User>,
    groups: BTreeMap<Vec<u8>, Id>,
    members: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Declarations {
    /// Reads files in their order.
    pub(super) fn of<'f>(files: impl IntoIterator<Item = &'f [u8]>) -> Self {
        let mut declared = Self::default();
        for file in files {
            for line in sysusers::parse(file).lines {
                declared.add(line.item);
            }
        }
        declared
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::User(user) => drop(self.users.entry(user.name.clone()).or_insert(user)),
            Item::Group { name, id } => drop(self.groups.entry(name).or_insert(id)),
            Item::Member { user, group } => drop(self.members.insert((user, group))),
            Item::Range { .. } => {}
        }
    }

    /// Whether there is a line for an account, whatever it says.
    pub(super) fn names(&self, key: Key<'_>) -> bool {
        match key {
            Key::Group(name) => self.groups.contains_key(name),
            Key::User(name) => self.users.contains_key(name),
            Key::Member(user, group) => self.members.contains(&(user.to_owned(), group.to_owned())),
        }
    }

    /// Whether an account has its very ids from here.
    pub(super) fn pins(&self, key: Key<'_>, accounts: &Accounts<'_>) -> bool {
        match key {
            Key::Member(..) => self.names(key),
            Key::Group(name) => accounts
                .group(name)
                .is_some_and(|group| self.pins_group(group)),
            Key::User(name) => {
                let user = accounts.user(name);
                user.is_some_and(|user| self.user_pinned(user, accounts).is_some())
            }
        }
    }

    /// Whether an account is declared just as it is.
    pub(super) fn equals(&self, key: Key<'_>, accounts: &Accounts<'_>) -> bool {
        let Key::User(name) = key else {
            return self.pins(key, accounts);
        };
        let Some(user) = accounts.user(name) else {
            return false;
        };
        self.user_pinned(user, accounts).is_some_and(|declared| {
            let home = declared.home.as_deref().unwrap_or(b"/");
            let same_shell = match declared.shell.as_deref() {
                Some(shell) => shell == effective_shell(user.shell),
                None => user.shell.ends_with(b"/nologin"),
            };
            declared.gecos.as_deref().unwrap_or_default() == user.gecos
                && (home == user.home || user.home.is_empty() && home == b"/")
                && same_shell
        })
    }

    fn pins_group(&self, group: &Group<'_>) -> bool {
        match (self.groups.get(group.name), self.users.get(group.name)) {
            (Some(id), _) => *id == Id::Number(group.gid),
            (None, Some(user)) => {
                user.group == PrimaryGroup::OwnName && user.id == Id::Number(group.gid)
            }
            (None, None) => false,
        }
    }

    /// The declaration of a user, if it gives the user's own ids. A line without a group is not
    /// enough where another group has the uid as gid: systemd then takes another uid.
    fn user_pinned(&self, user: &User<'_>, accounts: &Accounts<'_>) -> Option<&sysusers::User> {
        let declared = self.users.get(user.name)?;
        let group = accounts.primary_group(user)?;
        let same_group = match &declared.group {
            PrimaryGroup::Id(gid) => *gid == user.gid,
            PrimaryGroup::Name(name) => name == group,
            PrimaryGroup::OwnName => {
                let other = accounts.names_of_groups.get(&user.uid);
                group == user.name && other.is_none_or(|&other| other == user.name)
            }
        };
        (declared.id == Id::Number(user.uid) && same_group).then_some(declared)
    }
}

#[cfg(test)]
mod tests;
