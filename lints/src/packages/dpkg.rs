//! dpkg's database: of each package the list of its files (`info/NAME.list`) and its scripts.

use super::installed::{Installed, Manager, Owned, Record, Script, Unread};
use crate::tree::Tree;

/// Where the lists are; ostree systems keep them out of /var.
const INFO: [&str; 2] = ["usr/lib/sysimage/dpkg/info", "var/lib/dpkg/info"];

/// Bytes of a list at most; the largest, of kernels and icon themes, have less.
const MAX_LIST_BYTES: u64 = 8 << 20;

/// A package.
struct Listed<'a> {
    /// Its files, one a line.
    list: &'a [u8],
    /// Where the script is that runs after its installation.
    script: String,
}

impl Record for Listed<'_> {
    fn manager(&self) -> Manager {
        Manager::Dpkg
    }

    fn entries(&self, visit: &mut dyn FnMut(&Owned<'_>)) {
        let lines = self.list.split(|&byte| byte == b'\n');
        for path in lines.filter(|line| line.starts_with(b"/")) {
            let attributes = None;
            visit(&Owned { path, attributes });
        }
    }

    fn script(&self) -> Script {
        Script::At(self.script.clone())
    }
}

/// Visits each package whose list, by its path, is wanted.
pub(super) fn each(
    tree: &dyn Tree,
    is_wanted: &dyn Fn(&str) -> bool,
    visit: &mut dyn FnMut(&Installed<'_>),
) -> Vec<Unread> {
    let mut unread = Vec::new();
    let is_there = |path: &&str| matches!(tree.follow(path.as_bytes()), Ok(Some(_)));
    let Some(info) = INFO.into_iter().find(is_there) else {
        return unread;
    };
    let mut failed = |path: &str, error| {
        let path = path.to_owned();
        unread.push(Unread::Broken { path, error });
    };
    let names = tree.names(info.as_bytes()).unwrap_or_else(|error| {
        failed(info, error);
        Vec::new()
    });
    for file in names {
        let file = String::from_utf8(file).unwrap_or_default();
        let Some(name) = file.strip_suffix(".list") else {
            continue;
        };
        let path = format!("{info}/{file}");
        if !is_wanted(&path) {
            continue;
        }
        match tree.read(path.as_bytes(), MAX_LIST_BYTES) {
            Ok(list) => {
                let record = Listed {
                    list: &list.unwrap_or_default(),
                    script: format!("{info}/{name}.postinst"),
                };
                let name = name.split(':').next().unwrap_or(name);
                visit(&Installed::new(name, &record));
            }
            Err(error) => failed(&path, error),
        }
    }
    unread
}
