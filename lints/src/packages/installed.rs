//! A package and what its manager's database knows of it.

use std::io;

use thiserror::Error;

pub use crate::model::rpm_header::Attributes;

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
    /// The database is of a manager that is not known.
    #[error("/{path} is not read: it is the database of {manager}")]
    Manager {
        /// Relative to the root.
        path: String,
        /// The manager's name.
        manager: &'static str,
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

/// What a manager's database has of a package.
pub(super) trait Record {
    /// Whose database it is.
    fn manager(&self) -> Manager;
    /// Visits its entries, in the database's order.
    fn entries(&self, visit: &mut dyn FnMut(&Owned<'_>));
    /// What runs at its installation.
    fn script(&self) -> Script;
    /// The accounts that it asks for beside what its scripts make.
    fn accounts(&self) -> Vec<Account<'_>> {
        Vec::new()
    }
    /// When its packager changed it last, in seconds since 1970.
    fn changelog_time(&self) -> Option<u64> {
        None
    }
}

/// An installed package.
pub struct Installed<'a> {
    name: &'a str,
    record: &'a dyn Record,
}

impl<'a> Installed<'a> {
    pub(super) fn new(name: &'a str, record: &'a dyn Record) -> Self {
        Self { name, record }
    }

    /// Its name without version and architecture.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whose database it is of.
    pub fn manager(&self) -> Manager {
        self.record.manager()
    }

    /// Visits its entries, in the database's order.
    pub fn entries(&self, visit: &mut dyn FnMut(&Owned<'_>)) {
        self.record.entries(visit);
    }

    /// The accounts that it asks for beside what its scripts make; dpkg's packages have scripts alone.
    pub fn accounts(&self) -> Vec<Account<'a>> {
        self.record.accounts()
    }

    /// When its packager changed it last, in seconds since 1970. dpkg's database does not know.
    pub fn changelog_time(&self) -> Option<u64> {
        self.record.changelog_time()
    }

    /// What runs at its installation.
    pub(crate) fn script(&self) -> Script {
        self.record.script()
    }
}
