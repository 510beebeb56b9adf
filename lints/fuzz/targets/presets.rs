//! Presets and their patterns.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::presets::{first_match, matches, parse};
use osderive_lints::model::unit_name::UnitName;
use osderive_lints_fuzz::{check_lines, in_proportion};

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let lines = parse(file);
    check_lines(file, lines.iter().map(|line| line.line));
    for line in &lines {
        assert!(!line.pattern.is_empty());
        let _ = matches(&line.pattern, b"getty@tty1.service");
        if !line.pattern.iter().any(|byte| b"*?[".contains(byte)) {
            assert!(matches(&line.pattern, &line.pattern));
        }
    }
    let unit = UnitName::parse("getty@tty1.service").expect("a name");
    let _ = first_match(&lines, &unit);
    let (pattern, name) = file.split_at(file.len() / 2);
    let _ = matches(pattern, name);
}
