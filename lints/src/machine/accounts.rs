//! The accounts that a machine has once systemd-sysusers has run, as far as files decide it.

use std::collections::BTreeSet;

use super::History;
use crate::Image;
use crate::model::group::groups;
use crate::model::passwd::users;
use crate::model::shadow::group_entries;
use crate::model::sysusers::{Id, Item, PrimaryGroup};
use crate::model::tmpfiles::{Line, Owner};

/// The accounts that a machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// The users' names. There may be hundreds of thousands: no more room than they need.
    pub users: BTreeSet<Box<[u8]>>,
    /// The groups' names.
    pub groups: BTreeSet<Box<[u8]>>,
    /// The users' ids as far as the image decides them.
    pub uids: BTreeSet<u32>,
    /// The groups' ids as far as the image decides them.
    pub gids: BTreeSet<u32>,
}

/// Debian's static accounts, which no machine is without (base-passwd's update-passwd).
const MASTERS: [&str; 2] = [
    "usr/share/base-passwd/passwd.master",
    "usr/share/base-passwd/group.master",
];

/// Where JSON accounts are (nss-systemd(8)).
const USERDB: [&str; 2] = ["etc/userdb", "usr/lib/userdb"];

impl Accounts {
    /// The accounts before systemd-sysusers runs.
    fn before(image: &Image<'_>, history: History) -> Self {
        let mut accounts = Self::default();
        // systemd knows these two without any file (`synthesize_user_creds`).
        for (name, id) in [("root", 0), ("nobody", 65534)] {
            accounts.add_user(name.as_bytes(), Some(id));
            accounts.add_group(name.as_bytes(), Some(id));
        }
        accounts.add_group(b"nogroup", Some(65534));
        let counts = |path: &str| history == History::Fresh || path.starts_with("usr/");
        for (_, user) in image.users().filter(|(path, _)| counts(path)) {
            accounts.add_user(user.name, Some(user.uid));
        }
        for (_, group) in image.groups().filter(|(path, _)| counts(path)) {
            accounts.add_group(group.name, Some(group.gid));
        }
        let [passwd, group] = MASTERS.map(|path| image.content(path).unwrap_or_default());
        for user in users(&passwd) {
            accounts.add_user(user.name, Some(user.uid));
        }
        for group in groups(&group) {
            accounts.add_group(group.name, Some(group.gid));
        }
        for name in USERDB.iter().flat_map(|path| image.names(path)) {
            if let Some(name) = name.strip_suffix(".user") {
                accounts.add_user(name.as_bytes(), name.parse().ok());
            } else if let Some(name) = name.strip_suffix(".group") {
                accounts.add_group(name.as_bytes(), name.parse().ok());
            }
        }
        accounts
    }

    /// The accounts after it; [`Image::accounts`] keeps them.
    pub(crate) fn of(image: &Image<'_>, history: History) -> Self {
        let mut accounts = Self::before(image, history);
        if history == History::Fresh && !stale_groups(image).is_empty() {
            return accounts;
        }
        let items = || {
            let lines = image
                .sysusers()
                .iter()
                .flat_map(|(_, parsed)| &parsed.lines);
            lines.map(|line| &line.item)
        };
        // Groups come first, wherever their lines stand.
        for item in items() {
            match item {
                Item::Group { name, id } => accounts.add_group(name, number(id)),
                Item::Member { user, group } => {
                    accounts.add_group(group, None);
                    accounts.add_user(user, None);
                    accounts.add_group(user, None);
                }
                Item::User(user) if user.group == PrimaryGroup::OwnName => {
                    accounts.add_group(&user.name, number(&user.id));
                }
                Item::User(_) | Item::Range { .. } => {}
            }
        }
        for item in items() {
            if let Item::User(user) = item {
                let has_group = match &user.group {
                    PrimaryGroup::OwnName => true,
                    PrimaryGroup::Id(gid) => accounts.gids.contains(gid),
                    PrimaryGroup::Name(name) => accounts.groups.contains(&name[..]),
                };
                if has_group {
                    accounts.add_user(&user.name, number(&user.id));
                }
            }
        }
        accounts
    }

