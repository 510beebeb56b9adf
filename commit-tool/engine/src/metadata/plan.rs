//! The second stage: a line for each directory of /etc that is no longer what a lower layer says,
//! with its owner by name, and one for each entry of a package's account. A pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::model::{
    acl::Lists,
    tmpfiles::{Line, Mode, Owner},
};

use super::observe::{Accounts, DYNAMIC, Declared, Listed, Looked, Metadata, Owned, path_of_list};
use crate::{
    attributes,
    files::FileAction,
    paths::{absolute, pattern_of},
    snippets::TMPFILES_D,
};

/// The lines about /etc, of `listed` access control lists where there are some.
pub(super) fn lines(
    looked: &Looked,
    listed: &Listed,
    owned: &Owned,
    accounts: &Accounts,
    declared: &Declared,
) -> Vec<FileAction> {
    let text = |(path, now): (&PathBuf, Metadata)| line(path, plain(path, now, listed), accounts);
    let known: BTreeSet<&[u8]> = declared.tmpfiles.own_lines().collect();
    let changed: BTreeMap<&PathBuf, Vec<u8>> = (looked.changed())
        .filter_map(|change| Some((change.0, text(change)?)))
        .collect();
    let mut all: BTreeSet<Vec<u8>> = (looked.after.iter())
        .filter_map(|(path, now)| text((path, *now)))
        .collect();
    // One line is enough for a path.
    let is_told = |path: &PathBuf| {
        let now = looked.after.get(path).and_then(|now| text((path, *now)));
        changed.contains_key(path) || now.is_some_and(|line| known.contains(line.as_slice()))
    };
    // Deepest first: below a directory that has its owner already, systemd changes no others.
    let owned: Vec<Vec<u8>> = (owned.0.iter().rev())
        .filter(|(path, _)| !is_told(path))
        .filter_map(|(path, now)| line_of_owner(path, *now, accounts))
        .filter(|(path, _)| !declared.has_other_line(path))
        .map(|(_, line)| line)
        .collect();
    let lists: Vec<Vec<u8>> = (listed.iter())
        .filter_map(|(path, lists)| line_of_lists(path, lists, accounts))
        .collect();
    // A mode that is set after a list changes it.
    let with_list = listed
        .iter()
        .filter(|(path, lists)| !lists.is_empty() && is_told(path));
    let with_list = with_list.filter_map(|(path, _)| {
        let now = looked.after.get(path)?;
        text((path, *now))
    });
    let modes: BTreeSet<Vec<u8>> = changed.values().cloned().chain(with_list).collect();
    // Their order counts, and there is one within a file only: when one of them is new, all are.
    let is_new = |line: &Vec<u8>| !known.contains(line.as_slice());
    let new_owned = owned.iter().any(is_new);
    let new_list = lists.iter().any(is_new) || !lists.is_empty() && modes.iter().any(is_new);
    let again = |line: &[u8]| {
        let is_of = |lines: &[Vec<u8>]| lines.iter().any(|known| known == line);
        new_owned && is_of(&owned) || new_list && (is_of(&lists) || modes.contains(line))
    };
    let wanted: Vec<&[u8]> = (modes.iter().chain(&owned).chain(&lists))
        .map(Vec::as_slice)
        .filter(|line| !known.contains(line) || again(line))
        .collect();
    all.extend(owned.iter().cloned());
    all.extend(lists.iter().cloned());
    // Other lines are not about metadata of /etc, or about lists that nobody asked for.
    let is_ours = |line: &[u8]| {
        if let Some(path) = path_of_list(line) {
            return listed.contains_key(&path) || !looked.after.contains_key(&path);
        }
        let path = line.strip_prefix(b"z ").unwrap_or_default();
        path.strip_prefix(b"\"")
            .unwrap_or(path)
            .starts_with(b"/etc")
    };
    let is_true = |line: &[u8]| !is_ours(line) || (all.contains(line) && !again(line));
    let reason = "an import keeps the mode and owner that a lower layer gives a directory, and a machine may \
                  have given an account's id to another one";
    declared
        .tmpfiles
        .plan(&TMPFILES_D, &wanted, reason, is_true)
}

/// What a directory has without its list.
fn plain(path: &Path, (mode, uid, gid): Metadata, listed: &Listed) -> Metadata {
    let list = listed.get(path).and_then(|lists| lists.access.as_ref());
    (list.map_or(mode, |list| list.mode_without(mode)), uid, gid)
}

fn line_of_lists(path: &Path, lists: &Lists, accounts: &Accounts) -> Option<Vec<u8>> {
    let owner =
        |name: Option<&[u8]>, id| name.map_or(Owner::Id(id), |name| Owner::Name(name.to_owned()));
    let user = |uid| owner(accounts.user(uid), uid);
    let group = |gid| owner(accounts.group(gid), gid);
    let line = attributes::line(&absolute(path), lists, user, group)?;
    Some(line.to_text()?.trim_ascii_end().to_vec())
}

/// None when systemd cannot be told, which is so for a line break in the path.
fn line(path: &Path, (bits, uid, gid): Metadata, accounts: &Accounts) -> Option<Vec<u8>> {
    let owner = |name: Option<&[u8]>, id| {
        Some(name.map_or(Owner::Id(id), |name| Owner::Name(name.to_owned())))
    };
    let mode = Mode {
        bits,
        masked: false,
        only_created: false,
    };
    let user = owner(accounts.user(uid), uid);
    let group = owner(accounts.group(gid), gid);
    text(absolute(path), Some(mode), user, group)
}

/// A line that gives a path to accounts with ids of packages, and nothing else; with the path. None
/// where it has none with a name.
fn line_of_owner(
    path: &Path,
    (_, uid, gid): Metadata,
    accounts: &Accounts,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let path = absolute(path);
    let by_name = |name: Option<&[u8]>, id: u32| {
        let name = name.filter(|_| DYNAMIC.contains(&id))?;
        Some(Owner::Name(name.to_owned()))
    };
    let user = by_name(accounts.user(uid), uid);
    let group = by_name(accounts.group(gid), gid);
    if user.is_none() && group.is_none() {
        return None;
    }
    let line = text(pattern_of(&path), None, user, group)?;
    Some((path, line))
}

fn text(
    path: Vec<u8>,
    mode: Option<Mode>,
    user: Option<Owner>,
    group: Option<Owner>,
) -> Option<Vec<u8>> {
    let line = Line {
        kind: b'z',
        modifiers: Vec::new(),
        path,
        mode,
        user,
        group,
        age: None,
        argument: None,
        file: Vec::new(),
        number: 0,
    };
    Some(line.to_text()?.trim_ascii_end().to_vec())
}
