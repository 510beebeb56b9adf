//! What boot makes below /var: the image's tmpfiles.d and the names of its accounts, as lines that
//! hold on this image.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    ops::Bound,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::model::{
    acl::{self, Account, Lists, Said},
    tmpfiles::{Config, DIRECTORIES, FACTORY, Line, Owner, Snippet},
};
use rustix::fd::AsFd as _;

use crate::{
    handle::{directory_in_root, read_in_root, read_listed, sorted_names},
    paths::single_path,
    place::NewOwner,
    rootfs::Rootfs,
    snippets::is_own,
};

/// As much of a file as is read.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// Names and numbers of the image's accounts.
#[derive(Debug, Default)]
pub(super) struct Names {
    users: Vec<(Vec<u8>, u32)>,
    groups: Vec<(Vec<u8>, u32)>,
}

impl Names {
    pub(super) fn read(rootfs: &Rootfs) -> Self {
        let table = |path: &str| {
            let mut content = read(rootfs, path);
            // Where nss-altfiles has the base's accounts.
            content.push(b'\n');
            content.extend(read(rootfs, path.replace("etc/", "usr/lib/")));
            ids(&content)
        };
        Self {
            users: table("etc/passwd"),
            groups: table("etc/group"),
        }
    }

    /// A user as a line names it: by name where the image has one, so that the machine's own user
    /// with this number gets nothing.
    pub(super) fn user(&self, uid: u32) -> Owner {
        named(&self.users, uid)
    }

    /// A group as a line names it.
    pub(super) fn group(&self, gid: u32) -> Owner {
        named(&self.groups, gid)
    }

    /// Who owns what a line makes; none when it names somebody unknown, as systemd then skips it.
    pub(super) fn owner_of(&self, line: &Line) -> Option<NewOwner> {
        let id = |account, owner: &Option<Owner>| match owner {
            None => Some(None),
            Some(owner) => self.id(owner, account).map(Some),
        };
        Some(NewOwner {
            uid: id(Account::User, &line.user)?,
            gid: id(Account::Group, &line.group)?,
        })
    }

    fn id(&self, owner: &Owner, account: Account) -> Option<u32> {
        let table = match account {
            Account::User => &self.users,
            Account::Group => &self.groups,
        };
        number(table, owner)
    }
}

fn read(rootfs: &Rootfs, path: impl AsRef<OsStr>) -> Vec<u8> {
    read_in_root(rootfs.as_fd(), path.as_ref(), MAX_FILE_BYTES).unwrap_or_default()
}

fn ids(content: &[u8]) -> Vec<(Vec<u8>, u32)> {
    let account = |line: &[u8]| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?.to_vec();
        let id = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
        Some((name, id))
    };
    content
        .split(|&byte| byte == b'\n')
        .filter_map(account)
        .collect()
}

fn number(table: &[(Vec<u8>, u32)], owner: &Owner) -> Option<u32> {
    match owner {
        Owner::Id(id) => Some(*id),
        // Known to systemd in an image without accounts, too.
        Owner::Name(name) if name == b"root" => Some(0),
        Owner::Name(name) => {
            let known = table.iter().find(|(known, _)| known == name);
            known.map(|(_, id)| *id)
        }
    }
}

fn named(table: &[(Vec<u8>, u32)], id: u32) -> Owner {
    if id == 0 {
        return Owner::Name(b"root".to_vec());
    }
    let known = table.iter().find(|(_, known)| *known == id);
    let name = known.map(|(name, _)| Owner::Name(name.clone()));
    // Of two accounts with one name the first counts.
    name.filter(|owner| number(table, owner) == Some(id))
        .unwrap_or(Owner::Id(id))
}

/// What boot does below /var.
#[derive(Debug, Default)]
pub(super) struct Boot {
    pub(super) names: Names,
    /// The lines that make something, by path relative to the root: a directory's stands before
    /// those of what is in it.
    pub(super) lines: BTreeMap<PathBuf, Line>,
    /// Those of them that copy something (`C`): few, and asked for each entry and all above it.
    copied: BTreeSet<PathBuf>,
    /// The `z` lines of a single path each, in the order in which systemd reads them.
    pub(super) owners: Vec<(PathBuf, Line)>,
    /// The `a` lines of a single path each, by path, in the order in which systemd reads them.
    pub(super) lists: BTreeMap<PathBuf, Vec<ListLine>>,
}

/// A line about the access control lists of a path.
#[derive(Debug)]
pub(super) struct ListLine {
    said: Vec<Said>,
    /// Whether it adds to the lists that are there.
    is_added: bool,
    is_own: bool,
}

impl Boot {
    pub(super) fn read(rootfs: &Rootfs) -> Self {
        Self::of(&Config::read(&snippets(rootfs)), Names::read(rootfs))
    }

