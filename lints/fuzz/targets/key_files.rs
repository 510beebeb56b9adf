//! os-release and prepare-root.conf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::{os_release::names_system, prepare_root::keeps_top_level};

fuzz_target!(|file: &[u8]| {
    // A line more in front changes nothing.
    let more = [b"# a comment\n", file].concat();
    assert_eq!(names_system(file), names_system(&more));
    assert_eq!(keeps_top_level(file), keeps_top_level(&more));
});
