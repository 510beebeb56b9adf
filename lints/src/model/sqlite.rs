//! Tables of SQLite databases (<https://sqlite.org/fileformat2.html>), read page by page: a row at a time is in
//! memory, and no page is read twice in a scan, whatever the file holds. What stands in the log beside the file counts.

mod wal;

use std::io::{self, Read, Seek, SeekFrom};

use wal::Log;

/// What the file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Bytes of the file's header, which stands before the first page's own.
const FILE_HEADER: usize = 100;

/// The page of the table that names all others.
const SCHEMA: u32 = 1;

/// Bytes of a row of that table at most.
const MAX_SCHEMA_ROW: usize = 64 << 10;

/// A tree is never deeper (SQLite's `BTCURSOR_MAX_DEPTH`).
const MAX_DEPTH: usize = 20;

/// Kinds of pages that tables have.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// A value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number, or the key of the row, which is told apart.
    Integer(i64),
    /// Text or bytes.
    Bytes(&'a [u8]),
    /// Nothing, or a fraction.
    Other,
}

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Its key.
    pub key: i64,
    /// Its values; none if they have more bytes than are wanted.
    record: Option<&'a [u8]>,
}

impl<'a> Row<'a> {
    /// Its value in a column, counted from 0.
    ///
    /// # Errors
    /// When the row is damaged, or has more bytes than are wanted.
    pub fn value(&self, column: usize) -> io::Result<Value<'a>> {
        let record = self
            .record
            .ok_or_else(|| io::Error::other("a row has too many bytes"))?;
        value(record, column).ok_or_else(|| damaged("a row"))
    }
}

/// A database.
pub struct Database<R> {
    file: R,
    log: Option<Log<R>>,
    page_size: usize,
    /// What a page has for content.
    usable: usize,
    pages: u32,
    /// The pages that the scan has read, a bit each.
    seen: Vec<u8>,
}

