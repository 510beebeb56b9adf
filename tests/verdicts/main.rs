//! Our verdicts against those of systemd 257 itself: on all that Debian's most used service packages
//! ship, and on the same lines with errors put in. What the two do not agree on is justified in
//! `justified.rs`, one by one; anything else fails, and so does what is listed there and no longer so.

mod complaints;
mod justified;
mod lines;
mod mutation;
mod units;

use std::fs;
use std::path::Path;

use osderive_tests::Places;
use osderive_tests::shipped::Shipped;

/// A file's name and content.
type File = (String, Vec<u8>);

fn shipped() -> Shipped {
    let places = Places::of_workspace().expect("places");
    Shipped::obtain(&places).expect("a tree of packages")
}

/// The files of a directory, in the order of their names.
fn files(directory: &Path) -> Vec<File> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<File> = paths
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            (name.into_owned(), fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

fn write(directory: &Path, files: &[File]) {
    fs::create_dir_all(directory).expect("directories");
    for (name, content) in files {
        fs::write(directory.join(name), content).expect("a file");
    }
}

#[test]
fn at_least_sixty_packages_are_looked_at() {
    let packages = fs::read_to_string(shipped().packages).expect("a list");
    assert!(packages.lines().count() >= 60, "{packages}");
}
