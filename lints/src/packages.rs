//! What Debian's package database says of units and of /var: which package a unit is of, which
//! entries of /var the package brings and what it configures (dpkg's `info/NAME.list`), and which
//! accounts its installation makes (`info/NAME.postinst`).

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::Image;
use crate::model::passwd::User;

/// Where the lists are; ostree systems keep them out of /var.
const INFO: [&str; 2] = ["usr/lib/sysimage/dpkg/info", "var/lib/dpkg/info"];

/// Bytes of a list at most; the largest, of kernels and icon themes, have less.
const MAX_LIST_BYTES: u64 = 8 << 20;

/// Entries of /var of one package at most.
const MAX_ENTRIES: usize = 1000;

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

/// Bytes of a script or a configuration file at most.
const MAX_TEXT_BYTES: u64 = 256 << 10;

/// A package that has units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its name without the architecture.
    pub name: String,
    /// Its entries of /var but those that all packages share, absolute, parents first.
    pub var: Vec<Vec<u8>>,
    /// Its entries of /etc, absolute.
    etc: Vec<Vec<u8>>,
    /// The path of the script that runs after its installation.
    script: String,
    /// Those that its daemons load something of: they have no unit, a shared object, and a name that begins with its
    /// own, as libvirt-daemon-driver-qemu.
    pub plugins: Vec<Rc<Package>>,
    /// The names in that script, once asked for.
    words: OnceCell<BTreeSet<Vec<u8>>>,
    /// The lines of its configuration that name something in /var, once asked for.
    configuration: OnceCell<Vec<Vec<u8>>>,
}

impl Package {
    /// The users of /etc/passwd that its installation makes and its services need: whom its script names.
    pub(crate) fn users<'a>(&self, image: &'a Image<'_>) -> Vec<User<'a>> {
        let words = self.words(image);
        let users = image.users().map(|(_, user)| user);
        let is_optional = |user: &User<'_>| image.quirks.is_optional_user(&self.name, user.name);
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

    /// The words of the script that runs after its installation.
    fn words(&self, image: &Image<'_>) -> &BTreeSet<Vec<u8>> {
        self.words.get_or_init(|| {
            let script = text_of(image, &self.script);
            let words = uncommented(&script).flat_map(words_of);
            words.map(<[u8]>::to_vec).collect()
        })
    }

    /// Whether its programs are known to use a directory, or told to: a configuration file names it or, of logs,
    /// something in it, which is opened at the start.
    pub(crate) fn configures(&self, image: &Image<'_>, directory: &[u8]) -> bool {
        if image.quirks.is_dispensable(&self.name, directory) {
            return false;
        }
        if image.quirks.is_indispensable(&self.name, directory) {
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
    let mut packages = BTreeMap::new();
    let Some(info) = INFO.into_iter().find(|path| image.exists(path)) else {
        return packages;
    };
    let (mut with_units, mut plugins) = (Vec::new(), Vec::new());
    for file in image.names(info) {
        let Some(name) = file.strip_suffix(".list") else {
            continue;
        };
        let path = format!("{info}/{file}");
        let list = match image.tree.read(path.as_bytes(), MAX_LIST_BYTES) {
            Ok(list) => list.unwrap_or_default(),
            Err(error) => {
                image.unreadable(&path, &error);
                continue;
            }
        };
        let (mut units, mut is_plugin) = (Vec::new(), false);
        let mut package = Package::default();
        for line in list.split(|&byte| byte == b'\n') {
            if line.starts_with(b"/var/") && !is_shared(line) {
                if package.var.len() < MAX_ENTRIES {
                    package.var.push(line.to_vec());
                }
            } else if line.starts_with(b"/etc/") {
                let is_own = !OF_OTHERS.iter().any(|top| line.starts_with(top));
                if is_own && package.etc.len() < MAX_ENTRIES {
                    package.etc.push(line.to_vec());
                }
            } else if let Some(unit) = unit_of(line) {
                units.push(unit.to_owned());
            } else {
                is_plugin |= line.starts_with(b"/usr/lib/") && line.ends_with(b".so");
            }
        }
        package.script = format!("{info}/{name}.postinst");
        let name = name.split(':').next().unwrap_or(name);
        name.clone_into(&mut package.name);
        let needed = image.quirks.indispensable(name).map(<[u8]>::to_vec);
        let others = needed.filter(|directory| !package.var.contains(directory));
        let others: Vec<Vec<u8>> = others.collect();
        package.var.extend(others);
        if !units.is_empty() {
            with_units.push((package, units));
        } else if is_plugin {
            plugins.push(Rc::new(package));
        }
    }
    for (mut package, units) in with_units {
        let is_its = |plugin: &&Rc<Package>| {
            let rest = plugin.name.strip_prefix(&package.name);
            rest.is_some_and(|rest| rest.starts_with('-'))
        };
        package.plugins = plugins.iter().filter(is_its).cloned().collect();
        let package = Rc::new(package);
        for unit in units {
            packages.insert(unit, Rc::clone(&package));
        }
    }
    packages
}

fn is_shared(path: &[u8]) -> bool {
    SHARED.contains(&path) || NO_STATE.iter().any(|top| path.starts_with(top))
}

fn unit_of(line: &[u8]) -> Option<&str> {
    let line = line.strip_prefix(b"/usr").unwrap_or(line);
    let name = line.strip_prefix(b"/lib/systemd/system/")?;
    str::from_utf8(name).ok().filter(|name| !name.contains('/'))
}