impl<R: Read + Seek> Database<R> {
    /// Opens a database with the log beside it, whose name ends in `-wal`.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub fn open(mut file: R, log: Option<R>) -> io::Result<Self> {
        let mut header = [0; FILE_HEADER];
        file.rewind()?;
        file.read_exact(&mut header)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => none(),
                _ => error,
            })?;
        if !header.starts_with(MAGIC) {
            return Err(none());
        }
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 1 << 16,
            size if size.is_power_of_two() && size >= 512 => usize::from(size),
            _ => return Err(damaged("its header")),
        };
        let usable = page_size - usize::from(header[20]);
        if usable < 480 {
            return Err(damaged("its header"));
        }
        let log = log
            .map(|log| Log::read(log, page_size))
            .transpose()?
            .flatten();
        let stored = file.seek(SeekFrom::End(0))? / page_size as u64;
        let logged = log.as_ref().map_or(0, Log::pages);
        let pages =
            u32::try_from(stored.saturating_add(logged)).map_err(|_| damaged("its size"))?;
        Ok(Self {
            file,
            log,
            page_size,
            usable,
            pages,
            seen: Vec::new(),
        })
    }

    /// Visits the pages that the log has and the file has not yet, each with where it begins in the file; answers with how
    /// many bytes the file has with them. None where the log holds no transaction.
    ///
    /// # Errors
    /// When the log cannot be read, and what `visit` returns.
    pub fn checkpoint(
        &mut self,
        visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        match &mut self.log {
            Some(log) => log.checkpoint(visit),
            None => Ok(None),
        }
    }

    /// Visits the rows of a table by their keys, those behind a key alone if one is given. Of a row with more than `limit`
    /// bytes only the key is known.
    ///
    /// # Errors
    /// When there is no such table, or it is damaged; what was visited is good. And what `visit` returns.
    pub fn rows(
        &mut self,
        table: &[u8],
        after: Option<i64>,
        limit: usize,
        visit: &mut dyn FnMut(Row<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let root = self.root(table)?;
        self.scan(root, after, limit, visit)
    }

    /// The highest key of a table; none of an empty one. It takes a page of each level.
    ///
    /// # Errors
    /// When there is no such table, or it is damaged.
    pub fn last_key(&mut self, table: &[u8]) -> io::Result<Option<i64>> {
        let mut number = self.root(table)?;
        let mut page = vec![0; self.page_size];
        loop {
            self.page(number, &mut page)?;
            let page = Page::new(number, &page[..self.usable]).ok_or_else(|| broken(number))?;
            match page.kind {
                INTERIOR => number = page.last,
                LEAF => {
                    let last = page.cells().last();
                    let key = last.map(|cell| Some(Cell::new(cell?, self.usable)?.key));
                    return key.map(|key| key.ok_or_else(|| broken(number))).transpose();
                }
                _ => return Err(broken(number)),
            }
        }
    }

    /// The first page of a table.
    fn root(&mut self, table: &[u8]) -> io::Result<u32> {
        self.seen = vec![0; self.pages as usize / 8 + 1];
        let mut root = None;
        self.scan(SCHEMA, None, MAX_SCHEMA_ROW, &mut |row| {
            let is_table = row.value(0)? == Value::Bytes(b"table");
            if is_table && row.value(1)? == Value::Bytes(table) {
                root = match row.value(3)? {
                    Value::Integer(page) => u32::try_from(page).ok(),
                    _ => None,
                };
            }
            Ok(())
        })?;
        root.ok_or_else(|| {
            let table = String::from_utf8_lossy(table);
            io::Error::other(format!("it has no table {table}"))
        })
    }

    /// Visits the rows of the tree of a page.
    fn scan(
        &mut self,
        root: u32,
        after: Option<i64>,
        limit: usize,
        visit: &mut dyn FnMut(Row<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut page = vec![0; self.page_size];
        let mut record = Vec::new();
        // The pages to come, of each level; the next one stands last.
        let mut levels = vec![vec![root]];
        while let Some(level) = levels.last_mut() {
            let Some(number) = level.pop() else {
                levels.pop();
                continue;
            };
            self.page(number, &mut page)?;
            let page = Page::new(number, &page[..self.usable]).ok_or_else(|| broken(number))?;
            match page.kind {
                INTERIOR if levels.len() < MAX_DEPTH => {
                    let children = page.children(after);
                    levels.push(children.ok_or_else(|| broken(number))?);
                }
                LEAF => {
                    // Rows do not share bytes: this ends what would visit one a thousand times.
                    let mut left = self.usable;
                    for cell in page.cells() {
                        let cell = cell.and_then(|cell| Cell::new(cell, self.usable));
                        let cell = cell.ok_or_else(|| broken(number))?;
                        left = left
                            .checked_sub(cell.local.len())
                            .ok_or_else(|| broken(number))?;
                        if after.is_some_and(|after| cell.key <= after) {
                            continue;
                        }
                        let is_wanted = self.record(&cell, limit, &mut record)?;
                        visit(Row {
                            key: cell.key,
                            record: is_wanted.then_some(&*record),
                        })?;
                    }
                }
                _ => return Err(broken(number)),
            }
        }
        Ok(())
    }

    /// Reads the bytes of a row; whether they are no more than wanted.
    fn record(&mut self, cell: &Cell<'_>, limit: usize, record: &mut Vec<u8>) -> io::Result<bool> {
        record.clear();
        let size = usize::try_from(cell.size).unwrap_or(usize::MAX);
        if size > limit {
            return Ok(false);
        }
        let needs = size.saturating_sub(cell.local.len()) / self.usable;
        if needs > self.pages as usize {
            return Err(damaged("a row"));
        }
        record.reserve_exact(size);
        record.extend_from_slice(cell.local);
        let mut next = cell.overflow;
        let mut page = vec![0; if next.is_some() { self.page_size } else { 0 }];
        while let Some(number) = next {
            self.page(number, &mut page)?;
            let (link, content) = page[..self.usable].split_at(4);
            let content = &content[..content.len().min(size - record.len())];
            record.extend_from_slice(content);
            next = if record.len() < size {
                array(link).map(u32::from_be_bytes)
            } else {
                None
            };
        }
        Ok(true)
    }

    /// Reads a page.
    fn page(&mut self, number: u32, page: &mut [u8]) -> io::Result<()> {
        if number == 0 || number > self.pages {
            return Err(damaged("its order of pages"));
        }
        let (seen, bit) = (&mut self.seen[number as usize / 8], 1 << (number % 8));
        // Each page has one use: a second one would be a circle.
        if *seen & bit != 0 {
            return Err(damaged("its order of pages"));
        }
        *seen |= bit;
        if let Some(log) = &mut self.log
            && log.page(number, page)?
        {
            return Ok(());
        }
        let place = u64::from(number - 1) * self.page_size as u64;
        self.file.seek(SeekFrom::Start(place))?;
        self.file.read_exact(page)
    }
}

/// A page of a table's tree.
struct Page<'a> {
    bytes: &'a [u8],
    kind: u8,
    /// The places of its cells, two bytes each.
    places: &'a [u8],
    /// The page behind all that the cells lead to.
    last: u32,
}

