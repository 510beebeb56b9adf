//! What USER says, and the account files that it is looked up in: the first line is the former, the rest both of them.
#![no_main]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use libfuzzer_sys::fuzz_target;
use osderive_commit::UserFiles;
use osderive_lints_fuzz::in_proportion;

const MAX_ID: u32 = (1 << 31) - 1;

fuzz_target!(|input: &[u8]| in_proportion(input, 2000, || {
    let at = input.iter().position(|&byte| byte == b'\n');
    let (spec, files) = input.split_at(at.unwrap_or(input.len()));
    let files = UserFiles::of(Some(files.to_vec()), Some(files.to_vec()));
    let Ok(found) = files.resolve(OsStr::from_bytes(spec)) else {
        return;
    };
    assert!(found.groups.contains(&found.gid));
    // Numbers are taken as they are, whatever the files say.
    let text = str::from_utf8(spec).unwrap_or_default();
    if let Some((uid, gid)) = text.split_once(':')
        && let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>())
        && uid <= MAX_ID
        && gid <= MAX_ID
    {
        assert_eq!((found.uid, found.gid), (uid, gid));
    }
}));
