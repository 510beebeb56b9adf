//! kargs.d.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::kargs::problems;

fuzz_target!(|file: &[u8]| {
    let lines = 1 + file.iter().filter(|&&byte| byte == b'\n').count();
    for problem in problems(file) {
        assert!((1..=lines).contains(&problem.line), "{problem:?}");
        assert!(!problem.message.contains('\n'), "{problem:?}");
    }
});
