//! The headers of a tar archive, one after the other, whatever wrote it: ustar, GNU or PAX. The crate
//! `tar` reads the fields of a header; what it would read into memory without a limit (long names, PAX
//! records) and what it would skip by reading is done here.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// Tar is made of these.
const BLOCK: u64 = 512;
const BLOCK_LENGTH: usize = 512;

/// Bytes of a long name or of the PAX records of one entry at most; a path has 4096.
const MAX_EXTENSION: u64 = 1 << 20;

/// Bytes after the end mark that are looked at, for the check sum of what is compressed.
const MAX_PADDING: u64 = 1 << 20;

/// A source of bytes that can leave some out.
pub(crate) trait Skip: Read {
    /// Leaves out `count` bytes.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The name as it stands.
    pub(crate) path: Vec<u8>,
    /// What a link leads to.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryType,
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// A device's numbers.
    pub(crate) device: (u32, u32),
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Where the content begins.
    pub(crate) offset: u64,
    /// Whether the content stands there as it is, without holes left out.
    pub(crate) is_whole: bool,
}

/// The entries of an archive.
pub(crate) struct Headers<R> {
    input: R,
    position: u64,
    /// Where the content of the current entry ends, and where the next header begins.
    content_end: u64,
    next: u64,
}

/// What extensions say of the entry that follows them.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    /// The size of a file whose holes are left out.
    real_size: Option<u64>,
}

