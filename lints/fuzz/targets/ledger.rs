//! Id ledgers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::ledger::Ledger;

fuzz_target!(|file: &[u8]| {
    if let Err(error) = Ledger::parse(file) {
        let lines = 1 + file.iter().filter(|&&byte| byte == b'\n').count();
        assert!((1..=lines).contains(&(error.line as usize)));
    }
});
