//! Our own files of declarations, in sysusers.d and tmpfiles.d. Each is named after its content, so
//! that the same state gives the same bytes; a later step adds a file, and rewrites an older one only
//! when a line in it is no longer true. They sort before those of packages: of two lines for one
//! thing systemd takes the first.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use osderive_lints::model::tmpfiles::{Config, Line, Snippet};
use rustix::fd::AsFd as _;

use crate::{
    error::{Error, Result},
    files::FileAction,
    handle::{open_below, read_listed, sorted_names},
    paths::{HASH_DIGITS, digits_of},
    rootfs::Rootfs,
};

const PREFIX: &str = "00-osderive-";
const SUFFIX: &str = ".conf";

/// As much of a file as is read.
const MAX_FILE_BYTES: u64 = 10 << 20;

/// A kind of our files.
#[derive(Debug)]
pub(crate) struct Kind {
    /// The directory, relative to the root file system.
    pub(crate) directory: &'static str,
    /// Comment lines that each file begins with.
    pub(crate) header: &'static str,
    /// Why a file in which a line is no longer true goes.
    pub(crate) outdated: &'static str,
}

/// Our files of what boot has to make, whichever domain a line is from.
pub(crate) const TMPFILES_D: Kind = Kind {
    directory: "usr/lib/tmpfiles.d",
    header: "\
# What a step of the image's build left outside of /usr, for boot to make again.
# Written by osderive; it sorts first, so that its lines count.
",
    outdated: "it declares what has changed or gone",
};

/// The `.conf` files of a directory, ours and others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    /// Name and content, sorted by name.
    pub(crate) files: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Folder {
    /// Reads a directory. A link in it is followed inside of the root; what cannot be read, such as
    /// /dev/null, is empty, which masks other files of the name.
    pub(crate) fn read(rootfs: &Rootfs, path: &str) -> Result<Self> {
        Self::read_where(rootfs, path, |_| true)
    }

    /// As [`read`](Self::read), of our own files only.
    pub(crate) fn read_own(rootfs: &Rootfs, path: &str) -> Result<Self> {
        Self::read_where(rootfs, path, is_own)
    }

    fn read_where(rootfs: &Rootfs, path: &str, is_wanted: fn(&[u8]) -> bool) -> Result<Self> {
        let Ok(directory) = open_below(rootfs.as_fd(), path) else {
            return Ok(Self::default());
        };
        let names = sorted_names(directory.as_fd()).map_err(|source| Error::Place {
            action: "look at",
            path: format!("/{path}"),
            source,
        })?;
        let content = |name: &OsStr| {
            let (root, path) = (rootfs.as_fd(), Path::new(path));
            read_listed(root, path, directory.as_fd(), name, MAX_FILE_BYTES).unwrap_or_default()
        };
        Ok(Self {
            files: (names.iter())
                .filter(|name| name.as_bytes().ends_with(SUFFIX.as_bytes()))
                .filter(|name| is_wanted(name.as_bytes()))
                .map(|name| (name.as_bytes().to_vec(), content(name)))
                .collect(),
        })
    }

    /// The lines of our own files, without comments.
    pub(crate) fn own_lines(&self) -> impl Iterator<Item = &[u8]> {
        let own = self.files.iter().filter(|(name, _)| is_own(name));
        own.flat_map(|(_, content)| lines(content))
    }

    /// The same of tmpfiles.d, as they stand and as they are read.
    pub(crate) fn own_tmpfiles(&self) -> Vec<(Vec<u8>, Line)> {
        let read = |text: &[u8]| {
            let snippet = Snippet {
                directory: 0,
                name: b".conf".to_vec(),
                content: text.to_vec(),
            };
            Some((text.to_vec(), Config::read(&[snippet]).lines.pop()?))
        };
        self.own_lines().filter_map(read).collect()
    }

    /// The lines of all other files, without comments.
    pub(crate) fn other_lines(&self) -> impl Iterator<Item = &[u8]> {
        let others = self.files.iter().filter(|(name, _)| !is_own(name));
        others.flat_map(|(_, content)| lines(content))
    }

    /// What leaves `wanted` declared, which is not yet, and nothing of ours that is not true.
    pub(crate) fn plan(
        &self,
        kind: &Kind,
        wanted: &[&[u8]],
        reason: &str,
        is_true: impl Fn(&[u8]) -> bool,
    ) -> Vec<FileAction> {
        let mut actions = Vec::new();
        if !wanted.is_empty() {
            self.plan_file(kind, wanted, reason, &mut actions);
        }
        let mut outdated = Vec::new();
        for (name, content) in self.files.iter().filter(|(name, _)| is_own(name)) {
            let all: Vec<&[u8]> = lines(content).collect();
            let fresh: Vec<&[u8]> = all.iter().copied().filter(|line| is_true(line)).collect();
            if fresh.len() == all.len() {
                continue;
            }
            if !fresh.is_empty() {
                let reason = "what is still true of an older file of ours";
                self.plan_file(kind, &fresh, reason, &mut actions);
            }
            outdated.push(kind.path(name));
        }
        // A file of ours that somebody added lines to becomes again what its name says.
        let written: BTreeSet<PathBuf> = actions
            .iter()
            .map(|action| action.path().to_owned())
            .collect();
        let outdated = outdated.into_iter().filter(|path| !written.contains(path));
        actions.extend(outdated.map(|path| FileAction::Remove {
            path,
            reason: kind.outdated.to_owned(),
        }));
        actions
    }

    fn plan_file(&self, kind: &Kind, lines: &[&[u8]], reason: &str, actions: &mut Vec<FileAction>) {
        let mut content = kind.header.as_bytes().to_vec();
        for line in lines {
            content.extend_from_slice(line);
            content.push(b'\n');
        }
        let name = own_name(&content).into_bytes();
        let path = kind.path(&name);
        let exists = self.files.contains(&(name, content.clone()));
        if !exists && actions.iter().all(|action| action.path() != path) {
            actions.push(FileAction::Write {
                path,
                content,
                reason: reason.to_owned(),
            });
        }
    }
}

