//! Containerfiles and the comments in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_lints::Origin;
use osderive_lints::policy::Containerfile;
use osderive_lints_fuzz::{check_lines, in_proportion};

fuzz_target!(|file: &[u8]| {
    in_proportion(file, 2000, || check(file));
});

fn check(file: &[u8]) {
    match Containerfile::parse("Containerfile", file) {
        Ok(parsed) => {
            check_lines(file, parsed.instructions.iter().map(|one| one.lines.0));
            check_lines(file, parsed.instructions.iter().map(|one| one.lines.1));
            for one in &parsed.instructions {
                assert!(one.lines.0 <= one.lines.1);
                let mut origin = Origin {
                    instruction: one.text.clone(),
                    ..Origin::default()
                };
                parsed.locate(&mut origin);
            }
        }
        Err(error) => {
            let _ = error.render(false);
        }
    }
}
