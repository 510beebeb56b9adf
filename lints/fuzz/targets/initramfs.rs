//! Initramfs images: cpio archives in gzip or zstd or plain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::initramfs::ostree;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let _ = ostree(file);
}
