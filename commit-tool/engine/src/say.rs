//! What the tool tells whoever runs it, on stderr: its stdout is the command's.

use std::io::{Write as _, stderr};

/// Writes to stderr; where nobody listens there is nothing to tell.
pub fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}
