//! What package databases say of the packages that a RUN installed: what they own is not all in the root, where a mount
//! hides it or the same command takes it away.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    ops::Bound,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use osderive_lints::{
    model::tmpfiles::Owner,
    packages::{Attributes, Manager, Moment, PackageDb, RPM_PLACES, is_of_nobody},
    tree::{Kind, Tree},
};
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat},
    io::Errno,
};

use crate::{opt::area, rootfs::Rootfs, step_start::StepStart};

/// Entries of packages that are looked at, at most.
const MAX_ENTRIES: usize = 20_000;

/// Files that are told of, at most.
const MAX_MISSING: usize = 1_000;

/// What changes with each package that comes or goes: rpm's database, whose log is written first, and dpkg's.
const OF_RPM: [&str; 2] = ["rpmdb.sqlite", "rpmdb.sqlite-wal"];
const OF_DPKG: [&str; 2] = ["usr/lib/sysimage/dpkg/status", "var/lib/dpkg/status"];

/// As a system that runs on the root resolves paths.
const WITH_MOUNTS: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// The same, but for what mounts are on the way.
const INSIDE: ResolveFlags = WITH_MOUNTS.union(ResolveFlags::NO_XDEV);

/// A handle that only looks.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Directories in which many have their own, besides those right in /usr/local.
const OF_MANY: [&str; 2] = ["opt", "usr/local"];

/// What packages own there is looked at.
const TOPS: [&[u8]; 3] = [b"/opt", b"/usr/local", b"/var"];

/// An entry as a package has it. dpkg does not know what its entries are: what stands there in a mount is one as the
/// package's installation left it, and of others nothing is known but whether something is below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) package: String,
    /// As the package names it, relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) metadata: Option<Metadata>,
}

/// Whose an entry is and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) user: Owner,
    pub(crate) group: Owner,
    /// Where a link leads.
    pub(crate) target: Option<Vec<u8>>,
}

/// The moment before a command; none where the root cannot be looked at.
pub(crate) fn now(rootfs: &Rootfs) -> Option<Moment> {
    let tree = rootfs.tree().ok()?;
    Some(PackageDb::of(&tree).now())
}

/// What packages own in /opt, /usr/local and /var that were installed since a moment: what they have put there, each as its
/// own. What cannot be read tells nothing.
pub(crate) fn installed_since(rootfs: &Rootfs, then: Moment, start: StepStart) -> Vec<Entry> {
    let mut entries = Vec::new();
    // Most steps install nothing: their databases are not opened.
    if !have_changed(rootfs, start.checked()) {
        return entries;
    }
    let Ok(tree) = rootfs.tree() else {
        return entries;
    };
    let has_new = (OF_DPKG.iter()).any(|path| is_of_step(rootfs, start, Path::new(path)));
    let is_new_list = |path: &str| has_new && is_of_step(rootfs, start, Path::new(path));
    PackageDb::of(&tree).since(then, &is_new_list, &mut |installed| {
        let package = installed.name();
        // Of dpkg's package, parents before what is in them.
        let mut listed = BTreeSet::new();
        installed.entries(&mut |owned| {
            let path = its_own(installed.manager(), owned.path);
            let Some(path) = path.filter(|_| entries.len() + listed.len() < MAX_ENTRIES) else {
                return;
            };
            if let Some(attributes) = owned.attributes {
                entries.extend(entry(package, path, &attributes));
            } else {
                listed.insert(path);
            }
        });
        for path in &listed {
            let after = (Bound::Excluded(path), Bound::Unbounded);
            let next = listed.range::<PathBuf, _>(after).next();
            let has_more = next.is_some_and(|next| next.starts_with(path));
            entries.push(in_a_mount(rootfs, package, path).unwrap_or_else(|| Entry {
                package: package.to_owned(),
                path: path.clone(),
                kind: if has_more {
                    Kind::Directory
                } else {
                    Kind::File
                },
                metadata: None,
            }));
        }
    });
    entries
}

