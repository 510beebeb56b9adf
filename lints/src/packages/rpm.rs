//! rpm's database: a table of SQLite with a header for each package.

use std::io::{self, Seek as _, SeekFrom};

use super::installed::{Account, Installed, Manager, Owned, Record, Script, Unread};
use crate::model::rpm_header::{Header, Tag};
use crate::model::sqlite::{Database, Row, Value};
use crate::tree::{Seekable, Tree};

/// Where the database may be. Images have links between these, so that it is the same file in several.
pub const PLACES: [&str; 3] = ["usr/lib/sysimage/rpm", "usr/share/rpm", "var/lib/rpm"];

/// Files of rpm's other databases, which are not read, and the names of those.
const OTHERS: [(&str, &str); 2] = [("Packages.db", "ndb"), ("Packages", "bdb")];

/// The table and its column (rpm's `lib/backend/sqlite.cc`, `init_table`).
const TABLE: &[u8] = b"Packages";
const HEADER: usize = 1;

/// Bytes of a database at most, and of the log beside it; the largest have some hundred million.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes of a header at most: packages of 100 000 files have some twenty million.
const MAX_HEADER_BYTES: usize = 32 << 20;

/// Bytes of what runs at the installation of one package at most.
const MAX_SCRIPT_BYTES: usize = 256 << 10;

/// What a journal begins with while it counts ("The Rollback Journal" of SQLite's file format).
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// A package.
struct Stored<'a> {
    header: Header<'a>,
}

impl Record for Stored<'_> {
    fn manager(&self) -> Manager {
        Manager::Rpm
    }

    fn entries(&self, visit: &mut dyn FnMut(&Owned<'_>)) {
        self.header
            .files(&mut |path, attributes| visit(&Owned { path, attributes }));
    }

    /// `Provides: user(NAME)` and `group(NAME)`, which rpm makes of a package's sysusers.d.
    fn accounts(&self) -> Vec<Account<'_>> {
        let provided = self.header.strings(Tag::ProvideName);
        let accounts = provided.filter_map(|name| {
            let name = name.strip_suffix(b")")?;
            let user = name.strip_prefix(b"user(").map(Account::User);
            user.or_else(|| name.strip_prefix(b"group(").map(Account::Group))
        });
        accounts.collect()
    }

    fn changelog_time(&self) -> Option<u64> {
        self.header.numbers(Tag::ChangelogTime).next()
    }

    /// What runs before and after its installation, whatever runs it.
    fn script(&self) -> Script {
        let tags = [Tag::PreTrans, Tag::PreIn, Tag::PostIn, Tag::PostTrans];
        let texts = tags.iter().filter_map(|tag| self.header.string(*tag));
        let mut script = texts.collect::<Vec<_>>().join(&b'\n');
        script.truncate(MAX_SCRIPT_BYTES);
        Script::Text(script)
    }
}

