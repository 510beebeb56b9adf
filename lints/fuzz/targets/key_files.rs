//! os-release and prepare-root.conf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::{os_release::names_system, prepare_root::keeps_top_level};
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    // A line more in front changes nothing.
    let more = [b"# a comment\n", file].concat();
    assert_eq!(names_system(file), names_system(&more));
    assert_eq!(keeps_top_level(file), keeps_top_level(&more));
}
