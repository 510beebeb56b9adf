//! tmpfiles.d, and what is written of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::tmpfiles::{Config, Line, Snippet};
use osderive_lints_fuzz::{check_lines, in_proportion};

fn read(content: &[u8]) -> Config {
    Config::read(&[Snippet {
        directory: 3,
        name: b"a.conf".to_vec(),
        content: content.to_vec(),
    }])
}

fn number(number: usize) -> u32 {
    number.try_into().expect("a number")
}

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let config = read(file);
    check_lines(file, config.lines.iter().map(|line| number(line.number)));
    check_lines(
        file,
        config.problems.iter().map(|problem| number(problem.number)),
    );
    let _ = config.makers(|line| line.user.is_none());
    for line in config.lines {
        assert!(line.path.starts_with(b"/"));
        let Some(text) = line.to_text() else {
            continue;
        };
        let again = read(&text);
        let expected = Line { number: 1, ..line };
        assert_eq!(again.problems, [], "{}", text.escape_ascii());
        assert_eq!(again.lines, [expected], "{}", text.escape_ascii());
    }
}
