//! The documents that say what an image consists of: they stand one after the other, with a NUL between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints_fuzz::{archive, open};

fuzz_target!(|documents: &[u8]| {
    let mut parts = documents.split(|&byte| byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let files = [
        ("index.json", part()),
        ("blobs/sha256/a", part()),
        ("blobs/sha256/b", part()),
        ("blobs/sha256/c", part()),
    ];
    let image = archive(&files);
    let _ = open("oci-archive", &image);
    let image = archive(&[
        ("manifest.json", files[0].1),
        ("a", files[1].1),
        ("b", files[2].1),
    ]);
    let _ = open("docker-archive", &image);
});
