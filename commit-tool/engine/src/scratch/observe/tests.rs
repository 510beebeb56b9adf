use std::{fs, os::unix::fs::symlink, path::Path};

use super::*;

fn observed(prepare: impl FnOnce(&Path)) -> Observation {
    let root = tempfile::tempdir().expect("a directory");
    prepare(root.path());
    let rootfs = Rootfs::open(root.path()).expect("opens");
    observe(&rootfs, &AREAS, Mounts::read(&rootfs)).expect("observes")
}

fn paths(seen: &Observation) -> Vec<String> {
    seen.entries().map(|(id, _)| seen.path(id)).collect()
}

fn write(path: impl AsRef<Path>) {
    fs::create_dir_all(path.as_ref().parent().expect("a parent")).expect("directories");
    fs::write(path, "four").expect("a file");
}

#[test]
fn entries_stand_in_path_order_whatever_the_directory_order() {
    let seen = observed(|root| {
        for path in [
            "tmp/b",
            "tmp/a.txt",
            "tmp/a/x",
            "run/z",
            "var/tmp/t",
            "var/cache/c",
        ] {
            write(root.join(path));
        }
    });
    assert_eq!(
        paths(&seen),
        [
            "/run/z",
            "/tmp/a",
            "/tmp/a/x",
            "/tmp/a.txt",
            "/tmp/b",
            "/var/cache/c",
            "/var/tmp/t"
        ]
    );
    let bytes: Vec<u64> = seen.entries().map(|(_, entry)| entry.bytes).collect();
    assert_eq!(bytes, [4, 0, 4, 4, 4, 4, 4]);
}

#[test]
fn missing_areas_are_nothing_to_tell() {
    let seen = observed(|_| ());
    assert_eq!((seen.len(), seen.blocked), (0, vec![]));
}

#[test]
fn a_link_out_of_an_area_is_told_and_not_followed() {
    let seen = observed(|root| {
        write(root.join("mnt/victim"));
        fs::create_dir(root.join("var")).expect("a directory");
        symlink("../mnt", root.join("var/cache")).expect("a link");
        symlink("/etc", root.join("tmp")).expect("a link");
    });
    assert_eq!(seen.len(), 0);
    let told = |path: &str, found: &str| Blocked::NotADirectory {
        path: path.to_owned(),
        found: found.to_owned(),
    };
    assert_eq!(
        seen.blocked,
        [
            told("/tmp", "a symbolic link to /etc"),
            told("/var/cache", "a symbolic link to ../mnt")
        ]
    );
}

#[test]
fn a_link_to_what_is_emptied_anyway_is_nothing_to_tell() {
    let seen = observed(|root| {
        fs::create_dir_all(root.join("var/tmp")).expect("directories");
        fs::create_dir_all(root.join("sysroot/tmp")).expect("directories");
        symlink("/../var/./tmp/", root.join("run")).expect("a link");
        symlink("sysroot/tmp", root.join("tmp")).expect("a link");
        symlink("../tmp", root.join("var/cache")).expect("a link");
    });
    assert_eq!(seen.blocked, []);
}

#[test]
fn a_mount_is_not_entered() {
    let root = tempfile::tempdir().expect("a directory");
    for path in ["var/cache/apt/archives/x.deb", "var/cache/apt/pkgcache.bin"] {
        write(root.path().join(path));
    }
    let table = b"1 1 0:1 / /var/cache/apt/archives rw - x x rw";
    let rootfs = Rootfs::open(root.path()).expect("opens");
    let seen = observe(&rootfs, &AREAS, Some(Mounts::parse(table, b"/"))).expect("observes");
    assert_eq!(
        paths(&seen),
        [
            "/var/cache/apt",
            "/var/cache/apt/archives",
            "/var/cache/apt/pkgcache.bin"
        ]
    );
}
