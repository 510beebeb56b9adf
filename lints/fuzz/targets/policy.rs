//! osderive.toml.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::policy::Config;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|text: &str| {
    in_proportion(text.as_bytes(), 2000, || check(text));
});

fn check(text: &str) {
    match Config::parse("osderive.toml", text) {
        Ok(config) => {
            let lines = 1 + text.matches('\n').count();
            for suppression in config.suppressions {
                assert!((1..=lines).contains(&(suppression.place.line as usize)));
                assert!(!suppression.reason.is_empty());
            }
        }
        Err(error) => {
            let _ = error.render(false);
        }
    }
}
