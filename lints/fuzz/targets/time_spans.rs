//! Time spans of systemd.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::time_span::microseconds;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|text: &[u8]| in_proportion(text, 500, || {
    let span = microseconds(text);
    let padded = [b" ", text, b"\t"].concat();
    assert_eq!(microseconds(&padded), span);
    if let Some(span) = span.filter(|span| *span < u64::MAX - 1 && !text.ends_with(b"infinity")) {
        // A second more is a second more.
        let more = [text, b" 1s"].concat();
        assert_eq!(microseconds(&more), Some(span.saturating_add(1_000_000)));
    }
}));
