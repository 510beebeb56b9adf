//! The log of a program, for whoever looks for a fault on a machine that is not ours. What runs in an image writes none.

use std::io::stderr;

use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::time::uptime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, registry};

/// The environment variable and the build argument that ask for it: `debug`, or `info,osderive_proto=trace`.
pub const VARIABLE: &str = "OSDERIVE_LOG";

/// Writes what is asked for to standard error from now on, with the seconds since then.
///
/// # Errors
/// When it is no list of levels.
pub fn start(asked: &str) -> Result<(), ParseError> {
    let targets: Targets = asked.parse()?;
    let lines = fmt::layer()
        .with_writer(stderr)
        .with_ansi(false)
        .with_timer(uptime());
    // A second log would be a mistake of ours that harms nobody.
    let _ = registry().with(lines).with(targets).try_init();
    Ok(())
}
