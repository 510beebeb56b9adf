//! What is installed, by the databases of dpkg and rpm: one package at a time is in memory, and nothing is read before
//! somebody asks. A further manager is a variant of [`Manager`] and of [`Source`], and a file beside `dpkg.rs`.

use std::io;

use thiserror::Error;

pub use crate::model::rpm_header::Attributes;
use crate::tree::Tree;

use super::{dpkg, rpm};

/// Whose database knows a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// dpkg.
    Dpkg,
    /// rpm.
    Rpm,
}

/// An entry that a package owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned<'a> {
    /// Its path as the package has it, absolute. The package may have it as a parent only.
    pub path: &'a [u8],
    /// What the package says of it; dpkg knows nothing but paths.
    pub attributes: Option<Attributes<'a>>,
}

/// An account that a package asks the manager to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account<'a> {
    /// A user.
    User(&'a [u8]),
    /// A group.
    Group(&'a [u8]),
}

/// What runs at the installation of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// The content of a file.
    At(String),
    /// This.
    Text(Vec<u8>),
}

/// What is not known of the packages of a root.
#[derive(Debug, Error)]
pub enum Unread {
    /// A part of a database could not be read.
    #[error("/{path} cannot be read: {error}")]
    Broken {
        /// Relative to the root.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The database is one of rpm's that is not read.
    #[error("/{path} is not read: only rpm's format sqlite is, and this is {format}")]
    Format {
        /// Relative to the root.
        path: String,
        /// The name of the format.
        format: &'static str,
    },
}

/// The package databases of a root: that of dpkg, that of rpm, both or none.
#[derive(Clone, Copy)]
pub struct PackageDb<'a> {
    tree: &'a dyn Tree,
}

impl<'a> PackageDb<'a> {
    /// The databases in a tree. Nothing is read yet.
    pub fn of(tree: &'a dyn Tree) -> Self {
        Self { tree }
    }

    /// Visits each installed package once, rpm's before dpkg's; returns what could not be read, beside which the others
    /// were visited.
    pub fn each(&self, visit: &mut dyn FnMut(&Installed<'_>)) -> Vec<Unread> {
        let mut unread = rpm::each(self.tree, visit);
        unread.extend(dpkg::each(self.tree, visit));
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

/// Where what is known of a package stands.
pub(super) enum Source<'a> {
    Dpkg(dpkg::Record<'a>),
    Rpm(rpm::Record<'a>),
}

/// An installed package.
pub struct Installed<'a> {
    name: &'a str,
    source: Source<'a>,
}

impl<'a> Installed<'a> {
    pub(super) fn new(name: &'a str, source: Source<'a>) -> Self {
        Self { name, source }
    }

    /// Its name without version and architecture.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whose database it is of.
    pub fn manager(&self) -> Manager {
        match self.source {
            Source::Dpkg(_) => Manager::Dpkg,
            Source::Rpm(_) => Manager::Rpm,
        }
    }

    /// Visits its entries, in the database's order.
    pub fn entries(&self, visit: &mut dyn FnMut(&Owned<'_>)) {
        match &self.source {
            Source::Dpkg(record) => record.entries(visit),
            Source::Rpm(record) => record.entries(visit),
        }
    }

    /// The accounts that it asks for beside what its scripts make; dpkg's packages have scripts alone.
    pub fn accounts(&self) -> Vec<Account<'a>> {
        match &self.source {
            Source::Dpkg(_) => Vec::new(),
            Source::Rpm(record) => record.accounts(),
        }
    }

    /// When its packager changed it last, in seconds since 1970. dpkg's database does not know.
    pub fn changelog_time(&self) -> Option<u64> {
        match &self.source {
            Source::Dpkg(_) => None,
            Source::Rpm(record) => record.changelog_time(),
        }
    }

    /// What runs at its installation.
    pub(crate) fn script(&self) -> Script {
        match &self.source {
            Source::Dpkg(record) => Script::At(record.script()),
            Source::Rpm(record) => Script::Text(record.script()),
        }
    }
}
