//! Of all that root can do, a commit needs only what Docker and podman give to every RUN.

#[path = "support/busy.rs"]
mod busy;
#[path = "support/lists.rs"]
mod lists;
mod support;
#[path = "../engine/src/trees.rs"]
mod trees;

use std::process::Command;

use busy::busy_root;
use support::{Run, TOOL, commit};
use trees::tree;

/// As docs/security.md lists them.
const NEEDED: &str = "-all,+chown,+dac_override,+fowner,+fsetid,+setfcap";

#[test]
fn five_capabilities_are_enough() {
    let (all, few) = (busy_root(), busy_root());
    commit(all.path(), &[]).ended_with(0);
    let run = Command::new("setpriv")
        .args(["--bounding-set", NEEDED, "--inh-caps=-all"])
        .args([TOOL, "commit", "--rootfs"])
        .arg(few.path())
        .output();
    Run::from(run.expect("setpriv, of util-linux")).ended_with(0);
    assert_eq!(tree(few.path()), tree(all.path()));
}
