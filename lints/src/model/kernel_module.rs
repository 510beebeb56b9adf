//! What a kernel module says of the kernel that it was built for: `vermagic=` in its section `.modinfo`, each entry of
//! which ends with a NUL (Linux, `kernel/module/main.c`, `check_modinfo`). Modules are packed by gzip, xz or zstd (kmod).

use std::io::{self, Read};

use flate2::read::GzDecoder;
use ruzstd::decoding::StreamingDecoder;
use xz4rust::{DICT_SIZE_PROFILE_0, DICT_SIZE_PROFILE_6, XzDecoder, XzNextBlockResult};

use crate::budget::{Budget, Counted};

/// Bytes that are unpacked for each packed one at most; xz makes five of one in modules.
const MAX_UNPACKED: u64 = 100;

const KEY: &[u8] = b"\0vermagic=";

/// Bytes of what stands behind the key at most.
const MAX_MAGIC: usize = 256;

const BUFFER: usize = 64 << 10;

/// What a module was built for: `6.12.0-1.x86_64 SMP preempt mod_unload modversions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Magic(String);

impl Magic {
    /// The kernel's version.
    pub fn version(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    /// Whether the kernel compares the symbols that the module needs one by one, and not the version
    /// (`CONFIG_MODVERSIONS`; `same_magic`).
    pub fn has_symbol_versions(&self) -> bool {
        self.0.split(' ').any(|word| word == "modversions")
    }
}

/// What a module says, given as it is in a file; none of what is no module. What is unpacked counts as work.
///
/// # Errors
/// When it cannot be unpacked, or the budget is spent.
pub fn magic(file: &[u8], budget: &Budget) -> io::Result<Option<Magic>> {
    let unpacked: Box<dyn Read + '_> = match file {
        [0x7f, b'E', b'L', b'F', ..] => Box::new(file),
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(StreamingDecoder::new(file).map_err(io::Error::other)?)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(Xz::new(file)),
        _ => return Ok(None),
    };
    let limit = (file.len() as u64).saturating_mul(MAX_UNPACKED);
    find(Counted::new(unpacked.take(limit), budget))
}

/// Looks for the entry in a stream.
fn find(mut file: impl Read) -> io::Result<Option<Magic>> {
    let mut window = Vec::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = file.read(&mut buffer)?;
        window.extend_from_slice(&buffer[..count]);
        let start = window.windows(KEY.len()).position(|part| part == KEY);
        if let Some(start) = start {
            let value = &window[start + KEY.len()..];
            if let Some(end) = value.iter().position(|&byte| byte == 0) {
                let value = &value[..end.min(MAX_MAGIC)];
                return Ok(Some(Magic(String::from_utf8_lossy(value).into_owned())));
            }
            if value.len() > MAX_MAGIC {
                return Ok(None);
            }
        } else {
            window.drain(..window.len().saturating_sub(KEY.len()));
        }
        if count == 0 {
            return Ok(None);
        }
    }
}

/// What is packed by xz. A dictionary is no larger than that of `xz -6`.
struct Xz<'a> {
    packed: &'a [u8],
    decoder: XzDecoder<'static>,
    has_ended: bool,
}

impl<'a> Xz<'a> {
    fn new(packed: &'a [u8]) -> Self {
        Self {
            packed,
            decoder: XzDecoder::with_alloc_dict_size(DICT_SIZE_PROFILE_0, DICT_SIZE_PROFILE_6),
            has_ended: false,
        }
    }
}

impl Read for Xz<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.has_ended && !buffer.is_empty() {
            let step = self.decoder.decode(self.packed, buffer);
            let step = step.map_err(|error| io::Error::other(format!("{error:?}")))?;
            self.packed = &self.packed[step.input_consumed()..];
            self.has_ended = matches!(step, XzNextBlockResult::EndOfStream(..));
            if step.output_produced() > 0 {
                return Ok(step.output_produced());
            }
            if !step.made_progress() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::initramfs::tests::{gzip, zstd};

    const MAGIC: &str = "6.12.0-1.x86_64 SMP preempt mod_unload ";
    const XZ: [&[u8]; 2] = [
        include_bytes!("../../tests/kernel-module/crc32.ko.xz"),
        include_bytes!("../../tests/kernel-module/crc64.ko.xz"),
    ];

    fn magic(file: &[u8]) -> io::Result<Option<Magic>> {
        super::magic(file, &Budget::default())
    }

    /// As a module has it, behind some code.
    fn module(magic: &str, code: usize) -> Vec<u8> {
        let text = format!("\0license=GPL\0vermagic={magic}\0name=acme\0");
        let count = u32::try_from(code / 4).expect("a number");
        let code = (0..count).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes());
        let code: Vec<u8> = code.collect();
        [b"\x7fELF", &code[..], text.as_bytes(), &[8; 100]].concat()
    }

    #[test]
    fn it_is_found_however_a_module_is_packed() {
        let mut files: Vec<Vec<u8>> = XZ.iter().map(|file| file.to_vec()).collect();
        for code in [0, 10, BUFFER - 20, BUFFER + 3, 3 << 20] {
            let module = module(MAGIC, code);
            files.extend([gzip(&module), zstd(&module), module]);
        }
        for (number, file) in files.iter().enumerate() {
            let found = magic(file).expect("unpacks").expect("a magic");
            assert_eq!(found.0, MAGIC, "file {number}");
            assert_eq!(found.version(), "6.12.0-1.x86_64");
            assert!(!found.has_symbol_versions());
        }
        let found = magic(&module("5.14 SMP mod_unload modversions ", 3));
        assert!(
            found
                .expect("reads")
                .expect("a magic")
                .has_symbol_versions()
        );
    }

    #[test]
    fn what_is_cut_off_or_no_module_is_survived() {
        for file in XZ {
            for end in (0..file.len()).step_by(997) {
                let _ = magic(&file[..end]);
            }
            for at in 0..400 {
                let mut damaged = file.to_vec();
                damaged[at] ^= 0x55;
                let _ = magic(&damaged);
            }
        }
        assert_eq!(magic(b"#!/bin/sh\0vermagic=x\0").expect("reads"), None);
        assert_eq!(magic(b"").expect("reads"), None);
        let endless = [b"\x7fELF\0vermagic=".to_vec(), vec![b'x'; 1 << 20]].concat();
        assert_eq!(magic(&endless).expect("reads"), None);
    }

    #[test]
    fn what_unpacks_to_far_more_is_read_in_proportion() {
        let packed = gzip(&[b"\x7fELF", &vec![0; 10 << 20][..]].concat());
        let budget = Budget::default();
        assert_eq!(super::magic(&packed, &budget).expect("reads"), None);
        assert!(budget.spent() <= 100 * packed.len() as u64);
        let spent = Budget::default();
        spent.spend(crate::budget::FLOOR).expect("the floor");
        let error = super::magic(&packed, &spent).expect_err("spent");
        assert!(crate::budget::is_spent(&error), "{error}");
    }

    #[test]
    fn a_dictionary_of_gigabytes_is_refused() {
        // The block's header: its size, no flags, one filter, LZMA2 with a byte for the dictionary (3 GiB).
        let mut file = XZ[0].to_vec();
        let dictionary = 12 + 4;
        assert_eq!(file[dictionary - 2..dictionary], [0x21, 1]);
        file[dictionary] = 39;
        let end = 12 + 8;
        let check = crc32(&file[12..end]);
        file[end..end + 4].copy_from_slice(&check.to_le_bytes());
        let error = magic(&file).expect_err("too large");
        assert!(error.to_string().contains("Dictionary"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), step)
        });
        !sum
    }
}
