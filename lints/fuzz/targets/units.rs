//! Unit files and drop-ins, their values, commands and names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::state_directories::state_directories;
use osderive_lints::model::unit_name::{UnitName, expand, unescaped};
use osderive_lints::model::units::{boolean, commands, parse, words};
use osderive_lints_fuzz::{check_lines, in_proportion};

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let parsed = parse(file);
    check_lines(file, parsed.assignments.iter().map(|one| one.line));
    check_lines(file, parsed.problems.iter().map(|problem| problem.line));
    let _ = (words(file), commands(file), state_directories(file));
    let mut name = UnitName::parse("a-b@c.service").expect("a name");
    let mut again = Vec::new();
    for one in &parsed.assignments {
        assert!(!one.key.is_empty() && !one.section.is_empty());
        again.extend(
            [
                &b"["[..],
                &one.section,
                b"]\n",
                &one.key,
                b"=",
                &one.value,
                b"\n",
            ]
            .concat(),
        );
        if let Some(other) = str::from_utf8(&one.value).ok().and_then(UnitName::parse) {
            assert_eq!(UnitName::parse(other.as_str()).as_ref(), Some(&other));
            let _ = (other.template(), other.drop_ins(), other.mount_point());
            let _ = (other.with_kind("socket"), unescaped(other.prefix()));
            name = other;
        }
        let _ = (boolean(&one.value), expand(&one.value, &name));
        for command in commands(&one.value) {
            assert!(!command.program.is_empty());
        }
    }
    // What was read is read again when it is written plainly.
    let read = |assignment: &osderive_lints::model::units::Assignment| {
        let (section, key) = (assignment.section.clone(), assignment.key.clone());
        (section, key, assignment.value.clone())
    };
    let expected: Vec<_> = parsed.assignments.iter().map(read).collect();
    let is_plain = |value: &[u8]| !value.ends_with(b"\\");
    if expected.iter().all(|(_, _, value)| is_plain(value)) {
        let found: Vec<_> = parse(&again).assignments.iter().map(read).collect();
        assert_eq!(found, expected);
    }
}
