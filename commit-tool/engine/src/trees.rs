//! Whole trees, for tests to compare: the unit tests' and those of the binary.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use osderive_lints::model::acl::{ACCESS, DEFAULT};

use crate::lists::get;

/// The attributes that are compared.
pub(crate) const ATTRIBUTES: [&str; 3] = [ACCESS, DEFAULT, "user.note"];

/// What a tree is to a user: kind and mode, owner, content or target, attributes.
pub(crate) type Tree = BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>, [Option<Vec<u8>>; 3])>;

/// Everything at and below a directory.
pub(crate) fn tree(top: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).expect("looks");
        let content = if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("lists");
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
            Vec::new()
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).expect("a target");
            target.into_os_string().into_vec()
        } else if meta.is_file() {
            fs::read(&path).expect("reads")
        } else {
            Vec::new()
        };
        let attributes = ATTRIBUTES.map(|name| get(&path, name));
        let path = path.strip_prefix(top).expect("below").to_owned();
        let seen = (meta.mode(), meta.uid(), meta.gid(), content, attributes);
        found.insert(path, seen);
    }
    found
}