impl<R: Skip> Headers<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            position: 0,
            content_end: 0,
            next: 0,
        }
    }

    /// The next entry; none at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut known = Extensions::default();
        loop {
            self.skip_to(self.next)?;
            let Some(header) = self.header()? else {
                self.drain()?;
                return Ok(None);
            };
            let kind = header.entry_type();
            let stored = match kind {
                // Whatever their header says, these have no content (Go's archive/tar agrees).
                EntryType::Symlink
                | EntryType::Directory
                | EntryType::Char
                | EntryType::Block
                | EntryType::Fifo => 0,
                _ => known.size.map_or_else(|| size(&header), Ok)?,
            };
            self.set_content(stored)?;
            match kind {
                EntryType::GNULongName => known.path = Some(c_string(self.extension()?)),
                EntryType::GNULongLink => known.link = Some(c_string(self.extension()?)),
                EntryType::XHeader => known.take(&self.extension()?)?,
                EntryType::XGlobalHeader => {}
                _ => return self.member(&header, known, stored).map(Some),
            }
        }
    }

    /// The content of the current entry, up to `limit` bytes.
    pub(crate) fn content(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let length = (self.content_end - self.position).min(limit);
        let mut content = Vec::new();
        let read = (&mut self.input).take(length).read_to_end(&mut content)?;
        self.position += read as u64;
        if (read as u64) < length {
            return Err(ends_early());
        }
        Ok(content)
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        let length = self.content_end - self.position;
        if length > MAX_EXTENSION {
            let what = format!("a long name or PAX record of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.content(MAX_EXTENSION)
    }

    fn member(&mut self, header: &Header, known: Extensions, stored: u64) -> io::Result<Member> {
        let mut sparse = known.real_size;
        if let Some(gnu) = header.as_gnu()
            && header.entry_type() == EntryType::GNUSparse
        {
            sparse = Some(gnu.real_size()?);
            self.skip_sparse_map(gnu.is_extended())?;
            self.set_content(stored)?;
        }
        let number = |pax: Option<u64>, field: io::Result<u64>| {
            let number = pax.map_or(field, Ok)?;
            u32::try_from(number).map_err(|_| invalid("an owner's number of more than 32 bits"))
        };
        let path = known
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = known
            .link
            .or_else(|| header.link_name_bytes().map(Into::into));
        Ok(Member {
            // Before PAX and GNU, a directory was a file whose name ends in a slash.
            kind: match header.entry_type() {
                EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => {
                    EntryType::Directory
                }
                kind => kind,
            },
            path,
            link: link.unwrap_or_default(),
            mode: or_zero(&header.as_old().mode, || header.mode())? & 0o7777,
            uid: number(known.uid, or_zero(&header.as_old().uid, || header.uid()))?,
            gid: number(known.gid, or_zero(&header.as_old().gid, || header.gid()))?,
            device: match header.entry_type() {
                EntryType::Char | EntryType::Block => device(header)?,
                _ => (0, 0),
            },
            size: sparse.unwrap_or(stored),
            offset: self.position,
            is_whole: sparse.is_none(),
        })
    }

    /// The header that begins here; none at the end mark, or where the archive ends without one.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK_LENGTH];
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(ends_early()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.position += BLOCK;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        // The field counts as blanks (POSIX, pax, "ustar Interchange Format").
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        let field: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
        if header.cksum()? != sum - field + 8 * u32::from(b' ') {
            return Err(invalid("a header with a wrong check sum"));
        }
        Ok(Some(header))
    }

    fn set_content(&mut self, length: u64) -> io::Result<()> {
        let beyond = || invalid("an entry larger than any archive");
        let end = self.position.checked_add(length).ok_or_else(beyond)?;
        self.next = end.checked_next_multiple_of(BLOCK).ok_or_else(beyond)?;
        self.content_end = end;
        Ok(())
    }

    /// Skips the blocks with more of a sparse file's map, each of which says whether one follows.
    fn skip_sparse_map(&mut self, mut is_extended: bool) -> io::Result<()> {
        while is_extended {
            let mut block = [0; BLOCK_LENGTH];
            self.input.read_exact(&mut block)?;
            self.position += BLOCK;
            is_extended = block[504] == 1;
        }
        Ok(())
    }

    fn skip_to(&mut self, position: u64) -> io::Result<()> {
        self.input.skip(position - self.position)?;
        self.position = position;
        Ok(())
    }

    /// Reads what follows the end mark, so that a compressed archive that was cut is told.
    fn drain(&mut self) -> io::Result<()> {
        io::copy(&mut (&mut self.input).take(MAX_PADDING), &mut io::sink())?;
        Ok(())
    }
}

impl Extensions {
    /// Takes in PAX records, each `LENGTH KEY=VALUE` with a line feed; a value may hold any bytes.
    fn take(&mut self, mut records: &[u8]) -> io::Result<()> {
        let broken = || invalid("a broken PAX record");
        while !records.is_empty() {
            let blank = records
                .iter()
                .position(|&byte| byte == b' ')
                .ok_or_else(broken)?;
            let length = number(&records[..blank]).and_then(|length| usize::try_from(length).ok());
            let record = (length.filter(|&length| length > blank))
                .and_then(|length| records.get(blank + 1..length))
                .and_then(|record| record.strip_suffix(b"\n"))
                .ok_or_else(broken)?;
            records = &records[blank + record.len() + 2..];
            let equals = record
                .iter()
                .position(|&byte| byte == b'=')
                .ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            let count = || number(value).ok_or_else(broken).map(Some);
            match key {
                b"path" | b"GNU.sparse.name" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = count()?,
                b"uid" => self.uid = count()?,
                b"gid" => self.gid = count()?,
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real_size = count()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A number of a header; a field that was left blank is 0, as it is to Go's archive/tar.
fn or_zero<N: Default>(field: &[u8], read: impl FnOnce() -> io::Result<N>) -> io::Result<N> {
    if field.iter().all(|byte| b"\0 ".contains(byte)) {
        return Ok(N::default());
    }
    read()
}

fn size(header: &Header) -> io::Result<u64> {
    or_zero(&header.as_old().size, || header.entry_size())
}

fn device(header: &Header) -> io::Result<(u32, u32)> {
    // The numbers stand in the same place in both formats that have them.
    let fields = header
        .as_ustar()
        .map(|ustar| (ustar.dev_major, ustar.dev_minor));
    let fields = fields.or(header.as_gnu().map(|gnu| (gnu.dev_major, gnu.dev_minor)));
    let Some((major, minor)) = fields else {
        return Ok((0, 0));
    };
    let number = |field: &[u8], read: io::Result<Option<u32>>| {
        or_zero(field, || Ok(read?.unwrap_or_default()))
    };
    Ok((
        number(&major, header.device_major())?,
        number(&minor, header.device_minor())?,
    ))
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it has {what}"))
}

fn ends_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early")
}
