//! The way to an entry: the names of a path, and where it leads.

use super::entry::ROOT;

/// Where a path leads: a path without links, with the numbers of the directories on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) path: Vec<u8>,
    /// Of each of the path's names where it begins, and the number of the directory that it is in; none once a
    /// directory is missing.
    pub(super) names: Vec<(usize, Option<u32>)>,
    /// What is at its end; none if that is missing. It is the root if there are no names.
    pub(super) last: Option<u32>,
}

impl Reached {
    pub(super) fn root() -> Self {
        Self {
            last: Some(ROOT),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, name: &[u8]) {
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.names.push((self.path.len(), self.last));
        self.path.extend(name);
    }

    pub(super) fn pop(&mut self) {
        if let Some((start, directory)) = self.names.pop() {
            self.path.truncate(start.saturating_sub(1));
            self.last = directory;
        }
    }

    /// The directory's number and the name at the end; none at the root and in what is missing.
    pub(super) fn key(&self) -> Option<(u32, &[u8])> {
        let (start, directory) = self.names.last()?;
        Some(((*directory)?, &self.path[*start..]))
    }
}

pub(super) fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = path.split(|&byte| byte == b'/');
    parts.filter(|part| !part.is_empty() && *part != b".")
}

/// The first name of a path that changes something, and what follows it.
pub(super) fn first_part(mut path: &[u8]) -> Option<(&[u8], &[u8])> {
    while !path.is_empty() {
        let end = path.iter().position(|&byte| byte == b'/');
        let (name, rest) = path.split_at(end.unwrap_or(path.len()));
        path = rest.strip_prefix(b"/").unwrap_or(rest);
        if !name.is_empty() && name != b"." {
            return Some((name, path));
        }
    }
    None
}
