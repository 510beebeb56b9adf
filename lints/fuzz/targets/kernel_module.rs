//! What a kernel module says of its kernel, packed by gzip, xz or zstd or plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::budget::Budget;
use osderive_lints::model::kernel_module::magic;
use osderive_lints_fuzz::in_proportion_beyond;

/// A block of zstd is unpacked at once, to 128 KiB, whatever is read of it.
const BLOCK: u64 = 3_000_000;

fuzz_target!(|file: &[u8]| {
    let found = in_proportion_beyond(BLOCK, file, 6000, || magic(file, &Budget::default()));
    if let Ok(Some(magic)) = found {
        assert!(!magic.version().contains(' '));
    }
});
