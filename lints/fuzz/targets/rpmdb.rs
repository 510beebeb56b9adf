//! rpm's database: a file of SQLite with a header for each package. The log beside it follows where its magic number is.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use osderive_lints::model::rpm_header::Header;
use osderive_lints::model::sqlite::{Database, Value};
use osderive_lints_fuzz::{check_header, in_proportion};

/// The first bytes of a log.
const LOG: &[u8] = &[0x37, 0x7f, 0x06];

fuzz_target!(|input: &[u8]| {
    let log = input.windows(LOG.len()).position(|part| part == LOG);
    let (file, log) = input.split_at(log.unwrap_or(input.len()));
    in_proportion(input, 1000, || check(file, log));
});

fn check(file: &[u8], log: &[u8]) {
    let log = (!log.is_empty()).then(|| Cursor::new(log));
    let Ok(mut database) = Database::open(Cursor::new(file), log) else {
        return;
    };
    let _ = database.rows(b"Packages", None, 1 << 20, &mut |row| {
        if let Value::Bytes(blob) = row.value(1)?
            && let Ok(header) = Header::parse(blob)
        {
            check_header(&header);
        }
        Ok(())
    });
}
