//! What package databases say of the packages that a RUN installed: what they own is not all in the root, where a mount
//! hides it or the same command takes it away.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use osderive_lints::{
    packages::{Manager, Moment, Owned, PackageDb, RPM_PLACES, is_of_nobody},
    tree::{Kind, Tree},
};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::{began::Began, opt::area, rootfs::Rootfs};

/// Entries of packages that are looked at, at most.
const MAX_ENTRIES: usize = 20_000;

/// Files that are told of, at most.
const MAX_MISSING: usize = 1_000;

/// What changes with each package that comes or goes: rpm's database, whose log is written first, and dpkg's.
const OF_RPM: [&str; 2] = ["rpmdb.sqlite", "rpmdb.sqlite-wal"];
const OF_DPKG: &str = "var/lib/dpkg/status";

/// As a system that runs on the root resolves paths, but for what mounts are on the way.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Directories in which many have their own, besides those right in /usr/local.
const OF_MANY: [&str; 2] = ["opt", "usr/local"];

/// What packages own there is looked at.
const TOPS: [&[u8]; 3] = [b"/opt", b"/usr/local", b"/var"];

/// An entry as a package has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) package: String,
    /// As the package names it, relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// The twelve permission bits.
    pub(crate) mode: u32,
    pub(crate) user: Vec<u8>,
    pub(crate) group: Vec<u8>,
    pub(crate) target: Option<Vec<u8>>,
}

/// The moment before a command; none where the root cannot be looked at.
pub(crate) fn now(rootfs: &Rootfs) -> Option<Moment> {
    let tree = rootfs.tree().ok()?;
    Some(PackageDb::of(&tree).now())
}

/// What packages own in /opt, /usr/local and /var that were installed since a moment: what they have put there, each as its
/// own. What cannot be read tells nothing.
pub(crate) fn installed_since(rootfs: &Rootfs, then: Moment) -> Vec<Entry> {
    let mut entries = Vec::new();
    let Ok(tree) = rootfs.tree() else {
        return entries;
    };
    PackageDb::of(&tree).since(then, &mut |installed| {
        installed.entries(&mut |owned| {
            if entries.len() < MAX_ENTRIES {
                entries.extend(entry(installed.name(), installed.manager(), owned));
            }
        });
    });
    entries
}

fn entry(package: &str, manager: Manager, owned: &Owned<'_>) -> Option<Entry> {
    let is_below = |top: &&[u8]| {
        let rest = owned.path.strip_prefix(*top);
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let attributes = owned.attributes.filter(|its| its.is_installed)?;
    if !TOPS.iter().any(is_below) || is_of_nobody(manager, owned.path) {
        return None;
    }
    Some(Entry {
        package: package.to_owned(),
        path: relative(owned.path)?,
        kind: attributes.kind,
        mode: attributes.mode,
        user: attributes.user.to_vec(),
        group: attributes.group.to_vec(),
        target: attributes.target.map(<[u8]>::to_vec),
    })
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
pub(crate) fn have_changed(rootfs: &Rootfs, began: Began) -> bool {
    let of_rpm = RPM_PLACES
        .iter()
        .flat_map(|place| OF_RPM.map(|name| Path::new(place).join(name)));
    let mut databases = of_rpm.chain([PathBuf::from(OF_DPKG)]);
    databases.any(|path| {
        let changed = rootfs.changed(path);
        changed.is_some_and(|changed| began.is_since(changed))
    })
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
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat2(rootfs, path, flags, Mode::empty(), INSIDE) {
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
            mode: 0o644,
            user: b"root".to_vec(),
            group: b"root".to_vec(),
            target: None,
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
