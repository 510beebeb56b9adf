//! Generated trees: whatever stands there and wherever mounts are, exactly the right things are gone
//! afterwards.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::symlink,
    },
    path::{Path, PathBuf},
};

use osderive_lints::PlannedAction;
use proptest::prelude::*;

use super::*;
use crate::dry_run;

const AREA_PATHS: [&str; 5] = ["run", "tmp", "var/tmp", "var/cache", "sysroot/tmp"];

#[derive(Clone, Debug)]
enum Kind {
    Directory,
    File,
    /// To somewhere outside of the areas.
    Link,
    Socket,
}

#[derive(Clone, Debug)]
struct Made {
    top: &'static str,
    names: Vec<OsString>,
    kind: Kind,
}

fn name() -> impl Strategy<Value = OsString> {
    let hostile = prop::collection::vec(1..=255u8, 1..12).prop_map(|bytes| {
        let clean: Vec<u8> = bytes.into_iter().filter(|&byte| byte != b'/').collect();
        OsString::from_vec([&b"n"[..], &clean].concat())
    });
    let odd = prop::sample::select(vec![
        "...", " ", "-rf", "a\nb", "\\x0a", "\\040", "*", "d", "e", "f",
    ]);
    prop_oneof![hostile, odd.prop_map(OsString::from)]
}

fn made() -> impl Strategy<Value = Made> {
    let top = prop::sample::select(vec![
        "run",
        "tmp",
        "var/tmp",
        "var/cache",
        "var/lib",
        "etc",
        "usr/lib",
        "var",
    ]);
    let kind = prop_oneof![
        3 => Just(Kind::File),
        2 => Just(Kind::Directory),
        1 => Just(Kind::Link),
        1 => Just(Kind::Socket),
    ];
    (top, prop::collection::vec(name(), 1..6), kind).prop_map(|(top, names, kind)| Made {
        top,
        names,
        kind,
    })
}

impl Made {
    fn path(&self) -> PathBuf {
        self.names
            .iter()
            .fold(PathBuf::from(self.top), |path, name| path.join(name))
    }

    /// Makes it unless something else stands in its way.
    fn make_in(&self, root: &Path) {
        let path = root.join(self.path());
        let parent = path.parent().expect("a parent");
        if fs::create_dir_all(parent).is_err() || fs::symlink_metadata(&path).is_ok() {
            return;
        }
        match self.kind {
            Kind::Directory => fs::create_dir(&path).expect("a directory"),
            Kind::File => fs::write(&path, "content").expect("a file"),
            // Dangling: what is made later must not be made through it, on this machine.
            Kind::Link => symlink("/nowhere/outside", &path).expect("a link"),
            Kind::Socket => rustix::fs::mknodat(
                rustix::fs::CWD,
                &path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .expect("a FIFO"),
        }
    }
}

/// Every path below a directory, with its content if it is a file.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("lists") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a type");
            let content = if kind.is_file() {
                fs::read(entry.path()).expect("reads")
            } else {
                Vec::new()
            };
            if kind.is_dir() {
                open.push(entry.path());
            }
            let path = entry.path();
            found.insert(path.strip_prefix(root).expect("below").to_owned(), content);
        }
    }
    found
}

fn mount_table(mounts: &[PathBuf]) -> Vec<u8> {
    let mut table = Vec::new();
    for path in mounts {
        table.extend_from_slice(b"1 1 0:1 / /");
        for &byte in path.as_os_str().as_bytes() {
            match byte {
                b' ' | b'\n' | b'\t' | b'\\' => {
                    table.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                }
                byte => table.push(byte),
            }
        }
        table.extend_from_slice(b" rw - x x rw\n");
    }
    table
}

fn is_below_area(path: &Path) -> bool {
    AREA_PATHS
        .iter()
        .any(|area| path.starts_with(area) && path != Path::new(area))
}

fn must_stay(path: &Path, mounts: &[PathBuf]) -> bool {
    !is_below_area(path)
        || mounts
            .iter()
            .any(|mount| path.starts_with(mount) || mount.starts_with(path))
}

fn empty_with_mounts(root: &Path, mounts: &[PathBuf]) -> plan::ScratchPlan {
    let rootfs = Rootfs::open(root).expect("opens");
    let table = Mounts::parse(&mount_table(mounts), b"/");
    let seen = observe(&rootfs, &AREAS, Some(table)).expect("observes");
    let plan = plan(&seen);
    let applied = apply(&rootfs, &seen, &plan).expect("applies");
    assert!(!applied.changed && applied.refused.is_empty());
    assert_eq!(applied.removed, plan.actions);
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exactly_what_is_no_mount_nor_above_or_below_one_goes(
        mades in prop::collection::vec(made(), 0..40),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let root = tempfile::tempdir().expect("a directory");
        for made in &mades {
            made.make_in(root.path());
        }
        let before = tree(root.path());
        let paths: Vec<&PathBuf> = before.keys().collect();
        let mounts: Vec<PathBuf> = chosen
            .iter()
            .filter(|_| !paths.is_empty())
            .map(|index| (*index.get(&paths)).clone())
            .collect();

        empty_with_mounts(root.path(), &mounts);
        let expected: BTreeMap<_, _> = before
            .into_iter()
            .filter(|(path, _)| must_stay(path, &mounts))
            .collect();
        prop_assert_eq!(tree(root.path()), expected);

        let again = empty_with_mounts(root.path(), &mounts);
        prop_assert!(again.actions.is_empty());
    }
}

fn seen_with(paths: &[&str], mount: &str) -> Observation {
    let root = tempfile::tempdir().expect("a directory");
    for path in paths {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("directories");
        fs::write(path, "x").expect("a file");
    }
    let table = format!("1 1 0:1 / {mount} rw - x x rw");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mounts = Mounts::parse(table.as_bytes(), b"/");
    observe(&rootfs, &AREAS, Some(mounts)).expect("observes")
}

/// The plan: what happens to which path, and why.
fn previewed(seen: Observation) -> Vec<String> {
    let root = tempfile::tempdir().expect("a directory");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let plan = Box::new(AreasPlan {
        rootfs: &rootfs,
        areas: &AREAS,
        seen,
    });
    let report = dry_run::report(domain::Plan::preview(plan));
    let told = |one: PlannedAction| format!("{} {}: {}", one.action.name(), one.path, one.reason);
    report.actions.into_iter().map(told).collect()
}

#[test]
fn a_mount_and_its_parents_stay_and_its_siblings_go() {
    let paths = [
        "var/cache/apt/archives/x.deb",
        "var/cache/apt/pkgcache.bin",
        "var/cache/man/index",
    ];
    let seen = seen_with(&paths, "/var/cache/apt/archives");
    assert_eq!(
        previewed(seen),
        [
            "keep /var/cache/apt/archives: mount point",
            "remove /var/cache/apt/pkgcache.bin: caches are made again on the machine",
            "remove /var/cache/man: caches are made again on the machine",
            "remove /var/cache/man/index: caches are made again on the machine",
        ]
    );
}

#[test]
fn a_mount_on_an_area_keeps_all_of_it() {
    let seen = seen_with(&["var/tmp/x", "run/y"], "/var");
    let plan = plan(&seen);
    assert_eq!(plan.actions.len(), 1);
    assert_eq!(plan.keep[0].path, "/var");
}

#[test]
fn the_same_state_gives_the_same_plan() {
    let paths = ["tmp/b/c", "tmp/a", "run/x"];
    let plans = [0; 2].map(|_| previewed(seen_with(&paths, "/none")));
    assert_eq!(plans[0], plans[1]);
}
