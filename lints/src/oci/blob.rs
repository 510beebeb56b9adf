//! The files that an image consists of, in a folder or in an archive, and their contents as a stream:
//! nothing is unpacked to disk and nothing read as a whole.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Cursor, Read};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::digest::{Digest, Hashed};
use super::headers::Skip;
use crate::budget::{Budget, Counted};

/// How much is read or left out at once.
const CHUNK: usize = 64 << 10;

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    file: Arc<File>,
    offset: u64,
    size: u64,
}

impl Blob {
    /// A whole file.
    ///
    /// # Errors
    /// When it is no regular file, or cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // A FIFO in the place of a file would have the opening wait for a writer.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(Self {
            file: Arc::new(file),
            offset: 0,
            size: meta.len(),
        })
    }

    /// A part of it; nothing beyond its end.
    pub(crate) fn part(&self, offset: u64, size: u64) -> Self {
        let offset = offset.min(self.size);
        Self {
            file: Arc::clone(&self.file),
            offset: self.offset + offset,
            size: size.min(self.size - offset),
        }
    }

    /// Its bytes as they stand.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes { blob: self.clone() }
    }

    /// Its content as a whole.
    ///
    /// # Errors
    /// When it has more than `limit` bytes or cannot be read.
    pub(crate) fn read(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.size > limit {
            let error = format!("it has {} bytes, more than {limit}", self.size);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
        }
        let mut content = Vec::new();
        self.bytes().read_to_end(&mut content)?;
        Ok(content)
    }

    /// How many bytes it has as it is stored.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// What tells it from all others that are open.
    pub(crate) fn place(&self) -> (*const File, u64) {
        (Arc::as_ptr(&self.file), self.offset)
    }

    /// Its content without compression, by what it begins with. Each byte of that counts as work.
    ///
    /// # Errors
    /// When it cannot be read, or its compression is not known.
    pub(crate) fn unpacked(&self, budget: &Arc<Budget>) -> io::Result<Unpacked> {
        let input = match self.packing()? {
            Packing::None => Input::Plain(BufReader::with_capacity(CHUNK, self.bytes())),
            packing => Input::Packed(packing.counted(self.bytes(), budget)),
        };
        Ok(Unpacked::of(input))
    }

    /// The same of a blob whose stored bytes must have a digest.
    pub(crate) fn unpacked_by(
        &self,
        digest: &Digest,
        budget: &Arc<Budget>,
    ) -> io::Result<(Unpacked, Hashed<Bytes>)> {
        let hashed = digest.of(self.bytes());
        let packed = self.packing()?.counted(hashed.clone(), budget);
        Ok((Unpacked::of(Input::Packed(packed)), hashed))
    }

    /// The same of a blob whose content must have one.
    pub(crate) fn content_by(
        &self,
        digest: &Digest,
        budget: &Arc<Budget>,
    ) -> io::Result<(Unpacked, Hashed<Box<dyn Read + Send>>)> {
        let hashed = digest.of(self.packing()?.counted(self.bytes(), budget));
        let input = Input::Packed(Box::new(hashed.clone()));
        Ok((Unpacked::of(input), hashed))
    }

    fn packing(&self) -> io::Result<Packing> {
        let mut magic = Vec::new();
        self.bytes().take(6).read_to_end(&mut magic)?;
        Ok(match magic.as_slice() {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(compressed_by("xz")),
            [b'B', b'Z', b'h', ..] => return Err(compressed_by("bzip2")),
            _ => Packing::None,
        })
    }
}

/// How a blob is compressed.
enum Packing {
    None,
    Gzip,
    Zstd,
}

impl Packing {
    fn counted(
        self,
        bytes: impl Read + Send + 'static,
        budget: &Arc<Budget>,
    ) -> Box<dyn Read + Send> {
        let bytes = BufReader::with_capacity(CHUNK, bytes);
        let budget = Arc::clone(budget);
        match self {
            Self::None => Box::new(Counted::new(bytes, budget)),
            Self::Gzip => Box::new(Counted::new(MultiGzDecoder::new(bytes), budget)),
            Self::Zstd => Box::new(Counted::new(Frames::new(bytes), budget)),
        }
    }
}

fn compressed_by(name: &str) -> io::Error {
    io::Error::other(format!(
        "it is compressed by {name}; gzip and zstd can be read"
    ))
}

