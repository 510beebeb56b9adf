//! kargs.d.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::kargs::problems;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    let lines = 1 + file.iter().filter(|&&byte| byte == b'\n').count();
    for problem in problems(file) {
        assert!((1..=lines).contains(&problem.line), "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
    }
}