impl<'a> Page<'a> {
    fn new(number: u32, bytes: &'a [u8]) -> Option<Self> {
        let start = if number == SCHEMA { FILE_HEADER } else { 0 };
        let header = bytes.get(start..)?;
        let kind = *header.first()?;
        let count = usize::from(u16::from_be_bytes(array(header.get(3..)?)?));
        let (places, last) = match kind {
            INTERIOR => (header.get(12..)?, u32::from_be_bytes(array(&header[8..])?)),
            _ => (header.get(8..)?, 0),
        };
        Some(Self {
            bytes,
            kind,
            places: places.get(..count * 2)?,
            last,
        })
    }

    /// What the page has from each cell on.
    fn cells(&self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let bytes = self.bytes;
        self.places.chunks_exact(2).map(move |place| {
            let place = u16::from_be_bytes([place[0], place[1]]);
            bytes.get(usize::from(place)..)
        })
    }

    /// The pages below, the first one last. Of those whose rows all stand up to a key nothing is wanted.
    fn children(&self, after: Option<i64>) -> Option<Vec<u32>> {
        let mut children = Vec::new();
        for cell in self.cells() {
            let cell = cell?;
            let (last, _) = number(cell.get(4..)?)?;
            if after.is_none_or(|after| last.cast_signed() > after) {
                children.push(u32::from_be_bytes(array(cell)?));
            }
        }
        children.push(self.last);
        children.reverse();
        Some(children)
    }
}

/// A cell of a leaf, which holds the beginning of a row.
struct Cell<'a> {
    key: i64,
    /// Bytes of the row.
    size: u64,
    local: &'a [u8],
    /// The page with what follows.
    overflow: Option<u32>,
}

impl<'a> Cell<'a> {
    fn new(bytes: &'a [u8], usable: usize) -> Option<Self> {
        let (size, bytes) = number(bytes)?;
        let (key, bytes) = number(bytes)?;
        // How much of a row a leaf holds ("B-tree Pages", U, X, M and K).
        let most = usable - 35;
        let size_here = match usize::try_from(size) {
            Ok(size) if size <= most => size,
            _ => {
                let least = (usable - 12) * 32 / 255 - 23;
                let rest = (size - least as u64) % (usable as u64 - 4);
                let some = least + usize::try_from(rest).ok()?;
                if some <= most { some } else { least }
            }
        };
        let local = bytes.get(..size_here)?;
        let overflow = if size > size_here as u64 {
            Some(u32::from_be_bytes(array(&bytes[size_here..])?))
        } else {
            None
        };
        Some(Self {
            key: key.cast_signed(),
            size,
            local,
            overflow,
        })
    }
}

/// The value of a column in a record ("Record Format").
fn value(record: &[u8], column: usize) -> Option<Value<'_>> {
    let (header_size, _) = number(record)?;
    let (header, mut content) = record.split_at_checked(usize::try_from(header_size).ok()?)?;
    let (_, mut types) = number(header)?;
    for at in 0.. {
        let (serial, rest) = number(types)?;
        types = rest;
        let size = match serial {
            0..=4 => serial,
            5 => 6,
            6 | 7 => 8,
            8..=11 => 0,
            _ => (serial - 12) / 2,
        };
        let (bytes, rest) = content.split_at_checked(usize::try_from(size).ok()?)?;
        if at == column {
            return Some(match serial {
                1..=6 => Value::Integer(integer(bytes)),
                8 => Value::Integer(0),
                9 => Value::Integer(1),
                12.. => Value::Bytes(bytes),
                _ => Value::Other,
            });
        }
        content = rest;
    }
    None
}

/// A signed number of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let is_negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start = if is_negative { -1 } else { 0 };
    bytes
        .iter()
        .fold(start, |sum, byte| sum << 8 | i64::from(*byte))
}

/// A number of one to nine bytes ("varint"), and what follows.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut sum = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some((sum << 8 | u64::from(*byte), &bytes[9..]));
        }
        sum = sum << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((sum, &bytes[at + 1..]));
        }
    }
    None
}

fn array<const COUNT: usize>(bytes: &[u8]) -> Option<[u8; COUNT]> {
    bytes.first_chunk().copied()
}

fn none() -> io::Error {
    io::Error::other("it is no SQLite database")
}

fn damaged(what: &str) -> io::Error {
    io::Error::other(format!("the database is damaged: {what} is wrong"))
}

fn broken(page: u32) -> io::Error {
    damaged(&format!("page {page}"))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
