//! What the package databases say of units and of /var: which package a unit is of, which entries of /var the package
//! brings, what it configures, and which accounts its installation makes. [`PackageDb`] answers other questions too.

mod database;
mod dpkg;
mod installed;
mod pacman;
mod rpm;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::Image;
use crate::knowledge::quirks::Quirks;
use crate::model::passwd::User;
use crate::rules::input_unreadable;
use crate::tree::Kind;
use installed::Script;

pub use database::{Moment, PackageDb};
pub use installed::{Account, Attributes, Installed, Manager, Owned, Unread};
pub use rpm::PLACES as RPM_PLACES;

/// Entries of /var of one package at most.
const MAX_ENTRIES: usize = 1000;

/// Bytes of what is kept of all packages at most; of a thousand with units it is a few million. Of packages past that
/// nothing is asked.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// What belongs to nobody: packages name them only as parents.
const SHARED: [&[u8]; 12] = [
    b"/var",
    b"/var/cache",
    b"/var/lib",
    b"/var/lock",
    b"/var/log",
    b"/var/mail",
    b"/var/opt",
    b"/var/run",
    b"/var/spool",
    b"/var/tmp",
    b"/var/local",
    b"/var/backups",
];

/// Entries of /var that are no state: content to serve, and logs of another init system.
const NO_STATE: [&[u8]; 3] = [b"/var/www", b"/var/log/runit", b"/var/lib/supervise"];

/// What in /etc is no configuration of a package's own programs.
const OF_OTHERS: [&[u8]; 6] = [
    b"/etc/apparmor.d/",
    b"/etc/apt/",
    b"/etc/cron.",
    b"/etc/init.d/",
    b"/etc/logrotate.d/",
    b"/etc/rsyslog.d/",
];

/// What is known of the packages of one manager alone.
struct Customs {
    /// What belongs to nobody beside [`SHARED`].
    shared: &'static [&'static [u8]],
    /// What is no configuration beside [`OF_OTHERS`].
    of_others: &'static [&'static [u8]],
    /// Where programs load shared objects from.
    libraries: &'static [&'static [u8]],
}

impl Customs {
    fn of(manager: Manager) -> Self {
        match manager {
            Manager::Dpkg => DPKG,
            Manager::Rpm => RPM,
        }
    }
}

const DPKG: Customs = Customs {
    shared: &[],
    of_others: &[],
    libraries: &[b"/usr/lib/"],
};

/// Source: the package `filesystem` of Fedora, and what its packages put into directories of others.
const RPM: Customs = Customs {
    shared: &[
        b"/var/adm",
        b"/var/db",
        b"/var/empty",
        b"/var/ftp",
        b"/var/games",
        b"/var/kerberos",
        b"/var/lib/games",
        b"/var/lib/misc",
        b"/var/lib/rpm-state",
        b"/var/nis",
        b"/var/preserve",
        b"/var/spool/lpd",
        b"/var/spool/mail",
        b"/var/yp",
    ],
    of_others: &[
        b"/etc/dnf/",
        b"/etc/pki/rpm-gpg/",
        b"/etc/rc.d/",
        b"/etc/selinux/",
        b"/etc/yum.repos.d/",
        b"/etc/yum/",
        b"/etc/zypp/",
    ],
    libraries: &[b"/usr/lib/", b"/usr/lib64/"],
};

/// Bytes of a script or a configuration file at most.
const MAX_TEXT_BYTES: u64 = 256 << 10;

/// A package that has units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name without the architecture.
    pub name: String,
    /// Its entries of /var but those that all packages share, absolute, parents first.
    pub var: Vec<Vec<u8>>,
    /// Its entries of /etc, absolute.
    etc: Vec<Vec<u8>>,
    /// What runs at its installation.
    script: Script,
    /// The accounts that it asks for beside.
    accounts: Vec<Vec<u8>>,
    /// What boots have shown of it: of Debian's packages.
    quirks: Quirks,
    /// Those that its daemons load something of: they have no unit, a shared object, and a name that begins with its
    /// own, as libvirt-daemon-driver-qemu.
    pub plugins: Vec<Rc<Package>>,
    /// The names in that script and of these accounts, once asked for.
    words: OnceCell<BTreeSet<Vec<u8>>>,
    /// The absolute paths in that script, once asked for.
    paths: OnceCell<BTreeSet<Vec<u8>>>,
    /// The lines of its configuration that name something in /var, once asked for.
    configuration: OnceCell<Vec<Vec<u8>>>,
}