    pub(super) fn of(config: &Config, names: Names) -> Self {
        let is_usable = |line: &Line| names.owner_of(line).is_some();
        let makers = config.makers(is_usable).into_iter();
        let lines: BTreeMap<PathBuf, Line> = makers
            .filter_map(|line| Some((relative(&line.path)?, line.clone())))
            .collect();
        let copied = lines.iter().filter(|(_, line)| line.kind == b'C');
        let copied = copied.map(|(path, _)| path.clone()).collect();
        let owners = (config.lines.iter())
            .filter(|line| line.kind == b'z' && is_usable(line))
            .filter_map(|line| Some((relative(&single_path(&line.path)?)?, line.clone())))
            .collect();
        let mut lists: BTreeMap<PathBuf, Vec<ListLine>> = BTreeMap::new();
        for line in config.lines.iter().filter(|line| line.kind == b'a') {
            let path = single_path(&line.path).and_then(|path| relative(&path));
            let said = line.argument.as_deref().and_then(acl::said);
            if let (Some(path), Some(said)) = (path, said) {
                lists.entry(path).or_default().push(ListLine {
                    said,
                    is_added: line.modifiers.contains(&b'+'),
                    is_own: is_own(&line.file),
                });
            }
        }
        Self {
            names,
            lines,
            copied,
            owners,
            lists,
        }
    }

    /// The lists that lines give to an entry with some already, by its permission bits and whether it is a
    /// directory.
    pub(super) fn lists_of(
        &self,
        path: &Path,
        lists: Lists,
        entry: (u32, bool),
        counts: impl Fn(&ListLine) -> bool,
    ) -> Lists {
        let lines = self.lists.get(path).into_iter().flatten();
        let id = |owner: &Owner, account| self.names.id(owner, account);
        lines
            .filter(|line| counts(line))
            .fold(lists, |lists, line| {
                let after = lists.after(&line.said, line.is_added, entry, id);
                after.unwrap_or(lists)
            })
    }

    /// The line of a path itself, when it is one of ours.
    pub(super) fn own_line(&self, path: &Path) -> Option<&Line> {
        self.lines.get(path).filter(|line| is_own(&line.file))
    }

    /// The line of a path itself, when it is not one of ours.
    pub(super) fn line_of_others(&self, path: &Path) -> Option<&Line> {
        self.lines.get(path).filter(|line| !is_own(&line.file))
    }

    /// The nearest path at or above one that a `C` line fills, and this line.
    pub(super) fn copy_above<'p>(&self, path: &'p Path) -> Option<(&'p Path, &Line)> {
        if self.copied.is_empty() {
            return None;
        }
        let above = path
            .ancestors()
            .find(|above| self.copied.contains(*above))?;
        Some((above, self.lines.get(above)?))
    }

    /// Whether boot makes a directory on its way to something in it.
    pub(super) fn is_on_a_way(&self, path: &Path) -> bool {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let mut after = self.lines.range::<Path, _>(after);
        after
            .next()
            .is_some_and(|(below, _)| below.starts_with(path))
    }
}

impl ListLine {
    pub(super) fn is_of_others(&self) -> bool {
        !self.is_own
    }
}

/// A line's path relative to the root, when it is below /var.
pub(super) fn relative(path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    let path = path.strip_prefix("/").ok()?;
    (path.starts_with("var") && path != Path::new("var")).then(|| path.to_owned())
}

fn snippets(rootfs: &Rootfs) -> Vec<Snippet> {
    let root = rootfs.as_fd();
    let mut snippets = Vec::new();
    for (directory, path) in DIRECTORIES.into_iter().enumerate() {
        let path = Path::new(path);
        let Some(opened) = directory_in_root(root, path) else {
            continue;
        };
        for name in sorted_names(opened.as_fd()).unwrap_or_default() {
            let content = read_listed(root, path, opened.as_fd(), &name, MAX_FILE_BYTES);
            snippets.push(Snippet {
                directory,
                name: name.as_bytes().to_vec(),
                // What cannot be read, such as a link to /dev/null without /dev, says nothing.
                content: about_var(&content.unwrap_or_default()),
            });
        }
    }
    snippets
}

/// The lines that may be about /var, the others empty: few are, and reading a line costs more than to see that.
fn about_var(content: &[u8]) -> Vec<u8> {
    let may_be = |line: &&[u8]| {
        // Written out, by a specifier or by an escape.
        let names = || line.windows(3).any(|word| word == b"var");
        let expands = || line.iter().any(|byte| b"%\\".contains(byte));
        !line.starts_with(b"#") && (names() || expands())
    };
    let lines = content.split(|&byte| byte == b'\n');
    let lines = lines.map(|line| if may_be(&line) { line } else { b"" });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// The permission bits that a line gives to a file or directory that it creates.
pub(super) fn mode_of(line: &Line, is_directory: bool) -> Option<u32> {
    let mode = line.mode?;
    Some(mode.applied_to(mode.bits, is_directory))
}

/// Where a `C` line copies from, relative to the root.
pub(super) fn copy_source(line: &Line) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(&line.copy_source()))
}

/// The factory copy of a path that is relative to the root.
pub(super) fn factory_of(path: &Path) -> PathBuf {
    Path::new(FACTORY).join(path)
}

/// Where a link points to that an `L` line makes.
pub(super) fn link_target(line: &Line) -> Vec<u8> {
    let default = || [b"/usr/share/factory", &line.path[..]].concat();
    line.argument.clone().unwrap_or_else(default)
}
