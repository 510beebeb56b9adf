use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

use super::{beside::MAX_NAME, *};
use crate::{error::IN_THE_WAY, rootfs::Rootfs};

fn root_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Rootfs) {
    let root = tempfile::tempdir().expect("a directory");
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, content).expect("a file");
    }
    let rootfs = Rootfs::open(root.path()).expect("opens");
    (root, rootfs)
}

type Way = fn(&Place<'_>, &Path) -> Result<(), Errno>;

/// Each way of making something at a path.
const WAYS: [Way; 4] = [
    |place, path| place.write_file(path, b"whole", 0o644, NewOwner::default()),
    |place, path| place.copy_file(Path::new("from"), path, NewOwner::default()),
    |place, path| place.make_link(path, b"target", NewOwner::default()),
    |place, path| place.make_directory(path, None, NewOwner::default()),
];

#[test]
fn a_users_file_under_the_name_of_unfinished_work_stays_and_stops_it() {
    let long = "n".repeat(MAX_NAME);
    for name in ["new", &long] {
        let left = unfinished(OsStr::new(name)).into_string().expect("text");
        for way in WAYS {
            let (root, rootfs) = root_with(&[("from", "whole"), (&left, "mine")]);
            let made = way(&Place::of(&rootfs), Path::new(name));
            assert_eq!(made, Err(IN_THE_WAY));
            let left = fs::read_to_string(root.path().join(&left));
            assert_eq!(left.expect("is there"), "mine");
            assert!(!root.path().join(name).exists());
        }
    }
}

#[test]
fn what_a_killed_commit_left_of_the_same_thing_is_made_again() {
    let leave: [fn(&Path); 4] = [
        |left| fs::write(left, "wh").expect("a file"),
        |left| fs::write(left, "whole").expect("a file"),
        |left| std::os::unix::fs::symlink("target", left).expect("a link"),
        |left| fs::create_dir(left).expect("a directory"),
    ];
    for (way, leave) in WAYS.into_iter().zip(leave) {
        let (root, rootfs) = root_with(&[("from", "whole")]);
        let left = root.path().join(unfinished(OsStr::new("new")));
        leave(&left);
        way(&Place::of(&rootfs), Path::new("new")).expect("makes");
        assert!(root.path().join("new").symlink_metadata().is_ok());
        assert!(left.symlink_metadata().is_err());
    }
}

#[test]
fn a_tree_is_a_copy_only_of_what_has_all_of_it() {
    let files = [("from/a", "a"), ("from/d/b", "b"), ("copy/d/b", "b")];
    let (root, rootfs) = root_with(&files);
    let place = Place::of(&rootfs);
    let is_copy = || place.is_copied_from(Path::new("copy"), Path::new("from"));
    assert_eq!(is_copy(), Ok(true));
    fs::write(root.path().join("copy/.a.osderive-new"), "").expect("a file");
    assert_eq!(is_copy(), Ok(true));
    for (path, content) in [("copy/mine", "x"), ("copy/a", "other")] {
        let path = root.path().join(path);
        fs::write(&path, content).expect("a file");
        assert_eq!(is_copy(), Ok(false));
        fs::remove_file(path).expect("removes");
    }
}

#[test]
fn what_was_written_since_it_was_listed_is_not_removed() {
    let files = [
        ("top/a", "a"),
        ("top/b", "b"),
        ("top/d/old", ""),
        ("top/gone", ""),
    ];
    let (root, rootfs) = root_with(&files);
    let path = |name: &str| root.path().join("top").join(name);
    fs::hard_link(path("a"), path("a-too")).expect("a link");
    let place = Place::of(&rootfs);
    let listed = place.walk(Path::new("top")).expect("lists");
    fs::write(path("b"), "new").expect("a file");
    fs::write(path("d/new"), "new").expect("a file");
    fs::remove_file(path("gone")).expect("removes");
    let written = place.remove_listed(&listed).expect("removes");
    let expected = ["top/d", "top/b", "top"].map(PathBuf::from);
    assert_eq!(written, expected);
    for (name, is_left) in [
        ("a", false),
        ("a-too", false),
        ("d/old", false),
        ("d/new", true),
    ] {
        assert_eq!(path(name).exists(), is_left, "{name}");
    }
}
