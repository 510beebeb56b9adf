//! The machine that boots an image for the first time, as far as files decide it: which accounts it
//! has once systemd-sysusers has run, and which paths once systemd-tmpfiles has.

use std::collections::{BTreeMap, BTreeSet};

use crate::Image;
use crate::model::group::groups;
use crate::model::passwd::users;
use crate::model::shadow::group_entries;
use crate::model::sysusers::{Id, Item, PrimaryGroup};
use crate::model::tmpfiles::{Line, Owner};
use crate::model::unit_name::UnitName;
use crate::tree::{Kind, Meta};
use crate::units::Start;

/// Links in a row at most (the kernel's `MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// How a machine came to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum History {
    /// Installed with it: /var and /etc are the image's.
    Fresh,
    /// Upgraded to it, after somebody had added an account: /var is what it was before, and so are
    /// /etc/passwd and /etc/group.
    Upgraded,
}

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

    fn has_owners_of(&self, line: &Line) -> bool {
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

/// What a path leads to on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Missing,
    /// A directory.
    Directory,
    /// A file; if the image has it, where, and what it is there.
    File(Option<(Vec<u8>, Meta)>),
    /// Only a running machine knows.
    Unknown,
}

/// What boot makes at a path.
#[derive(Clone, Debug)]
enum Made {
    Directory,
    Link(Vec<u8>),
    File,
    /// A copy of what the image has at this path.
    Copy(Vec<u8>),
}

/// One step of a path.
enum Step {
    Missing,
    Unknown,
    Directory,
    Link(Vec<u8>),
    File(Option<(Vec<u8>, Meta)>),
}

/// A machine at the end of systemd-tmpfiles-setup.service.
pub struct Machine<'a> {
    image: &'a Image<'a>,
    history: History,
    /// Its accounts.
    pub accounts: &'a Accounts,
    made: BTreeMap<Vec<u8>, Made>,
    mounts: Vec<Vec<u8>>,
}

/// Directories that each unit may have made for itself, with where they are (systemd.exec(5)).
const DIRECTORIES: [(&str, &str); 4] = [
    ("Service.StateDirectory", "var/lib"),
    ("Service.CacheDirectory", "var/cache"),
    ("Service.LogsDirectory", "var/log"),
    ("Service.ConfigurationDirectory", "etc"),
];

impl<'a> Machine<'a> {
    /// Boots the image.
    pub fn boot(image: &'a Image<'a>, history: History) -> Self {
        let mut machine = Self {
            image,
            history,
            accounts: image.accounts(history),
            made: BTreeMap::new(),
            mounts: mounts(image),
        };
        let usable = |line: &Line| machine.accounts.has_owners_of(line);
        for line in image.tmpfiles().makers(usable) {
            machine.make(line);
        }
        for (unit, start) in image.units().starting() {
            if start != Start::AtBoot {
                continue;
            }
            for (key, parent) in DIRECTORIES {
                for (_, word) in unit.words(key) {
                    // `NAME:LINK` makes a link as well; that one is not modelled.
                    let name = word.split(|&byte| byte == b':').next().unwrap_or_default();
                    let path = [parent.as_bytes(), b"/", name].concat();
                    machine.make_directories(&path);
                }
            }
        }
        machine
    }

    /// What a path leads to, links followed.
    pub fn place(&self, path: &[u8]) -> Place {
        let (at, rest, last) = self.walk(path);
        match last {
            Step::Unknown | Step::Link(_) => Place::Unknown,
            Step::Missing => {
                let whole = [&at[..], b"/", &rest.join(&b'/')].concat();
                let named = parts(path).collect::<Vec<_>>().join(&b'/');
                let below = |mount: &Vec<u8>| {
                    is_at_or_below(&whole, mount) || is_at_or_below(&named, mount)
                };
                if self.mounts.iter().any(below) {
                    Place::Unknown
                } else {
                    Place::Missing
                }
            }
            Step::Directory => Place::Directory,
            Step::File(file) if rest.is_empty() => Place::File(file),
            Step::File(_) => Place::Missing,
        }
    }

