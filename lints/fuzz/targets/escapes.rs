//! Names and texts of others as they are shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::{MAX_PATH_BYTES, escape_lines, escape_path, escape_text, unescape_path};
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|bytes: &[u8]| in_proportion(bytes, 2000, || {
    let path = escape_path(bytes);
    assert!(path.len() <= MAX_PATH_BYTES + 4);
    if path.len() < MAX_PATH_BYTES {
        assert_eq!(unescape_path(&path), bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let shown = escape_text(&text);
    assert!(!shown.contains(char::is_control) && !shown.contains("##["));
    assert!(!shown.trim_start().starts_with("::"));
    assert_eq!(escape_text(&shown), shown);
    assert!(!escape_lines(&text).contains(|sign: char| sign.is_control() && sign != '\n'));
}));
