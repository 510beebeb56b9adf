//! What is installed, by the databases of dpkg and rpm: one package at a time is in memory, and nothing is read before
//! somebody asks. A further manager is a variant of [`Manager`](super::Manager) and a file beside `dpkg.rs`.

use super::installed::{Installed, Owned, Unread};
use super::{dpkg, pacman, rpm};
use crate::tree::Tree;

/// The package databases of a root: that of dpkg, that of rpm, both or none.
#[derive(Clone, Copy)]
pub struct PackageDb<'a> {
    tree: &'a dyn Tree,
}

/// A moment in the life of a root's package databases.
#[derive(Clone, Copy, Debug)]
pub struct Moment(Option<i64>);

impl<'a> PackageDb<'a> {
    /// The databases in a tree. Nothing is read yet.
    pub fn of(tree: &'a dyn Tree) -> Self {
        Self { tree }
    }

    /// What [`PackageDb::since`] counts from. Little is read for it.
    pub fn now(&self) -> Moment {
        Moment(rpm::last(self.tree).unwrap_or(Some(i64::MAX)))
    }

    /// Visits each package that was installed since then and still is, an upgraded one too; returns what could not be read.
    /// Where rpm's database could not be read then, nothing in it is known to be new. dpkg's has no such order. It writes the
    /// list of a package's files anew with each installation (dpkg 1.22, `src/main/unpack.c`): `is_new` says of the path of
    /// such a list, relative to the root, whether it was written since.
    pub fn since(
        &self,
        then: Moment,
        is_new: &dyn Fn(&str) -> bool,
        visit: &mut dyn FnMut(&Installed<'_>),
    ) -> Vec<Unread> {
        let mut unread = rpm::each(self.tree, then.0, visit);
        unread.extend(dpkg::each(self.tree, is_new, visit));
        unread
    }

    /// Visits each installed package once, rpm's before dpkg's; returns what could not be read, beside which the others
    /// were visited.
    pub fn each(&self, visit: &mut dyn FnMut(&Installed<'_>)) -> Vec<Unread> {
        let mut unread = rpm::each(self.tree, None, visit);
        unread.extend(dpkg::each(self.tree, &|_| true, visit));
        unread.extend(pacman::unread(self.tree));
        unread
    }

    /// Visits what packages own at `tops` and below: absolute paths without a slash at the end, so that all is below an
    /// empty one. An entry of several packages comes up for each of them. A link on the way is not followed: what a
    /// package calls /opt/x is below /opt, wherever the image has it.
    pub fn owned(
        &self,
        tops: &[&[u8]],
        visit: &mut dyn FnMut(&Installed<'_>, &Owned<'_>),
    ) -> Vec<Unread> {
        let is_wanted = |path: &[u8]| {
            tops.iter().any(|top| {
                let rest = path.strip_prefix(*top);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            })
        };
        self.each(&mut |installed| {
            installed.entries(&mut |owned| {
                if is_wanted(owned.path) {
                    visit(installed, owned);
                }
            });
        })
    }
}