/// The bytes of a blob.
#[derive(Debug)]
pub(crate) struct Bytes {
    /// What is left of it.
    blob: Blob,
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted =
            usize::try_from(self.blob.size).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self
            .blob
            .file
            .read_at(&mut buffer[..wanted], self.blob.offset)?;
        self.blob = self.blob.part(read as u64, u64::MAX);
        Ok(read)
    }
}

impl Skip for Bytes {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        if count > self.blob.size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "it ends early",
            ));
        }
        self.blob = self.blob.part(count, u64::MAX);
        Ok(())
    }
}

/// The content of a blob without compression.
pub(crate) struct Unpacked {
    input: Input,
    position: u64,
    scratch: Box<[u8]>,
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "content from {} on", self.position)
    }
}

enum Input {
    /// Stored as it is: what is left out need not be read.
    Plain(BufReader<Bytes>),
    Packed(Box<dyn Read + Send>),
}

impl Unpacked {
    fn of(input: Input) -> Self {
        let scratch = vec![0; CHUNK].into();
        Self {
            input,
            position: 0,
            scratch,
        }
    }

    /// How much has been read or left out.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.input {
            Input::Plain(input) => input.read(buffer)?,
            Input::Packed(input) => input.read(buffer)?,
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl Skip for Unpacked {
    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        if let Input::Plain(input) = &mut self.input {
            self.position += count;
            let buffered = input.buffer().len();
            let known = usize::try_from(count).map_or(buffered, |count| count.min(buffered));
            input.consume(known);
            return input.get_mut().skip(count - known as u64);
        }
        while count > 0 {
            let wanted = usize::try_from(count).map_or(CHUNK, |count| count.min(CHUNK));
            let mut scratch = std::mem::take(&mut self.scratch);
            let read = self.read(&mut scratch[..wanted]);
            self.scratch = scratch;
            match read {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "it ends early",
                    ));
                }
                Ok(read) => count -= read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// All frames of a zstd file: the decoder ends with the first, and layers that can be read in parts
/// ("zstd:chunked") have many, with some to be skipped at the end (RFC 8878, 3.1).
struct Frames<R: Read> {
    state: State<R>,
    /// Kept from frame to frame: its tables are large, and a frame may be tiny.
    decoder: Option<Box<FrameDecoder>>,
}

/// A frame's source: its magic number, which has been looked at already, and the rest.
type Source<R> = io::Chain<Cursor<[u8; 4]>, R>;

enum State<R: Read> {
    Between(R),
    Within(StreamingDecoder<Source<R>, Box<FrameDecoder>>),
    Ended,
}

impl<R: Read> Frames<R> {
    fn new(input: R) -> Self {
        Self {
            state: State::Between(input),
            decoder: None,
        }
    }

    /// What begins where the former frame ended.
    fn next_frame(&mut self, mut input: R) -> io::Result<State<R>> {
        let mut magic = Vec::new();
        (&mut input).take(4).read_to_end(&mut magic)?;
        let Ok(magic) = <[u8; 4]>::try_from(magic.as_slice()) else {
            return if magic.is_empty() {
                Ok(State::Ended)
            } else {
                Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it ends early",
                ))
            };
        };
        if let [0x50..=0x5f, 0x2a, 0x4d, 0x18] = magic {
            let mut length = [0; 4];
            input.read_exact(&mut length)?;
            let mut skipped = (&mut input).take(u32::from_le_bytes(length).into());
            io::copy(&mut skipped, &mut io::sink())?;
            return Ok(State::Between(input));
        }
        let source = Cursor::new(magic).chain(input);
        let decoder = self.decoder.take();
        let decoder = decoder.unwrap_or_else(|| Box::new(FrameDecoder::new()));
        // Windows of more than 128 MiB are refused by the decoder, as by zstd itself.
        let decoder = StreamingDecoder::new_with_decoder(source, decoder);
        Ok(State::Within(decoder.map_err(io::Error::other)?))
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(input) => self.next_frame(input)?,
                State::Within(mut decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        self.state = State::Within(decoder);
                        return Ok(read);
                    }
                    let (source, decoder) = decoder.into_parts();
                    self.decoder = Some(decoder);
                    State::Between(source.into_inner().1)
                }
            };
        }
    }
}
