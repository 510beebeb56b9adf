//! The header of a package in rpm's database.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::rpm_header::Header;
use osderive_lints_fuzz::{check_header, in_proportion};

fuzz_target!(|blob: &[u8]| {
    in_proportion(blob, 1000, || {
        if let Ok(header) = Header::parse(blob) {
            check_header(&header);
        }
    });
});
