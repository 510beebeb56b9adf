//! What of an image's /var comes back on a machine whose /var is empty or older, and what does not:
//! asked by several rules, each of which tells of its own part.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::knowledge::leftovers::is_transient;
use crate::model::state_directories::state_directories;
use crate::model::tmpfiles::{self, Line};
use crate::tree::{Kind, Meta};
use crate::{Image, escape_path};

/// Where units are, and their drop-ins in directories beside them.
const UNITS: [&str; 4] = [
    "etc/systemd/system",
    "usr/lib/systemd/system",
    "usr/local/lib/systemd/system",
    "run/systemd/system",
];

/// An entry of /var that nothing makes; what is below it is not listed.
pub(crate) struct Lost<'a> {
    /// Relative to the root.
    pub(crate) path: &'a [u8],
    /// What it is.
    pub(crate) meta: &'a Meta,
}

impl Lost<'_> {
    /// Its owner and group as a tmpfiles.d line names them; numbers have no meaning on a machine.
    pub(crate) fn owner(&self, image: &Image<'_>) -> String {
        let user = image.users().find(|(_, user)| user.uid == self.meta.uid);
        let user = user.map(|(_, user)| escape_path(user.name));
        let group = image.groups().find(|(_, group)| group.gid == self.meta.gid);
        let group = group.map(|(_, group)| escape_path(group.name));
        let name = |name: Option<String>, id: u32, unknown: &str| match id {
            0 => "root".to_owned(),
            _ => name.unwrap_or_else(|| unknown.to_owned()),
        };
        let user = name(user, self.meta.uid, "USER");
        format!("{user} {}", name(group, self.meta.gid, "GROUP"))
    }
}

/// What makes entries of /var.
#[derive(Debug)]
pub(crate) struct Makers {
    /// Paths relative to the root.
    made: HashSet<Vec<u8>>,
    /// Where lines copy to, and from where; what the copy has is made, too.
    copied: HashMap<Vec<u8>, Vec<u8>>,
}

/// The entries of /var that no tmpfiles.d line and no unit makes, sorted.
pub(crate) fn lost<'a>(image: &'a Image<'_>) -> Vec<Lost<'a>> {
    let makers = image.var_makers.get_or_init(|| Makers::of(image));
    let mut lost: Vec<Lost<'_>> = Vec::new();
    for (path, meta) in &image.gathered.var {
        let is_below = (lost.last()).is_some_and(|last: &Lost<'_>| is_below(path, last.path));
        let is_file = meta.kind != Kind::Directory;
        if is_below || (is_file && is_transient(path)) {
            continue;
        }
        if path.starts_with(b"var/tmp/") || makers.make(image, path) {
            continue;
        }
        lost.push(Lost { path, meta });
    }
    lost
}

/// Whether `path` is below the directory `top`.
pub(crate) fn is_below(path: &[u8], top: &[u8]) -> bool {
    (path.strip_prefix(top)).is_some_and(|rest| rest.starts_with(b"/"))
}

/// A line's path relative to the root, with links such as /home → var/home followed.
pub(crate) fn place(image: &Image<'_>, line: &Line) -> Vec<u8> {
    let path = line.path.strip_prefix(b"/").unwrap_or(&line.path);
    let mut ends = (path.iter().enumerate()).filter(|(_, byte)| **byte == b'/');
    // The links in question stand at the top level and in /usr.
    let links = [ends.next(), ends.next()].into_iter().flatten();
    for (end, _) in links {
        let top = &path[..end];
        if top == b"var" || top.starts_with(b"var/") {
            break;
        }
        if let Ok(Some(target)) = image.tree.target(top) {
            let target = crate::tree::destination(top, &target);
            return [&target, &path[end..]].concat();
        }
    }
    path.to_vec()
}

impl Makers {
    fn of(image: &Image<'_>) -> Self {
        let mut makers = Self {
            made: HashSet::new(),
            copied: HashMap::new(),
        };
        for line in image.tmpfiles().makers(|_| true) {
            let path = place(image, line);
            if line.kind == b'C' {
                makers.copied.insert(path.clone(), line.copy_source());
            }
            makers.add(path);
        }
        for directory in units(image) {
            makers.add(directory);
        }
        makers
    }

    /// Takes in a path, and all directories on the way to it, which are made for its sake.
    fn add(&mut self, mut path: Vec<u8>) {
        while self.made.insert(path.clone()) {
            let Some(end) = path.iter().rposition(|&byte| byte == b'/') else {
                return;
            };
            path.truncate(end);
        }
    }

    fn make(&self, image: &Image<'_>, path: &[u8]) -> bool {
        if self.made.contains(path) {
            return true;
        }
        let ends = path.iter().enumerate().rev();
        let mut above = ends
            .filter(|(_, byte)| **byte == b'/')
            .map(|(end, _)| path.split_at(end));
        let copy = above.find_map(|(above, rest)| Some([self.copied.get(above)?, rest].concat()));
        // Boot copies what there is, which is not what COPY brings beside an earlier copy.
        copy.is_some_and(|copy| image.tree.look(&copy).is_ok_and(|found| found.is_some()))
    }
}

/// The directories that units and their drop-ins make. Whether a unit is enabled does not matter:
/// its directory is needed when it runs.
fn units(image: &Image<'_>) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for directory in UNITS {
        for name in image.names(directory) {
            let path = format!("{directory}/{name}");
            let is_dropins = name.ends_with(".service.d");
            let names = if is_dropins {
                image.names(&path)
            } else {
                vec![]
            };
            let files = names.iter().map(|name| format!("{path}/{name}"));
            let files = files.chain(name.ends_with(".service").then(|| path.clone()));
            for file in files {
                // What is no file is told of by those who ask for units.
                let content = image.tree.read(file.as_bytes(), crate::MAX_FILE_BYTES);
                let content = content.ok().flatten().unwrap_or_default();
                found.extend(state_directories(&content));
            }
        }
    }
    found
}

/// The declarations in tmpfiles.d files that another of the same name overrides or masks, by the
/// path that they would make: the file that has the line, and the one that hides it.
pub(crate) fn hidden(image: &Image<'_>) -> BTreeMap<Vec<u8>, (String, String)> {
    let mut found = BTreeMap::new();
    let mut first: BTreeMap<String, &str> = BTreeMap::new();
    for directory in tmpfiles::DIRECTORIES {
        for name in image.names(directory) {
            let Some(hider) = first.get(&name) else {
                first.insert(name, directory);
                continue;
            };
            let (file, hider) = (format!("{directory}/{name}"), format!("{hider}/{name}"));
            let snippet = image.one(&file).map(|file| tmpfiles::Snippet {
                directory: 0,
                name: name.into_bytes(),
                content: file.content,
            });
            let config = tmpfiles::Config::read(snippet.as_slice());
            for line in config.makers(|_| true) {
                let place = place(image, line);
                found.insert(place, (file.clone(), hider.clone()));
            }
        }
    }
    found
}