    fn add_user(&mut self, name: &[u8], uid: Option<u32>) {
        // Who is there already keeps what it has.
        if self.users.insert(name.into()) {
            self.uids.extend(uid);
        }
    }

    fn add_group(&mut self, name: &[u8], gid: Option<u32>) {
        if self.groups.insert(name.into()) {
            self.gids.extend(gid);
        }
    }

    /// Whether a name or a number is a user. A number needs no entry.
    pub fn has_user(&self, name: &[u8]) -> bool {
        name.iter().all(u8::is_ascii_digit) || self.users.contains(name)
    }

    /// Whether a name or a number is a group.
    pub fn has_group(&self, name: &[u8]) -> bool {
        name.iter().all(u8::is_ascii_digit) || self.groups.contains(name)
    }

    pub(super) fn has_owners_of(&self, line: &Line) -> bool {
        let known = |owner: &Option<Owner>, names: &BTreeSet<Box<[u8]>>| match owner {
            Some(Owner::Name(name)) => names.contains(&name[..]),
            Some(Owner::Id(_)) | None => true,
        };
        known(&line.user, &self.users) && known(&line.group, &self.groups)
    }
}

fn number(id: &Id) -> Option<u32> {
    match id {
        Id::Number(id) => Some(*id),
        Id::Automatic | Id::OwnerOf(_) => None,
    }
}

/// Groups that sysusers.d declares, that /etc/group lacks and /etc/gshadow has: systemd-sysusers then
/// ends with "already exists" and writes nothing at all (`write_temporary_gshadow`).
pub fn stale_groups(image: &Image<'_>) -> Vec<(u32, Vec<u8>)> {
    let Some(gshadow) = image.content("etc/gshadow") else {
        return Vec::new();
    };
    let mut declared = BTreeSet::new();
    let lines = image
        .sysusers()
        .iter()
        .flat_map(|(_, parsed)| &parsed.lines);
    for line in lines {
        match &line.item {
            Item::Group { name, .. } | Item::Member { group: name, .. } => {
                declared.insert(name.as_slice());
            }
            Item::User(user) if user.group == PrimaryGroup::OwnName => {
                declared.insert(user.name.as_slice());
            }
            Item::User(_) | Item::Range { .. } => {}
        }
    }
    let known: BTreeSet<&[u8]> = image.groups().map(|(_, group)| group.name).collect();
    group_entries(&gshadow)
        .filter(|entry| declared.contains(entry.name) && !known.contains(entry.name))
        .map(|entry| (entry.line, entry.name.to_vec()))
        .collect()
}

/// Services of names other than files that may know more accounts than an image has (nss(5)): the first
/// that nsswitch.conf names, if one of them is set up.
pub fn other_accounts(image: &Image<'_>) -> Option<String> {
    /// Those that answer from files, or for accounts that no unit runs as.
    const OF_FILES: [&str; 7] = [
        "altfiles",
        "compat",
        "db",
        "extrausers",
        "files",
        "mymachines",
        "systemd",
    ];
    let has_sssd =
        || image.exists("etc/sssd/sssd.conf") || !image.names("etc/sssd/conf.d").is_empty();
    let content = image.content("etc/nsswitch.conf")?;
    let text = String::from_utf8_lossy(&content).into_owned();
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let of_accounts = lines.filter_map(|line| {
        let (database, services) = line.split_once(':')?;
        ["passwd", "group"]
            .contains(&database.trim())
            .then_some(services)
    });
    let services = of_accounts.flat_map(str::split_whitespace);
    let mut others = services.filter(|service| match *service {
        "sss" => has_sssd(),
        service => !service.starts_with('[') && !OF_FILES.contains(&service),
    });
    others
        .next()
        .filter(|service| {
            service
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .map(str::to_owned)
}
