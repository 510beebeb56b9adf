//! Private keys in files, and variables that look like secrets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::knowledge::secrets::{IN_ETC, IN_HOMES};
use osderive_lints::model::secrets::{holds_private_key, is_secret};
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|content: &[u8]| in_proportion(content, 4000, || {
    let holds = holds_private_key(content);
    for place in IN_ETC.iter().chain(&IN_HOMES) {
        let _ = place.mark.is_in(content);
    }
    // A key stays one behind other lines, unless it is binary as a whole.
    if holds && content.first() != Some(&0x30) {
        assert!(holds_private_key(&[b"junk\n", content].concat()));
    }
    if let Ok(text) = str::from_utf8(content) {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let _ = is_secret(name, value);
    }
}));