impl Package {
    /// What is known of an installed package, the names of its units, and whether it has a shared object.
    fn read(installed: &Installed<'_>, quirks: Quirks) -> (Self, Vec<String>, bool) {
        let customs = Customs::of(installed.manager());
        let quirks = match installed.manager() {
            Manager::Dpkg => quirks,
            Manager::Rpm => Quirks::Ignored,
        };
        let (mut var, mut etc) = (Vec::new(), Vec::new());
        let (mut units, mut is_plugin) = (Vec::new(), false);
        installed.entries(&mut |Owned { path, attributes }| {
            // What is only known of is made by programs, which do without it at first.
            let is_there = attributes.is_none_or(|file| file.is_installed);
            let is_any = |tops: &[&[u8]]| tops.iter().any(|top| path.starts_with(top));
            if path.starts_with(b"/var/") && !is_shared(path) {
                let is_its = is_there && !customs.shared.contains(path);
                if is_its && var.len() < MAX_ENTRIES {
                    var.push(path.to_vec());
                }
            } else if path.starts_with(b"/etc/") {
                let is_own = !is_any(&OF_OTHERS) && !is_any(customs.of_others);
                if is_own && etc.len() < MAX_ENTRIES {
                    etc.push(path.to_vec());
                }
            } else if let Some(unit) = unit_of(path) {
                units.push(unit.to_owned());
            } else {
                let is_link = attributes.is_some_and(|file| file.kind == Kind::Symlink);
                is_plugin |= is_any(customs.libraries) && path.ends_with(b".so") && !is_link;
            }
        });
        let needed = quirks.indispensable(installed.name()).map(<[u8]>::to_vec);
        let others: Vec<Vec<u8>> = needed.filter(|path| !var.contains(path)).collect();
        var.extend(others);
        let accounts = installed.accounts().into_iter();
        let accounts = accounts.map(|(Account::User(name) | Account::Group(name))| name.to_vec());
        let package = Self {
            name: installed.name().to_owned(),
            var,
            etc,
            script: installed.script(),
            accounts: accounts.collect(),
            quirks,
            plugins: Vec::new(),
            words: OnceCell::new(),
            paths: OnceCell::new(),
            configuration: OnceCell::new(),
        };
        (package, units, is_plugin)
    }

    /// Bytes that it takes in memory, without what is read once it is asked for.
    fn size(&self) -> usize {
        let script = match &self.script {
            Script::At(text) => text.len(),
            Script::Text(text) => text.len(),
        };
        let texts = self.var.iter().chain(&self.etc).chain(&self.accounts);
        script
            + texts
                .map(|text| text.len() + size_of::<Vec<u8>>())
                .sum::<usize>()
    }

    /// The users of /etc/passwd that its installation makes and its services need: whom its script names.
    pub(crate) fn users<'a>(&self, image: &'a Image<'_>) -> Vec<User<'a>> {
        let words = self.words(image);
        let users = image.users().map(|(_, user)| user);
        let is_optional = |user: &User<'_>| self.quirks.is_optional_user(&self.name, user.name);
        users
            .filter(|user| words.contains(user.name) && !is_optional(user))
            .collect()
    }

    /// The groups of /etc/group that its installation makes and its configuration names, but those of its users.
    pub(crate) fn configured_groups<'a>(&self, image: &'a Image<'_>) -> Vec<&'a [u8]> {
        let words = self.words(image);
        let names = image.groups().map(|(_, group)| group.name);
        let is_users = |name: &[u8]| image.users().any(|(_, user)| user.name == name);
        let made: Vec<&[u8]> = names
            .filter(|name| words.contains(*name) && !is_users(name))
            .collect();
        if made.is_empty() {
            return made;
        }
        let mut configured = BTreeSet::new();
        for path in &self.etc {
            let path = String::from_utf8_lossy(path);
            let text = text_of(image, path.trim_start_matches('/'));
            for line in uncommented(&text) {
                configured.extend(
                    words_of(line)
                        .filter(|word| made.contains(word))
                        .map(<[u8]>::to_vec),
                );
            }
        }
        made.into_iter()
            .filter(|name| configured.contains(*name))
            .collect()
    }

    /// Whether its configuration names an account.
    pub(crate) fn configures_account(&self, image: &Image<'_>, account: &[u8]) -> bool {
        self.etc.iter().any(|path| {
            let path = String::from_utf8_lossy(path);
            let text = text_of(image, path.trim_start_matches('/'));
            names_account(&text, account)
        })
    }

