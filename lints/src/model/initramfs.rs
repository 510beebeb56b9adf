//! What is in an initramfs: cpio archives one after the other, each plain or compressed as a whole
//! (the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`). The names are read
//! as a stream, and no further than to the one that is looked for.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::budget::{self, Budget, Counted};

/// What dracut's module `ostree` brings, and what makes the root of a deployment.
const PREPARE_ROOT: &[u8] = b"usr/lib/ostree/ostree-prepare-root";

/// As much unpacked content as is read; the kernel would not fit more into most machines' memory.
const MAX_UNPACKED_BYTES: u64 = 4 << 30;

/// A name longer than this is no path (`PATH_MAX`).
const MAX_NAME_BYTES: u64 = 4096;

/// Whether an initramfs can boot an ostree deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ostree {
    /// It has `ostree-prepare-root`.
    Present,
    /// It was read to its end and has none.
    Missing,
    /// It could not be read, for this reason.
    Unreadable(String),
}

/// Looks for `ostree-prepare-root` in an initramfs.
pub fn ostree(initramfs: impl Read) -> Ostree {
    ostree_within(initramfs, &Budget::default())
        .unwrap_or_else(|error| Ostree::Unreadable(error.to_string()))
}

/// The same with a budget, which other files share.
///
/// # Errors
/// When it cannot be read, or only past the budget.
pub fn ostree_within(initramfs: impl Read, budget: &Budget) -> io::Result<Ostree> {
    let mut file = Peeked {
        begin: Vec::new(),
        input: BufReader::new(Counted::new(initramfs, budget)),
    };
    let is_there = has(&mut file, PREPARE_ROOT, budget)?;
    Ok(if is_there {
        Ostree::Present
    } else {
        Ostree::Missing
    })
}

/// A source of which the first bytes can be looked at, wherever its buffer ends.
struct Peeked<R> {
    /// Bytes before what is left of the input.
    begin: Vec<u8>,
    input: R,
}

impl<R: BufRead> Peeked<R> {
    /// The first bytes, or all that are left; zeros behind the end.
    fn peek<const COUNT: usize>(&mut self) -> io::Result<[u8; COUNT]> {
        let missing = COUNT.saturating_sub(self.begin.len()) as u64;
        (&mut self.input)
            .take(missing)
            .read_to_end(&mut self.begin)?;
        let mut bytes = [0; COUNT];
        let known = self.begin.len().min(COUNT);
        bytes[..known].copy_from_slice(&self.begin[..known]);
        Ok(bytes)
    }
}

impl<R: BufRead> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Peeked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.begin.is_empty() {
            self.input.fill_buf()
        } else {
            Ok(&self.begin)
        }
    }

    fn consume(&mut self, count: usize) {
        if self.begin.is_empty() {
            self.input.consume(count);
        } else {
            self.begin.drain(..count);
        }
    }
}

fn has(file: &mut Peeked<impl BufRead>, wanted: &[u8], budget: &Budget) -> io::Result<bool> {
    loop {
        skip_padding(file)?;
        if file.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let magic = file.peek()?;
        let found = match magic {
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2'] => archive_has(file, wanted)?,
            [0x1f, 0x8b, ..] => archives_have(GzDecoder::new(&mut *file), wanted, budget)?,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let unpacked = StreamingDecoder::new(&mut *file).map_err(io::Error::other)?;
                archives_have(unpacked, wanted, budget)?
            }
            _ => return Err(io::Error::other(unknown(magic))),
        };
        if found {
            return Ok(true);
        }
    }
}

/// Magic numbers as the kernel has them (`lib/decompress.c`).
fn unknown(magic: [u8; 6]) -> String {
    let name = match magic {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        [0x5d, 0, 0, ..] => "lzma",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x89, b'L', b'Z', b'O', ..] => "lzo",
        _ => return "its format is unknown".to_owned(),
    };
    format!("its compression is {name}")
}

fn archives_have(unpacked: impl Read, wanted: &[u8], budget: &Budget) -> io::Result<bool> {
    budget.spend(budget::FRAME)?;
    let unpacked = Counted::new(unpacked.take(MAX_UNPACKED_BYTES), budget);
    let mut unpacked = BufReader::new(unpacked);
    loop {
        skip_padding(&mut unpacked)?;
        if unpacked.fill_buf()?.is_empty() {
            return Ok(false);
        }
        if archive_has(&mut unpacked, wanted)? {
            return Ok(true);
        }
    }
}

fn skip_padding(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = file.fill_buf()?;
        let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
        let ends = zeros < buffer.len() || buffer.is_empty();
        file.consume(zeros);
        if ends {
            return Ok(());
        }
    }
}