    /// Whether a path leads to nothing, for certain.
    pub fn lacks(&self, path: &[u8]) -> bool {
        self.place(path) == Place::Missing
    }

    /// Whether nothing that runs on a machine changes what a path leads to: it ends below /usr, which is
    /// read-only and which no extension of the image adds to (systemd-sysext(8)).
    pub fn is_settled(&self, path: &[u8]) -> bool {
        let (at, _, _) = self.walk(path);
        let is_local = at.starts_with(b"usr/local");
        at.starts_with(b"usr/")
            && !has_extensions(self.image)
            && !(is_local && is_overlaid(self.image, "usr-local"))
    }

    /// Walks a path: how far it leads, what is left of it then, and what stands there.
    fn walk(&self, path: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, Step) {
        let mut todo: Vec<Vec<u8>> = parts(path).rev().map(<[u8]>::to_vec).collect();
        let mut at: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == b".." {
                at.truncate(at.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                continue;
            }
            let mut next = at.clone();
            if !next.is_empty() {
                next.push(b'/');
            }
            next.extend(part);
            match self.step(&next) {
                Step::Directory => at = next,
                Step::Link(target) if links < MAX_LINKS => {
                    links += 1;
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    todo.extend(parts(&target).rev().map(<[u8]>::to_vec));
                }
                Step::Link(_) => return (next, Vec::new(), Step::Missing),
                last => {
                    todo.reverse();
                    return (next, todo, last);
                }
            }
        }
        (at, Vec::new(), Step::Directory)
    }

    /// What stands at a path of which only the end may be a link.
    fn step(&self, path: &[u8]) -> Step {
        if let Some(step) = self.made_at(path) {
            return step;
        }
        let top = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        let is_top = top.len() == path.len();
        match top {
            b"run" | b"tmp" | b"dev" | b"proc" | b"sys" | b"boot" | b"efi" | b"sysroot"
            | b"ostree" | b"media"
                if !is_top =>
            {
                Step::Unknown
            }
            b"var" if !is_top && self.history == History::Upgraded => Step::Missing,
            b"var" | b"run" | b"tmp" | b"dev" | b"proc" | b"sys" if is_top => Step::Directory,
            _ => self.in_image(path),
        }
    }

    fn made_at(&self, path: &[u8]) -> Option<Step> {
        match self.made.get(path) {
            Some(Made::Directory) => return Some(Step::Directory),
            Some(Made::Link(target)) => return Some(Step::Link(target.clone())),
            Some(Made::File) => return Some(Step::File(None)),
            Some(Made::Copy(of)) => return Some(self.in_image(of)),
            None => {}
        }
        let slashes = path.iter().enumerate().rev();
        let mut parents = slashes.filter(|(_, byte)| **byte == b'/');
        parents.find_map(|(slash, _)| match self.made.get(&path[..slash]) {
            Some(Made::Copy(of)) => Some(self.in_image(&[of, &path[slash..]].concat())),
            _ => None,
        })
    }

    fn in_image(&self, path: &[u8]) -> Step {
        let tree = self.image.tree;
        match tree.look(path) {
            Err(_) => Step::Unknown,
            Ok(None) => Step::Missing,
            Ok(Some(meta)) => match meta.kind {
                Kind::Directory => Step::Directory,
                Kind::Symlink => match tree.target(path) {
                    Ok(Some(target)) => Step::Link(target),
                    _ => Step::Unknown,
                },
                _ => Step::File(Some((path.to_vec(), meta))),
            },
        }
    }

