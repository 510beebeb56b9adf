//! Id ledgers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::ledger::Ledger;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    if let Err(error) = Ledger::parse(file) {
        let lines = 1 + file.iter().filter(|&&byte| byte == b'\n').count();
        assert!((1..=lines).contains(&(error.line as usize)));
    }
}
