//! The log beside a database ("The Write-Ahead Log"): pages that a transaction has written and nobody has copied into
//! the file yet. rpm does that when it ends; what it was killed after stands here alone.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

/// What the log begins with; the last bit tells in which order the bytes of a check sum's words are.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Pages of a log at most: a gibibyte of common ones, where SQLite empties it after four megabytes and rpm after 40.
const MAX_FRAMES: usize = 1 << 18;

/// The pages of a log.
pub(super) struct Log<R> {
    file: R,
    /// Where the last committed content of a page is.
    places: HashMap<u32, u64>,
    page_size: usize,
    /// How many pages the database has with it.
    size: u32,
}

impl<R: Read + Seek> Log<R> {
    /// Reads a log; none if it holds nothing that counts.
    ///
    /// # Errors
    /// When it cannot be read, or has too many pages.
    pub(super) fn read(mut file: R, page_size: usize) -> io::Result<Option<Self>> {
        let (mut places, mut size) = (HashMap::new(), 0);
        let mut input = BufReader::with_capacity(128 << 10, &mut file);
        input.rewind()?;
        let mut header = [0; HEADER];
        if !filled(&mut input, &mut header)? {
            return Ok(None);
        }
        let word = |at: usize| word(&header[at..]);
        let mut sums = Sums::new(word(0) & 1 != 0);
        sums.add(&header[..24]);
        let is_of_file = word(8) as usize == page_size;
        let is_log = word(0) & !1 == MAGIC && word(4) == VERSION;
        if !is_log || !is_of_file || !sums.are(&header[24..]) {
            return Ok(None);
        }
        let mut frame = vec![0; FRAME_HEADER + page_size];
        // Of a transaction that has not ended nothing counts.
        let mut pending = Vec::new();
        for number in 0.. {
            // What is behind the first frame that does not fit is of an older log.
            if !filled(&mut input, &mut frame)? || frame[8..16] != header[16..24] {
                break;
            }
            sums.add(&frame[..8]);
            sums.add(&frame[FRAME_HEADER..]);
            if !sums.are(&frame[16..]) {
                break;
            }
            if number == MAX_FRAMES {
                return Err(io::Error::other("the log beside it has too many pages"));
            }
            let start = HEADER + number * frame.len() + FRAME_HEADER;
            pending.push((self::word(&frame), start as u64));
            let size_at_end = self::word(&frame[4..]);
            if size_at_end != 0 {
                places.extend(pending.drain(..));
                size = size_at_end;
            }
        }
        Ok(Some(Self {
            file,
            places,
            page_size,
            size,
        }))
    }

    /// Visits the pages that belong into the file, each with where it begins there, in their order; answers with how many
    /// bytes the file has then. None where the log holds no transaction.
    ///
    /// # Errors
    /// Those of reading and of `visit`.
    pub(super) fn checkpoint(
        &mut self,
        mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let mut numbers: Vec<u32> = self.places.keys().copied().collect();
        numbers.retain(|number| (1..=self.size).contains(number));
        numbers.sort_unstable();
        let mut page = vec![0; self.page_size];
        for number in numbers {
            self.page(number, &mut page)?;
            visit(u64::from(number - 1) * self.page_size as u64, &page)?;
        }
        Ok((self.size > 0).then(|| u64::from(self.size) * self.page_size as u64))
    }

    /// How many pages it has.
    pub(super) fn pages(&self) -> u64 {
        self.places.len() as u64
    }

    /// Reads a page, if the log has it.
    pub(super) fn page(&mut self, number: u32, page: &mut [u8]) -> io::Result<bool> {
        let Some(place) = self.places.get(&number) else {
            return Ok(false);
        };
        self.file.seek(SeekFrom::Start(*place))?;
        self.file.read_exact(page)?;
        Ok(true)
    }
}

/// Fills a buffer; whether there was enough for that.
fn filled(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The four bytes at the beginning; zero if there are less.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The check sums of a log, each over all before it ("Checksum Algorithm").
struct Sums {
    first: u32,
    second: u32,
    is_big_endian: bool,
}

impl Sums {
    fn new(is_big_endian: bool) -> Self {
        Self {
            first: 0,
            second: 0,
            is_big_endian,
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        let (words, _) = bytes.as_chunks::<4>();
        let number = if self.is_big_endian {
            u32::from_be_bytes
        } else {
            u32::from_le_bytes
        };
        let mut words = words.iter().map(|word| number(*word));
        while let (Some(first), Some(second)) = (words.next(), words.next()) {
            self.first = self.first.wrapping_add(first).wrapping_add(self.second);
            self.second = self.second.wrapping_add(second).wrapping_add(self.first);
        }
    }

    fn are(&self, bytes: &[u8]) -> bool {
        bytes.len() >= 8 && self.first == word(bytes) && self.second == word(&bytes[4..])
    }
}