fn entry(package: &str, path: PathBuf, attributes: &Attributes<'_>) -> Option<Entry> {
    attributes.is_installed.then(|| Entry {
        package: package.to_owned(),
        path,
        kind: attributes.kind,
        metadata: Some(Metadata {
            mode: attributes.mode,
            user: Owner::Name(attributes.user.to_vec()),
            group: Owner::Name(attributes.group.to_vec()),
            target: attributes.target.map(<[u8]>::to_vec),
        }),
    })
}

/// An entry that a mount hides, as it stands there.
fn in_a_mount(rootfs: &Rootfs, package: &str, path: &Path) -> Option<Entry> {
    if find(rootfs, path) != Found::Hidden {
        return None;
    }
    let file = openat2(rootfs, path, LOOK, Mode::empty(), WITH_MOUNTS).ok()?;
    let found = fstat(&file).ok()?;
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::RegularFile => Kind::File,
        _ => return None,
    };
    let target = match kind {
        Kind::Symlink => Some(readlinkat(&file, "", Vec::new()).ok()?.into_bytes()),
        _ => None,
    };
    Some(Entry {
        package: package.to_owned(),
        path: path.to_owned(),
        kind,
        metadata: Some(Metadata {
            mode: found.st_mode & 0o7777,
            user: Owner::Id(found.st_uid),
            group: Owner::Id(found.st_gid),
            target,
        }),
    })
}

/// The path of what a package has for itself in a directory that is looked at.
fn its_own(manager: Manager, path: &[u8]) -> Option<PathBuf> {
    let is_below = |top: &&[u8]| {
        let rest = path.strip_prefix(*top);
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let is_its_own = TOPS.iter().any(is_below) && !is_of_nobody(manager, path);
    is_its_own.then(|| relative(path))?
}

/// An absolute path without `..` as one that is relative to the root.
fn relative(path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    let path = path.strip_prefix("/").ok()?;
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    is_plain.then(|| path.components().collect())
}

/// Whether a step changed a package database.
pub(crate) fn have_changed(rootfs: &Rootfs, start: StepStart) -> bool {
    let of_rpm = RPM_PLACES
        .iter()
        .flat_map(|place| OF_RPM.map(|name| Path::new(place).join(name)));
    let mut databases = of_rpm.chain(OF_DPKG.map(PathBuf::from));
    databases.any(|path| is_of_step(rootfs, start, &path))
}

/// Whether a step changed what a path leads to.
fn is_of_step(rootfs: &Rootfs, start: StepStart, path: &Path) -> bool {
    let changed = rootfs.changed(path);
    changed.is_some_and(|changed| start.is_since(changed))
}

/// Of absolute paths those at and below which no package owns anything, dpkg's and rpm's; none of them where a database
/// cannot be read.
pub(crate) fn unowned(rootfs: &Rootfs, paths: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let tops: Vec<PathBuf> = paths.iter().cloned().collect();
    let mut unowned = paths;
    let Ok(tree) = rootfs.tree() else {
        return BTreeSet::new();
    };
    let tops: Vec<&[u8]> = tops
        .iter()
        .map(|path| path.as_os_str().as_bytes())
        .collect();
    let unread = PackageDb::of(&tree).owned(&tops, &mut |_, owned| {
        let owned = Path::new(OsStr::from_bytes(owned.path));
        unowned.retain(|path| !owned.starts_with(path));
    });
    if unread.is_empty() {
        unowned
    } else {
        BTreeSet::new()
    }
}

/// Files of packages that are neither in the root nor where a commit has moved them to: a mount hides them, or what is
/// around them is gone as well. What a command took away by itself is its own matter.
pub(crate) fn missing<'a>(
    rootfs: &Rootfs,
    entries: impl Iterator<Item = &'a Entry>,
) -> Vec<&'a Entry> {
    let Ok(tree) = rootfs.tree() else {
        return Vec::new();
    };
    let is_missing = |entry: &&Entry| {
        let is_file = matches!(entry.kind, Kind::File | Kind::Symlink);
        let moved = area::image_path(&entry.path);
        let is_moved = moved.is_some_and(|path| find(rootfs, &path) == Found::There);
        is_file
            && !is_moved
            && match find(rootfs, &entry.path) {
                Found::There => false,
                Found::Hidden => true,
                Found::Gone => is_emptied_around(rootfs, &tree, &entry.path),
            }
    };
    entries.filter(is_missing).take(MAX_MISSING).collect()
}

