//! The machine that boots an image for the first time, as far as files decide it: which accounts it
//! has once systemd-sysusers has run, and which paths once systemd-tmpfiles has.

pub mod accounts;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use self::accounts::Accounts;
use crate::Image;
use crate::model::tmpfiles::Line;
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

/// What a path leads to on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
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
#[derive(Clone)]
enum Step {
    Missing,
    Unknown,
    Directory,
    Link(Vec<u8>),
    File(Option<(Vec<u8>, Meta)>),
}

/// A machine at the end of systemd-tmpfiles-setup.service, or before it.
pub struct Machine<'a> {
    image: &'a Image<'a>,
    history: History,
    /// Its accounts.
    pub accounts: &'a Accounts,
    made: BTreeMap<Vec<u8>, Made>,
    mounts: Vec<Vec<u8>>,
    /// What the image has at paths that were asked for: each path is walked from the top, and most begin alike.
    looked: RefCell<HashMap<Vec<u8>, Step>>,
}

/// Paths that are remembered, at most.
const MAX_LOOKED: usize = 10_000;

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
        let mut machine = Self::installed(image, history);
        let usable = |line: &Line| machine.accounts.has_owners_of(line);
        for line in image.tmpfiles().makers(usable) {
            machine.make(line);
        }
        machine.make_directories_of_units();
        machine
    }

    /// Boots a machine that was installed with the image, until before systemd-tmpfiles-setup.service: of /var it has
    /// what the image has there.
    pub fn before_tmpfiles(image: &'a Image<'a>) -> Self {
        let mut machine = Self::installed(image, History::Fresh);
        machine.make_directories_of_units();
        machine
    }

    fn installed(image: &'a Image<'a>, history: History) -> Self {
        Self {
            image,
            history,
            accounts: image.accounts(history),
            made: BTreeMap::new(),
            mounts: mounts(image),
            looked: RefCell::default(),
        }
    }

    fn make_directories_of_units(&mut self) {
        for (unit, start) in self.image.units().starting() {
            if start != Start::AtBoot {
                continue;
            }
            for (key, parent) in DIRECTORIES {
                for (_, word) in unit.words(key) {
                    // `NAME:LINK` makes a link as well; that one is not modelled.
                    let name = word.split(|&byte| byte == b':').next().unwrap_or_default();
                    let path = [parent.as_bytes(), b"/", name].concat();
                    self.make_directories(&path);
                }
            }
        }
    }

    /// What a path leads to, links followed.
    pub fn place(&self, path: &[u8]) -> Resolved {
        let (at, rest, last) = self.walk(path);
        match last {
            Step::Unknown | Step::Link(_) => Resolved::Unknown,
            Step::Missing => {
                let whole = [&at[..], b"/", &rest.join(&b'/')].concat();
                let named = parts(path).collect::<Vec<_>>().join(&b'/');
                let below = |mount: &Vec<u8>| {
                    is_at_or_below(&whole, mount) || is_at_or_below(&named, mount)
                };
                if self.mounts.iter().any(below) {
                    Resolved::Unknown
                } else {
                    Resolved::Missing
                }
            }
            Step::Directory => Resolved::Directory,
            Step::File(file) if rest.is_empty() => Resolved::File(file),
            Step::File(_) => Resolved::Missing,
        }
    }

    /// Whether a path leads to nothing, for certain.
    pub fn lacks(&self, path: &[u8]) -> bool {
        self.place(path) == Resolved::Missing
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

    /// What the image has at a path once it is imported.
    fn in_image(&self, path: &[u8]) -> Step {
        if let Some(step) = self.looked.borrow().get(path) {
            return step.clone();
        }
        let step = self.look(path);
        let mut looked = self.looked.borrow_mut();
        if looked.len() < MAX_LOOKED {
            looked.insert(path.to_vec(), step.clone());
        }
        step
    }

    fn look(&self, path: &[u8]) -> Step {
        let tree = self.image.tree;
        let top = path.split(|&byte| byte == b'/').next().unwrap_or_default();
        if self
            .image
            .dropped_top_level()
            .iter()
            .any(|name| name == top)
        {
            return Step::Missing;
        }
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
