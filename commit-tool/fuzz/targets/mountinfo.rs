//! Mount tables, as the kernel writes them and as a file in the place of /proc may have them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use osderive_commit::Mounts;
use osderive_lints_fuzz::in_proportion;

fuzz_target!(|table: &[u8]| in_proportion(table, 2000, || {
    let mounts = Mounts::parse(table, b"/");
    let below = Mounts::parse(table, b"/srv");
    // What is mounted below a root is mounted below / as well.
    let at_srv = mounts.child(Mounts::root(), b"srv");
    if below.child(Mounts::root(), b"x").is_some() {
        assert!(at_srv.is_some_and(|srv| mounts.child(srv, b"x").is_some()));
    }
}));