/// Whether the lowest directory above a path that there is belongs to many and is empty, or leads nowhere. Of /var itself
/// the first is enough: all of it is emptied by habit, but for what is made again at once.
fn is_emptied_around(rootfs: &Rootfs, tree: &dyn Tree, path: &Path) -> bool {
    let mut above = path.ancestors().skip(1);
    let Some(there) = above.find(|above| find(rootfs, above) == Found::There) else {
        return false;
    };
    let names = || tree.names(there.as_os_str().as_bytes());
    there == Path::new("var")
        || (OF_MANY.iter().any(|top| there == Path::new(top))
            || there.parent() == Some(Path::new("usr/local")))
            && names().is_ok_and(|names| names.is_empty())
}

/// What is at a path of a root whose own links are followed, but for the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    There,
    /// A mount stands on the way.
    Hidden,
    Gone,
}

fn find(rootfs: &Rootfs, path: &Path) -> Found {
    match openat2(rootfs, path, LOOK, Mode::empty(), INSIDE) {
        Err(Errno::XDEV) => Found::Hidden,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Found::Gone,
        // What cannot be looked at is not said to be missing.
        Ok(_) | Err(_) => Found::There,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn file(path: &str) -> Entry {
        Entry {
            package: "acme".to_owned(),
            path: path.into(),
            kind: Kind::File,
            metadata: None,
        }
    }

    #[test]
    fn what_is_gone_with_all_around_it_is_missing() {
        let root = tempfile::tempdir().expect("a directory");
        let directory = |path: &str| fs::create_dir_all(root.path().join(path)).expect("made");
        let write = |path: &str| fs::write(root.path().join(path), "").expect("written");
        for path in [
            "var/lib/acme",
            "usr/local/share",
            "usr/local/bin",
            "usr/lib/opt/acme",
            "var/tmp",
        ] {
            directory(path);
        }
        symlink("var/opt", root.path().join("opt")).expect("a link");
        write("usr/lib/opt/acme/moved");
        write("usr/local/bin/other");
        let rootfs = Rootfs::open(root.path()).expect("opens");
        let missing = |paths: &[&str]| {
            let entries: Vec<Entry> = paths.iter().map(|path| file(path)).collect();
            let missing = missing(&rootfs, entries.iter()).into_iter();
            missing
                .map(|entry| entry.path.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        let gone = [
            "opt/acme/bin/acme",
            "usr/local/share/acme/data",
            "var/spool/acme/file",
        ];
        assert_eq!(missing(&gone), gone);
        let others = [
            "opt/acme/moved",
            "usr/local/bin/other",
            "usr/local/bin/acme",
            "var/lib/acme/file",
        ];
        assert_eq!(missing(&others), [""; 0]);
        directory("var/opt/acme");
        assert_eq!(missing(&["opt/acme/bin/acme"]), [""; 0]);
    }

    #[test]
    fn a_packages_path_is_no_way_out() {
        for (path, expected) in [
            (&b"/opt/acme/x"[..], Some("opt/acme/x")),
            (b"/opt//acme/./x", Some("opt/acme/x")),
            (b"/opt/../etc", None),
            (b"opt/acme", None),
        ] {
            assert_eq!(relative(path).as_deref(), expected.map(Path::new));
        }
    }
}
