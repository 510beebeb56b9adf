//! The configuration of SELinux and the paths that count as others.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::selinux::{counts_as, folder};
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    if let Some(folder) = folder(file) {
        assert_eq!(folder.split('/').count(), 5, "{folder}");
        assert!(!folder.contains(".."), "{folder}");
    }
    let _ = counts_as(file, "/usr/lib/opt", "/opt");
}
