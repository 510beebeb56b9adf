//! Whole commits on generated trees: whatever stands there and wherever mounts are, exactly the
//! right things are gone afterwards.

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

use proptest::prelude::*;

use super::*;

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

fn commit_with_mounts(root: &Path, mounts: &[PathBuf]) -> Plan {
    let rootfs = Rootfs::open(root).expect("opens");
    let table = Mounts::parse(&mount_table(mounts), b"/");
    let seen = observe(&rootfs, Some(table)).expect("observes");
    let plan = plan(&seen, None);
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

        commit_with_mounts(root.path(), &mounts);
        let expected: BTreeMap<_, _> = before
            .into_iter()
            .filter(|(path, _)| must_stay(path, &mounts))
            .collect();
        prop_assert_eq!(tree(root.path()), expected);

        let again = commit_with_mounts(root.path(), &mounts);
        prop_assert!(again.actions.is_empty());
    }
}

#[test]
fn a_commit_tells_what_it_removed() {
    let root = tempfile::tempdir().expect("a directory");
    for (top, name) in [("tmp", "a"), ("var/cache", "b\n")] {
        Made {
            top,
            names: vec!["d".into(), name.into()],
            kind: Kind::File,
        }
        .make_in(root.path());
    }
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let mut heard = Vec::new();
    let committed = commit(
        &rootfs,
        None,
        &Settings::default(),
        Some(&mut |done: &str, _: &str| heard.push(done.to_owned())),
    )
    .expect("commits");
    let report = &committed.report;
    assert_eq!((report.removed_entries, report.removed_bytes), (4, 14));
    let listed: Vec<&String> = report.removed.iter().map(|entry| &entry.path).collect();
    assert_eq!(
        listed,
        ["/tmp/d", "/tmp/d/a", "/var/cache/d", r"/var/cache/d/b\x0a"]
    );
    let told: Vec<String> = listed
        .iter()
        .map(|path| format!("removed {path}"))
        .collect();
    // The cache's directory has a line now, so that its service finds it.
    assert!(
        heard[0].starts_with("wrote /usr/lib/tmpfiles.d/"),
        "{heard:?}"
    );
    assert_eq!(heard[1..], told);
    assert_eq!(
        crate::summary::summary(&committed),
        format!(
            "osderive: committed: removed 4 entries (14 B) from /tmp, /var/cache\n\
             osderive: {}\n\
             osderive: /var: declared 1 directory or link\n",
            heard[0]
        )
    );
}

#[test]
fn what_a_first_start_makes_is_not_kept() {
    let root = tempfile::tempdir().expect("a directory");
    let in_root = |path: &str| root.path().join(path);
    for path in ["var/lib/sql/main/deep", "var/lib/sql/other", "var/lib/app"] {
        std::fs::create_dir_all(in_root(path)).expect("directories");
    }
    for path in ["sql/main/deep/data", "sql/other/data", "app/id", "app/kept"] {
        std::fs::write(in_root("var/lib").join(path), "x").expect("a file");
    }
    let settings = Settings {
        first_start: vec!["/var/lib/sql/main".into(), "/var/lib/app/id".into()],
        ..Settings::default()
    };
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let committed = commit(&rootfs, None, &settings, None).expect("commits");
    let removed = committed.report.changed.iter();
    let removed = removed.filter(|file| file.reason.contains("--first-start"));
    let mut removed: Vec<&str> = removed.map(|file| file.path.as_str()).collect();
    removed.sort_unstable();
    assert_eq!(removed, ["/var/lib/app/id", "/var/lib/sql/main/deep/data"]);
    let factory = |path: &str| in_root("usr/share/factory/var/lib").join(path);
    assert!(factory("app/kept").exists() && factory("sql/other/data").exists());
    assert!(factory("sql/main").is_dir() && !factory("sql/main/deep").exists());
    assert!(!factory("app/id").exists() && !in_root("var/lib/sql").exists());
}

#[test]
fn the_report_of_a_huge_step_stays_small_enough_to_be_read() {
    let root = tempfile::tempdir().expect("a directory");
    for index in 0..MAX_LISTED_ENTRIES + 100 {
        let name = OsString::from_vec([format!("{index:03}").as_bytes(), &[0xff; 250]].concat());
        Made {
            top: "tmp",
            names: vec![OsString::from_vec(vec![0xfe; 255]), name],
            kind: Kind::File,
        }
        .make_in(root.path());
    }
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let report = commit(&rootfs, None, &Settings::default(), None)
        .expect("commits")
        .report;
    assert_eq!(report.removed.len(), MAX_LISTED_ENTRIES);
    assert_eq!(report.removed_entries, MAX_LISTED_ENTRIES as u64 + 101);
    let json = serde_json::to_vec(&report).expect("serialises");
    assert!(StepReport::from_json(&json).is_ok());
}

#[test]
fn nothing_removed_and_found_is_nothing_said() {
    let root = tempfile::tempdir().expect("a directory");
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let committed = commit(&rootfs, None, &Settings::default(), None).expect("commits");
    assert_eq!(crate::summary::summary(&committed), "");
}