    /// Makes what a line of tmpfiles.d makes.
    fn make(&mut self, line: &Line) {
        let parent = line
            .path
            .iter()
            .rposition(|&byte| byte == b'/')
            .unwrap_or(0);
        let Some(parent_path) = self.make_directories(&line.path[..parent]) else {
            return;
        };
        let mut path = parent_path;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(&line.path[(parent + 1).min(line.path.len())..]);
        let factory = || [b"/usr/share/factory", &line.path[..]].concat();
        let source = || line.argument.clone().unwrap_or_else(factory);
        let replaces = line.modifiers.contains(&b'+');
        let is_free = matches!(self.step(&path), Step::Missing | Step::Unknown);
        let made = match line.kind {
            b'L' if is_free || replaces => {
                let target = source();
                let only_if_there = line.modifiers.contains(&b'?');
                if only_if_there && self.lacks(&absolute(&path, &target)) {
                    return;
                }
                Made::Link(target)
            }
            b'C' if is_free || replaces || self.is_empty_directory(&path) => {
                let (of, _, step) = self.walk(&source());
                if matches!(step, Step::Missing | Step::Unknown) {
                    return;
                }
                Made::Copy(of)
            }
            _ if !is_free => return,
            b'L' | b'C' => return,
            _ if line.makes_directory() => Made::Directory,
            _ => Made::File,
        };
        self.made.insert(path, made);
    }

    fn is_empty_directory(&self, path: &[u8]) -> bool {
        let names = self.image.tree.names(path);
        matches!(self.step(path), Step::Directory) && names.is_ok_and(|names| names.is_empty())
    }

    /// Makes a directory with its parents, and returns where it is with all links followed; none
    /// where no directory can be.
    fn make_directories(&mut self, path: &[u8]) -> Option<Vec<u8>> {
        let (mut at, rest, step) = self.walk(path);
        match step {
            Step::Directory => return Some(at),
            Step::Missing => {}
            // Below /run only what is made is known.
            Step::Unknown if at.starts_with(b"run/") => {}
            Step::Unknown | Step::Link(_) | Step::File(_) => return None,
        }
        self.made.insert(at.clone(), Made::Directory);
        for part in rest {
            at = [&at[..], b"/", &part].concat();
            self.made.insert(at.clone(), Made::Directory);
        }
        Some(at)
    }
}

/// Where images that are merged into /usr are looked for (systemd-sysext(8)).
const EXTENSIONS: [&str; 5] = [
    "etc/extensions",
    "usr/lib/extensions",
    "usr/local/lib/extensions",
    "var/lib/extensions",
    "var/lib/extensions.mutable",
];

fn has_extensions(image: &Image<'_>) -> bool {
    let mut places = EXTENSIONS.iter();
    places.any(|place| !image.names(place).is_empty())
}

/// Whether a directory of the image is writable on a machine by ostree's state overlay; its name is escaped.
fn is_overlaid(image: &Image<'_>, directory: &str) -> bool {
    let unit = UnitName::parse(&format!("ostree-state-overlay@{directory}.service"));
    unit.is_some_and(|unit| image.units().is_started(&unit))
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

/// The components of a path.
fn parts(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
}

/// The target of a link at a path, from the root.
fn absolute(path: &[u8], target: &[u8]) -> Vec<u8> {
    if target.starts_with(b"/") {
        return target.to_vec();
    }
    let parent = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    [b"/", &path[..parent], b"/", target].concat()
}

fn is_at_or_below(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// Where something is mounted of which only a machine knows the content, without slashes at the ends.
fn mounts(image: &Image<'_>) -> Vec<Vec<u8>> {
    let of_units = image.units().names().filter_map(UnitName::mount_point);
    let fstab = image.content("etc/fstab").unwrap_or_default();
    let of_fstab = fstab.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty());
        let device = fields.next()?;
        fields
            .next()
            .filter(|_| !device.starts_with(b"#"))
            .map(<[u8]>::to_vec)
    });
    // What is mounted there is the machine's own, as if it were no mount.
    let own = [
        &b""[..],
        b"var",
        b"usr",
        b"etc",
        b"home",
        b"srv",
        b"opt",
        b"var/home",
    ];
    of_units
        .chain(of_fstab)
        .map(|path| parts(&path).collect::<Vec<_>>().join(&b'/'))
        .filter(|path| !own.contains(&&path[..]))
        .collect()
}
