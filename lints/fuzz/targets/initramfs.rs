//! Initramfs images: cpio archives in gzip or zstd or plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::initramfs::ostree;

fuzz_target!(|file: &[u8]| {
    let _ = ostree(file);
});
