//! The end of the plan: the lines of what is kept, the files that they are in, and what is taken out of the factory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use osderive_lints::{
    model::tmpfiles::Line,
    rules::{name_not_utf8, secret_in_image, var_large_factory, var_not_kept},
};

use super::{
    Fate, NEEDED, Planner,
    action::{VarAction, VarPlan},
    raw,
};
use crate::{
    domain::Phase,
    files,
    handle::Look,
    paths::{absolute, pattern_of, shown, single_path},
    snippets::{TMPFILES_D, is_own},
    var::{
        boot::{factory_of, relative},
        entry::Kind,
        unmade::{self, Unmade},
    },
};

impl Planner<'_> {
    pub(super) fn finish(mut self) -> VarPlan {
        let mut owners = Vec::new();
        for top in std::mem::take(&mut self.tops) {
            let is_copied = |above: &Path| {
                let line = self.wanted.get(above);
                line.is_some_and(|line| line.kind == b'C')
            };
            if !top.ancestors().skip(1).any(is_copied) {
                self.declare_top(&top, &mut owners);
            }
        }
        // The last ones first, as in a tree.
        owners.extend(std::mem::take(&mut self.lists).into_iter().rev());
        let unfinished = self.seen.unfinished.iter();
        let unfinished = unfinished.map(|(path, look)| VarAction::Plain {
            path: factory_of(path),
            mode: look.mode,
            is_shared: self.has_names_elsewhere(look),
        });
        let unfinished: Vec<VarAction> = unfinished.collect();
        self.plain.extend(unfinished);
        let gone = self.gone_from_factory();
        let mut files = self.files(&owners);
        files.extend(self.remember_unmade());
        let total = self.bytes.values().sum();
        let mut largest: Vec<_> = self.bytes.iter().collect();
        largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
        let largest = largest
            .iter()
            .take(5)
            .map(|(path, _)| shown(path))
            .collect();
        let findings = var_large_factory::finding(total, largest);
        let odd_names = self.odd_names();
        let declared = self
            .wanted
            .values()
            .filter(|line| line.kind != b'C')
            .count();
        self.prelude_state.reverse();
        self.emptied.reverse();
        let mut actions: Vec<VarAction> = files.into_iter().map(VarAction::File).collect();
        for mut more in [
            self.removes,
            self.prelude_state,
            gone,
            self.moves,
            self.plain,
            self.emptied,
        ] {
            actions.append(&mut more);
        }
        VarPlan {
            actions,
            findings: findings
                .into_iter()
                .chain(var_not_kept::finding(&self.stuck))
                .chain(name_not_utf8::finding(&odd_names))
                .chain(secret_in_image::finding(&self.seen.keys))
                .chain(self.seen.missing.iter().cloned())
                .collect(),
            declared,
            kept: self.kept,
            left_bytes: self.left_bytes,
            has_emptied: self.has_emptied,
        }
    }

    /// What is kept, declared or left in the layer by a name that is not UTF-8.
    fn odd_names(&self) -> Vec<String> {
        let is_odd = |path: &Path| path.file_name().is_some_and(|name| name.to_str().is_none());
        let entries = self.seen.entries.iter();
        let kept = entries.filter(|(path, entry)| {
            is_odd(path) && !matches!(self.fate(path, entry), Fate::Goes(_))
        });
        kept.map(|(path, _)| shown(path)).collect()
    }

    /// The line that copies a tree, and a line for each entry in it that has another owner than the
    /// tree: what is copied gets one owner, by name.
    fn declare_top(&mut self, top: &Path, owners: &mut Vec<(PathBuf, Line)>) {
        let tree = self.tree(top);
        let Some(look) = tree.get(top).copied() else {
            return;
        };
        let has_owner = |(uid, gid), look: &Look| (look.uid, look.gid) == (uid, gid);
        let mut base = (look.uid, look.gid);
        let parent = top.parent().and_then(|above| self.seen.owners.get(above));
        let is_mixed = tree.values().any(|look| !has_owner(base, look));
        if is_mixed && let Some(&uid) = parent.filter(|uid| **uid != 0) {
            // Below a directory with another owner, boot changes no owners any more.
            base.0 = uid;
        }
        let (user, group) = self.owner(base.0, base.1);
        let line = Line {
            user: Some(user),
            group: Some(group),
            ..self.line(b'C', top, &look, None)
        };
        self.wanted.insert(top.to_owned(), line);
        for (path, look) in tree.iter().rev() {
            owners.extend(self.list_in_tree(path).map(|line| (path.clone(), line)));
            if has_owner(base, look) {
                continue;
            }
            let line = Line {
                path: pattern_of(&absolute(path)),
                mode: None,
                ..self.line(b'z', path, look, None)
            };
            owners.push((path.clone(), line));
        }
    }

    /// What boot copies to a path, once the moves are done.
    fn tree(&self, top: &Path) -> BTreeMap<PathBuf, Look> {
        let copies = self.seen.factory.range(top.to_owned()..);
        let copies = copies
            .take_while(|(path, _)| path.starts_with(top))
            .filter(|(path, _)| !self.dropped.contains(*path))
            .map(|(path, meta)| (path.clone(), meta.look));
        let entries = self.seen.entries.range(top.to_owned()..);
        let entries = entries
            .take_while(|(path, _)| path.starts_with(top))
            .filter(|(path, entry)| {
                let fate = || self.fate(path, entry);
                !matches!(entry.kind, Kind::Fifo | Kind::Socket | Kind::Node)
                    && (*path == top || matches!(fate(), Fate::Kept | Fate::Waits))
            })
            .map(|(path, entry)| (path.clone(), entry.meta.look));
        // Of a path in both the later one counts: what is new.
        copies.chain(entries).collect()
    }

    /// Copies of ours that are not wanted any more, and what steps moved that was to go at the end.
    fn gone_from_factory(&self) -> Vec<VarAction> {
        let remove = |path: PathBuf, kind, reason| VarAction::Remove { path, kind, reason };
        let dropped = self.dropped.iter().rev();
        let copies = dropped.filter(|path| self.own_top(path).is_some());
        let copies = copies.filter_map(|path| {
            let copy = self.seen.factory.get(path)?;
            let reason = "it is a copy of what is not wanted any more";
            Some(remove(factory_of(path), copy.look.kind, reason))
        });
        let carried = self.seen.carried.iter().map(|(path, meta)| {
            let reason = "left by the build's package manager";
            remove(path.clone(), meta.look.kind, reason)
        });
        copies.chain(carried).collect()
    }

    /// What the next RUN is not to find again although boot makes it: what this one took away, or an earlier one.
    fn remember_unmade(&self) -> Option<files::FileAction> {
        let seen = self.seen;
        let is_made_by_boot =
            |path: &Path| match (seen.boot.lines.get(path), seen.boot.copy_above(path)) {
                (Some(line), _) => !is_own(&line.file) || !seen.retracted.contains(path),
                (None, Some((top, line))) => !is_own(&line.file) && !seen.gone.contains(top),
                (None, None) => false,
            };
        let gone = seen.gone.iter().filter(|path| is_made_by_boot(path));
        let is_back = |path: &Path| seen.there.contains(path) || self.wanted.contains_key(path);
        let unmade = seen.unmade.iter().chain(gone);
        let unmade = unmade
            .filter(|path| !is_back(path))
            .chain(seen.brought.keys());
        let unmade = unmade.filter(|_| seen.phase == Phase::Step);
        let unmade: Unmade = unmade.cloned().collect();
        (unmade != seen.unmade).then(|| unmade::remember(&unmade))
    }

    fn files(&self, owners: &[(PathBuf, Line)]) -> Vec<files::FileAction> {
        let makers: Vec<Vec<u8>> = self.wanted.values().filter_map(raw).collect();
        let others: Vec<Vec<u8>> = owners.iter().filter_map(|(_, line)| raw(line)).collect();
        let tops: BTreeSet<&Path> = (self.wanted.iter())
            .filter(|(_, line)| line.kind == b'C')
            .map(|(path, _)| &**path)
            .collect();
        let wanted: Vec<&[u8]> = makers.iter().chain(&others).map(Vec::as_slice).collect();
        let known: BTreeSet<&[u8]> = self.seen.own.iter().map(|(raw, _)| &raw[..]).collect();
        let is_wanted: BTreeSet<&[u8]> = wanted.iter().copied().collect();
        // The order of owners counts within a file only: when one of them is new, all are.
        let some_new = others.iter().any(|raw| !known.contains(&raw[..]));
        let stale: BTreeSet<&[u8]> = (self.seen.own.iter())
            .filter(|(raw, line)| {
                let is_again = some_new && others.contains(raw);
                is_again || self.is_stale(line, is_wanted.contains(&raw[..]), &tops)
            })
            .map(|(raw, _)| &raw[..])
            .collect();
        let new: Vec<&[u8]> = (wanted.into_iter())
            .filter(|raw| !known.contains(raw) || stale.contains(raw))
            .collect();
        (self.seen.folder).plan(&TMPFILES_D, &new, NEEDED, |raw| !stale.contains(raw))
    }

    /// Whether a line of ours is no longer true.
    fn is_stale(&self, line: &Line, is_wanted: bool, tops: &BTreeSet<&Path>) -> bool {
        let path = if matches!(line.kind, b'z' | b'a') {
            single_path(&line.path)
        } else {
            Some(line.path.clone())
        };
        let Some(path) = path.and_then(|path| relative(&path)) else {
            return false;
        };
        if self.dropped.contains(&path) {
            return !is_wanted;
        }
        let in_top = path.ancestors().find(|above| tops.contains(above));
        let is_copied_anyway = match line.kind {
            b'z' => in_top.is_some(),
            b'C' => in_top.is_some_and(|top| top != path),
            b'a' => self.looked_at.contains(&path),
            _ => false,
        };
        !is_wanted
            && (is_copied_anyway || line.makes_something() && self.wanted.contains_key(&path))
    }
}