    /// Whether what runs at its installation names a directory.
    pub(crate) fn installs_with(&self, image: &Image<'_>, directory: &[u8]) -> bool {
        self.paths(image).contains(directory)
    }

    /// What of /var the script names that runs at its installation, and the package does not bring itself.
    pub(crate) fn made_by_script(&self, image: &Image<'_>) -> BTreeSet<Vec<u8>> {
        let paths = self.paths(image).iter();
        let of_var = paths.filter(|path| path.starts_with(b"/var/") && !is_shared(path));
        let of_others = of_var.filter(|path| !self.var.contains(path));
        of_others.cloned().collect()
    }

    fn paths(&self, image: &Image<'_>) -> &BTreeSet<Vec<u8>> {
        let read = || paths_in(&self.script(image)).map(<[u8]>::to_vec).collect();
        self.paths.get_or_init(read)
    }

    fn script(&self, image: &Image<'_>) -> Cow<'_, [u8]> {
        match &self.script {
            Script::At(path) => Cow::Owned(text_of(image, path)),
            Script::Text(text) => Cow::Borrowed(&**text),
        }
    }

    /// The words of what runs at its installation, and the accounts that it asks for.
    fn words(&self, image: &Image<'_>) -> &BTreeSet<Vec<u8>> {
        self.words.get_or_init(|| {
            let script = self.script(image);
            let words = uncommented(&script).flat_map(words_of);
            let accounts = self.accounts.iter().cloned();
            words.map(<[u8]>::to_vec).chain(accounts).collect()
        })
    }

    /// Whether its programs are known to use a directory, or told to: a configuration file names it or, of logs,
    /// something in it, which is opened at the start; or a file of its configuration is a link into it.
    pub(crate) fn configures(&self, image: &Image<'_>, directory: &[u8]) -> bool {
        if self.quirks.is_dispensable(&self.name, directory) {
            return false;
        }
        if self.quirks.is_indispensable(&self.name, directory) {
            return true;
        }
        let lines = self.configuration.get_or_init(|| {
            let mut lines = Vec::new();
            for path in &self.etc {
                let path = String::from_utf8_lossy(path);
                let text = text_of(image, path.trim_start_matches('/'));
                let of_var = |line: &&[u8]| line.windows(5).any(|part| part == b"/var/");
                let found = uncommented(&text).filter(of_var).map(<[u8]>::to_vec);
                lines.extend(found.take(MAX_ENTRIES));
            }
            let linked = self.etc.iter().flat_map(|path| linked_from(image, path));
            lines.extend(linked.take(MAX_ENTRIES));
            lines
        });
        let is_of_logs = directory.starts_with(b"/var/log/");
        let inside = [directory, b"/"].concat();
        let is_told = |line: &Vec<u8>| {
            names_directory(line, directory)
                || (is_of_logs && line.windows(inside.len()).any(|part| part == inside))
        };
        lines.iter().any(is_told)
    }
}

/// The words of a script, without a slash at their ends.
fn paths_in(script: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words =
        uncommented(script).flat_map(|line| line.split(|byte| b" \t\"'=:;()&|<>".contains(byte)));
    words.map(|word| word.strip_suffix(b"/").unwrap_or(word))
}

/// The directories of /var that links in a directory of /etc lead into.
fn linked_from(image: &Image<'_>, directory: &[u8]) -> Vec<Vec<u8>> {
    let directory = directory.strip_prefix(b"/").unwrap_or(directory);
    let names = image.tree.names(directory).unwrap_or_default();
    let targets = names.iter().filter_map(|name| {
        let link = [directory, b"/", name].concat();
        let target = image.tree.target(&link).ok()??;
        let end = target.iter().rposition(|&byte| byte == b'/')?;
        target.starts_with(b"/var/").then(|| target[..end].to_vec())
    });
    targets.collect()
}

/// The directories of /var that a script names, but those that it makes.
pub(crate) fn named_by_script(script: &[u8]) -> BTreeSet<Vec<u8>> {
    let (mut named, mut made) = (BTreeSet::new(), BTreeSet::new());
    for line in uncommented(script) {
        let makes = [&b"mkdir"[..], b"install "].iter().any(|maker| {
            let mut windows = line.windows(maker.len());
            windows.any(|word| word == *maker)
        });
        for (start, _) in line
            .windows(5)
            .enumerate()
            .filter(|(_, part)| part == b"/var/")
        {
            // `/run/x/var/y` is another directory.
            let before = start.checked_sub(1).map(|before| line[before]);
            if before.is_some_and(|byte| is_of_name(byte) || byte == b'}') {
                continue;
            }
            let path = line[start..]
                .split(|byte| *byte != b'/' && !is_of_name(*byte))
                .next();
            let path = path.unwrap_or_default();
            let path = path.strip_suffix(b"/").unwrap_or(path).to_vec();
            if makes {
                made.insert(path)
            } else {
                named.insert(path)
            };
        }
    }
    named.retain(|path| !made.contains(path) && !is_shared(path));
    named
}

/// Whether a script or a configuration names an account: as a word, not as a part of a path or of a file's name.
pub(crate) fn names_account(text: &[u8], account: &[u8]) -> bool {
    let is_of_word = |byte: &u8| is_of_name(*byte) || *byte == b'/';
    uncommented(text).any(|line| {
        let mut words = line.split(|byte| !is_of_word(byte));
        words.any(|word| word == account)
    })
}

/// The scripts that a shell script takes in (`. /usr/lib/acme/common.sh`), where it names them whole.
pub(crate) fn taken_in(script: &[u8]) -> Vec<Vec<u8>> {
    let places = uncommented(script).filter_map(|line| {
        let rest = line
            .strip_prefix(b". ")
            .or_else(|| line.strip_prefix(b"source "))?;
        let path = rest.trim_ascii().split(u8::is_ascii_whitespace).next()?;
        let path = path.strip_prefix(b"\"").unwrap_or(path);
        let path = path.strip_suffix(b"\"").unwrap_or(path);
        path.starts_with(b"/").then(|| path.to_vec())
    });
    places.collect()
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.+@".contains(&byte)
}

fn words_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    line.split(move |byte| !is_name(byte))
}