impl Kind {
    fn path(&self, name: &[u8]) -> PathBuf {
        Path::new(self.directory).join(OsStr::from_bytes(name))
    }
}

/// Whether a file of this name is one of ours.
pub(crate) fn is_own(name: &[u8]) -> bool {
    let hash = name
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    hash.is_some_and(|hash| hash.len() == HASH_DIGITS && hash.iter().all(u8::is_ascii_hexdigit))
}

fn own_name(content: &[u8]) -> String {
    format!("{PREFIX}{}{SUFFIX}", digits_of(content))
}

fn lines(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind {
        directory: "usr/lib/tmpfiles.d",
        header: "# ours\n",
        outdated: "no longer true",
    };

    fn folder_after(folder: &Folder, actions: &[FileAction]) -> Folder {
        let mut folder = folder.clone();
        for action in actions {
            let name = action
                .path()
                .file_name()
                .expect("a name")
                .as_bytes()
                .to_vec();
            folder.files.retain(|(old, _)| *old != name);
            if let FileAction::Write { content, .. } = action {
                folder.files.push((name, content.clone()));
            }
        }
        folder
    }

    #[test]
    fn a_line_that_went_stale_takes_its_file_with_it_and_the_others_stay() {
        let first = Folder::default().plan(&KIND, &[b"d /a", b"d /b"], "new", |_| true);
        let folder = folder_after(&Folder::default(), &first);
        let second = folder.plan(&KIND, &[b"d /c"], "new", |line| line != b"d /a");
        let folder = folder_after(&folder, &second);
        let mut lines: Vec<&[u8]> = folder.own_lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, [b"d /b", b"d /c"]);
        assert_eq!(folder.plan(&KIND, &[b"d /c"], "new", |_| true), []);
    }

    #[test]
    fn files_of_others_are_left_alone_whatever_is_in_them() {
        let folder = Folder {
            files: vec![(b"00-osderive-mine.conf".to_vec(), b"d /a\n".to_vec())],
        };
        assert_eq!(folder.plan(&KIND, &[], "new", |_| false), []);
    }
}