/// Visits each package of the database; behind a key only those that were installed since it was the last.
pub(super) fn each(
    tree: &dyn Tree,
    after: Option<i64>,
    visit: &mut dyn FnMut(&Installed<'_>),
) -> Vec<Unread> {
    of_first(tree, &mut |packages| {
        // One that cannot be read is told after the others.
        let mut unreadable = None;
        packages.rows(TABLE, after, MAX_HEADER_BYTES, &mut |row| {
            if let Err(error) = package(row, visit) {
                unreadable.get_or_insert_with(|| {
                    io::Error::other(format!("header {} is no use: {error}", row.key))
                });
            }
            Ok(())
        })?;
        unreadable.map_or(Ok(()), Err)
    })
}

/// The key of the package that was installed last; none without a package. rpm counts them up and gives no number twice
/// (`AUTOINCREMENT` in its `lib/backend/sqlite.cc`, `init_table`).
pub(super) fn last(tree: &dyn Tree) -> Result<Option<i64>, Vec<Unread>> {
    let mut last = None;
    let unread = of_first(tree, &mut |packages| {
        last = packages.last_key(TABLE)?;
        Ok(())
    });
    if unread.is_empty() {
        Ok(last)
    } else {
        Err(unread)
    }
}

type Packages<'a> = Database<Box<dyn Seekable + 'a>>;

/// Has the first database read that has a package. Others are left from elsewhere: any `rpm` makes an empty one where
/// there is none.
fn of_first<'a>(
    tree: &'a dyn Tree,
    read: &mut dyn FnMut(&mut Packages<'a>) -> io::Result<()>,
) -> Vec<Unread> {
    let mut unread = Vec::new();
    let mut seen = Vec::new();
    for place in PLACES {
        let path = format!("{place}/rpmdb.sqlite");
        let Ok(Some(meta)) = tree.follow(path.as_bytes()) else {
            continue;
        };
        if seen.contains(&meta.inode) {
            continue;
        }
        seen.push(meta.inode);
        let mut has_packages = false;
        let outcome = open(tree, &path).and_then(|packages| {
            let Some(mut packages) = packages else {
                return Ok(());
            };
            has_packages = packages.last_key(TABLE)?.is_some();
            if has_packages {
                read(&mut packages)
            } else {
                Ok(())
            }
        });
        if let Err(error) = outcome {
            tree.budget().note(format!("/{path}").as_bytes(), &error);
            unread.push(Unread::Broken { path, error });
        }
        if has_packages {
            return unread;
        }
    }
    unread.extend(other(tree));
    unread
}

/// A database of a format that is not read.
fn other(tree: &dyn Tree) -> Option<Unread> {
    let mut files = PLACES.iter().flat_map(|place| {
        let path = move |(name, format)| (format!("{place}/{name}"), format);
        OTHERS.into_iter().map(path)
    });
    let is_there = |(path, _): &(String, _)| {
        let meta = tree.follow(path.as_bytes());
        meta.is_ok_and(|meta| meta.is_some_and(|meta| meta.size > 0))
    };
    let (path, format) = files.find(is_there)?;
    Some(Unread::Format { path, format })
}

fn open<'a>(tree: &'a dyn Tree, path: &str) -> io::Result<Option<Packages<'a>>> {
    refuse_journal(tree, path)?;
    let Some(file) = counted(tree, path)? else {
        return Ok(None);
    };
    let log = counted(tree, &format!("{path}-wal"))?;
    Database::open(file, log).map(Some)
}

fn package(row: Row<'_>, visit: &mut dyn FnMut(&Installed<'_>)) -> io::Result<()> {
    let Value::Bytes(header) = row.value(HEADER)? else {
        return Err(io::Error::other("it has no bytes"));
    };
    let header = Header::parse(header).map_err(io::Error::other)?;
    let name = header.string(Tag::Name);
    let name = name.ok_or_else(|| io::Error::other("it has no name"))?;
    let name = String::from_utf8_lossy(name);
    visit(&Installed::new(&name, &Stored { header }));
    Ok(())
}

/// Opens a file of which each byte counts as work once.
fn counted<'a>(tree: &'a dyn Tree, path: &str) -> io::Result<Option<Box<dyn Seekable + 'a>>> {
    let Some(mut file) = tree.open_seekable(path.as_bytes(), MAX_BYTES)? else {
        return Ok(None);
    };
    tree.budget().spend(file.seek(SeekFrom::End(0))?)?;
    Ok(Some(file))
}

/// Refuses a database in which a transaction has not ended: what was before stands in its journal.
fn refuse_journal(tree: &dyn Tree, path: &str) -> io::Result<()> {
    let Some(mut journal) = tree.open(format!("{path}-journal").as_bytes())? else {
        return Ok(());
    };
    let mut begin = [0; 8];
    match journal.read_exact(&mut begin) {
        Ok(()) if begin == JOURNAL => {
            let error = "a transaction of rpm has not ended, which `rpm --query --all` undoes";
            Err(io::Error::other(error))
        }
        _ => Ok(()),
    }
}
