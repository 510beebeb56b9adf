//! Presets and their patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::pattern::Pattern;
use osderive_lints::model::presets::{first_match, parse};
use osderive_lints::model::unit_name::UnitName;
use osderive_lints_fuzz::{check_lines, in_proportion};

/// Bytes of the longest name of a unit (systemd's `UNIT_NAME_MAX`).
const MAX_NAME: usize = 255;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let lines = parse(file);
    check_lines(file, lines.iter().map(|line| line.line));
    for line in &lines {
        let text = line.pattern.text();
        assert!(!text.is_empty());
        let _ = line.pattern.matches(b"getty@tty1.service");
        if !text.iter().any(|byte| b"*?[".contains(byte)) {
            assert!(line.pattern.matches(text));
        }
    }
    let unit = UnitName::parse("getty@tty1.service").expect("a name");
    let _ = first_match(&lines, &unit);
    let (pattern, name) = file.split_at(file.len() / 2);
    let name = &name[..name.len().min(MAX_NAME)];
    let _ = Pattern::new(pattern.to_vec()).matches(name);
}
