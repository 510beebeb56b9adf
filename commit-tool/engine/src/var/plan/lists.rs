//! The access control lists of what is kept: lines say them at boot, and the factory has none.

use std::path::Path;

use osderive_lints::{
    EntryKind,
    model::{acl::Lists, tmpfiles::Line},
};

use super::{Planner, action::VarAction};
use crate::{
    attributes,
    handle::Look,
    paths::absolute,
    place::Meta,
    var::{
        boot::{ListLine, factory_of},
        entry::{Entry, Kind},
    },
};

impl Planner<'_> {
    /// Wants a line for the lists of an entry that boot makes, unless lines of others give it these.
    pub(super) fn settle_lists(&mut self, path: &Path, entry: &Entry) {
        if self.older_lists.contains_key(path) {
            self.looked_at.insert(path.to_owned());
        }
        let lists = &entry.attributes.lists;
        let boot = &self.seen.boot;
        let bits = (entry.meta.look.mode, entry.kind == Kind::Directory);
        let of_others = boot.lists_of(path, Lists::default(), bits, ListLine::is_of_others);
        if *lists == of_others {
            return;
        }
        let (user, group) = (|uid| boot.names.user(uid), |gid| boot.names.group(gid));
        let line = attributes::line(&absolute(path), lists, user, group);
        self.lists.extend(line.map(|line| (path.to_owned(), line)));
    }

    /// What comes to be in the factory has no lists: whoever carries the image may lose them, and copies have the
    /// permission bits alone until their lines are done.
    pub(super) fn make_plain(&mut self, path: &Path, entry: &Entry) {
        if entry.attributes.lists.is_empty() {
            return;
        }
        let look = &entry.meta.look;
        let is_shared = self.has_names_elsewhere(look);
        self.plain.push(VarAction::Plain {
            path: factory_of(path),
            mode: look.mode,
            is_shared,
        });
    }

    /// Whether a file has names that do not come to be in the factory.
    pub(super) fn has_names_elsewhere(&self, look: &Look) -> bool {
        if look.kind != EntryKind::File || look.links == 1 {
            return false;
        }
        let is_name = |other: &Meta| other.look.file() == look.file();
        let moving = (self.seen.entries.iter())
            .filter(|(path, entry)| is_name(&entry.meta) && !self.is_fixed(path));
        let there = self.seen.factory.values().filter(|meta| is_name(meta));
        (moving.count() + there.count()) as u64 != look.links
    }

    /// The line about the lists of what is in a tree, of this step's or an earlier one's. It stands before the line
    /// of the owner: below a directory that has another owner already, boot changes nothing.
    pub(super) fn list_in_tree(&mut self, path: &Path) -> Option<Line> {
        let older = self.older_lists.get(path);
        match older.filter(|_| self.looked_at.insert(path.to_owned())) {
            Some(older) => Some((*older).clone()),
            None => self.lists.remove(path),
        }
    }
}