/// The content of a small file; nothing of a directory or anything else.
fn text_of(image: &Image<'_>, path: &str) -> Vec<u8> {
    let content = image.tree.read(path.as_bytes(), MAX_TEXT_BYTES);
    content.ok().flatten().unwrap_or_default()
}

fn uncommented(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.starts_with(b"#") && !line.starts_with(b"//"))
}

fn names_directory(line: &[u8], directory: &[u8]) -> bool {
    let mut windows = line.windows(directory.len()).enumerate();
    windows.any(|(start, window)| {
        let mut after = &line[start + window.len()..];
        after = after.strip_prefix(b"/").unwrap_or(after);
        window == directory
            && after
                .first()
                .is_none_or(|byte| b" \t\"';,)$".contains(byte))
    })
}

/// The packages that have units, by the file names of those.
pub(crate) fn by_unit(image: &Image<'_>) -> BTreeMap<String, Rc<Package>> {
    let (mut with_units, mut plugins) = (Vec::new(), Vec::new());
    let mut room = MAX_KEPT_BYTES;
    let unread = PackageDb::of(image.tree).each(&mut |installed| {
        let (package, units, is_plugin) = Package::read(installed, image.quirks);
        if units.is_empty() && !is_plugin {
            return;
        }
        let Some(left) = room.checked_sub(package.size()) else {
            room = 0;
            return;
        };
        room = left;
        if units.is_empty() {
            plugins.push(Rc::new(package));
        } else {
            with_units.push((package, units));
        }
    });
    for unread in unread {
        match &unread {
            Unread::Broken { path, error } => image.unreadable(path, error),
            Unread::Format { path, .. } | Unread::Manager { path, .. } => {
                image.note(input_unreadable::other_format(path, unread.to_string()));
            }
        }
    }
    let mut packages = BTreeMap::new();
    for (mut package, units) in with_units {
        let is_its = |plugin: &&Rc<Package>| {
            let rest = plugin.name.strip_prefix(&package.name);
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        package.plugins = plugins.iter().filter(is_its).cloned().collect();
        let package = Rc::new(package);
        // Of a unit that both managers know, dpkg's package counts: it comes last.
        for unit in units {
            packages.insert(unit, Rc::clone(&package));
        }
    }
    packages
}

/// Whether a path is of a directory that packages of a manager name only as a parent.
pub fn is_of_nobody(manager: Manager, path: &[u8]) -> bool {
    SHARED.contains(&path) || Customs::of(manager).shared.contains(&path)
}

fn is_shared(path: &[u8]) -> bool {
    SHARED.contains(&path) || NO_STATE.iter().any(|top| path.starts_with(top))
}

fn unit_of(line: &[u8]) -> Option<&str> {
    let line = line.strip_prefix(b"/usr").unwrap_or(line);
    let name = line.strip_prefix(b"/lib/systemd/system/")?;
    str::from_utf8(name).ok().filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests;
