//! What a kernel module says of its kernel, packed by gzip, xz or zstd or plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::budget::Budget;
use osderive_lints::model::kernel_module::magic;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    let found = in_proportion(file, 6000, || magic(file, &Budget::default()));
    if let Ok(Some(magic)) = found {
        assert!(!magic.version().contains(' '));
    }
});
