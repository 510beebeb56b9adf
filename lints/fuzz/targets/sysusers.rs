//! sysusers.d.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::sysusers::{Item, is_valid_name, parse};
use osderive_lints_fuzz::{check_lines, in_proportion};

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let parsed = parse(file);
    check_lines(file, parsed.lines.iter().map(|line| line.number));
    check_lines(file, parsed.problems.iter().map(|problem| problem.number));
    for line in &parsed.lines {
        let is_right = match &line.item {
            Item::User(user) => is_valid_name(&user.name),
            Item::Group { name, .. } => is_valid_name(name),
            Item::Member { user, group } => is_valid_name(user) && is_valid_name(group),
            Item::Range { first, last } => first <= last,
        };
        assert!(is_right, "{line:?}");
        let is_twice = |number| parsed.problems.iter().any(|other| other.number == number);
        assert!(!is_twice(line.number), "both read and refused: {line:?}");
    }
}