/// One archive in the format "newc", up to and with its trailer (cpio(5)).
fn archive_has(archive: &mut impl Read, wanted: &[u8]) -> io::Result<bool> {
    const HEADER: usize = 110;
    loop {
        let mut header = [0; HEADER];
        archive.read_exact(&mut header)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err(io::Error::other("it holds no cpio archive"));
        }
        let (size, name_size) = (field(&header, 6)?, field(&header, 11)?);
        if name_size > MAX_NAME_BYTES {
            return Err(io::Error::other("its cpio archive is damaged"));
        }
        let mut name = Vec::new();
        archive.by_ref().take(name_size).read_to_end(&mut name)?;
        skip(archive, padding(HEADER as u64 + name_size))?;
        let name = name.strip_suffix(b"\0").unwrap_or(&name);
        if name == b"TRAILER!!!" {
            return Ok(false);
        }
        if name.strip_prefix(b"./").unwrap_or(name) == wanted {
            return Ok(true);
        }
        skip(archive, size + padding(size))?;
    }
}

/// The header's field after the magic, counted from 0: eight hexadecimal digits.
fn field(header: &[u8], index: usize) -> io::Result<u64> {
    let digits = std::str::from_utf8(&header[6 + 8 * index..][..8]).unwrap_or_default();
    u64::from_str_radix(digits, 16).map_err(|_| io::Error::other("its cpio archive is damaged"))
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % 4
}

fn skip(file: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut file.take(bytes), &mut io::sink())?;
    if skipped < bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::*;

    pub(crate) fn cpio(names: &[&str]) -> Vec<u8> {
        let mut archive = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let content = if name.ends_with('!') { "" } else { "12345" };
            let mut fields = [0; 13];
            (fields[6], fields[11]) = (content.len(), name.len() + 1);
            archive.extend(b"070701");
            for field in fields {
                archive.extend(format!("{field:08X}").bytes());
            }
            for part in [format!("{name}\0").as_bytes(), content.as_bytes()] {
                archive.extend(part);
                archive.resize(archive.len().next_multiple_of(4), 0);
            }
        }
        archive.resize(archive.len().next_multiple_of(512), 0);
        archive
    }

    pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(content).expect("packs");
        packed.finish().expect("packs")
    }

    pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        compress_to_vec(content, CompressionLevel::Fastest)
    }

    const WITH: [&str; 3] = ["usr", "usr/lib/ostree/ostree-prepare-root", "usr/x"];

    #[test]
    fn it_is_found_behind_microcode_however_it_is_packed() {
        let microcode = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
        for pack in [<[u8]>::to_vec, gzip, zstd] {
            let image = |names: &[&str]| [microcode.clone(), pack(&cpio(names))].concat();
            assert_eq!(ostree(&image(&WITH)[..]), Ostree::Present);
            assert_eq!(ostree(&image(&["usr", "usr/x"])[..]), Ostree::Missing);
        }
        assert_eq!(
            ostree(&cpio(&["./usr/lib/ostree/ostree-prepare-root"])[..]),
            Ostree::Present
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_and_not_guessed() {
        let reason = |image: &[u8]| match ostree(image) {
            Ostree::Unreadable(reason) => reason,
            read => panic!("{read:?}"),
        };
        assert_eq!(reason(b"\xfd7zXZ\0rest"), "its compression is xz");
        assert_eq!(reason(b"hello, world"), "its format is unknown");
        let packed = gzip(&cpio(&["usr", "usr/x"]));
        reason(&packed[..packed.len() / 2]);
        reason(&cpio(&["usr", "usr/x"])[..120]);
        assert_eq!(ostree(&b""[..]), Ostree::Missing);
    }

    #[test]
    fn parts_are_told_wherever_the_buffer_ends() {
        let packed = gzip(&[0; 4]);
        let many = packed.repeat(2000);
        assert_eq!(ostree(&many[..]), Ostree::Missing);
        assert_eq!(
            ostree(&[many, gzip(&cpio(&WITH))].concat()[..]),
            Ostree::Present
        );
    }

    #[test]
    fn an_initramfs_of_countless_parts_or_of_terabytes_ends_at_the_budget() {
        let budget = Budget::default();
        let parts =
            gzip(b"").repeat(2 * usize::try_from(budget::FLOOR / budget::FRAME).expect("a number"));
        let error = ostree_within(&parts[..], &budget).expect_err("too many");
        assert!(budget::is_spent(&error), "{error}");
        assert!(budget.spent() <= budget::FLOOR);

        // One frame of zstd: runs of 128 KiB, four bytes each.
        let run = [0x02, 0x00, 0x10, 0x00];
        let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &run.repeat(40_000)].concat();
        let budget = Budget::default();
        let error = ostree_within(&frame[..], &budget).expect_err("too large");
        assert!(budget::is_spent(&error), "{error}");
    }
}
