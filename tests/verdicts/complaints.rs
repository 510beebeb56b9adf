//! What systemd's tools complain about: `FILE:LINE: message` on stderr.

use std::collections::BTreeMap;
use std::process::Command;

/// A line of a file: its name without directories, and its number from 1.
pub(crate) type FileLine = (String, u32);

/// What is wrong with each line, by one of the two sides.
pub(crate) type Complaints = BTreeMap<FileLine, String>;

/// All that a tool says, one message a line, without colours.
pub(crate) fn said(command: &mut Command) -> Vec<String> {
    command.env("SYSTEMD_COLORS", "0").env("LC_ALL", "C.UTF-8");
    // It would stand for `%s`.
    command.env_remove("SHELL");
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// The messages that are about a line; the first of each.
pub(crate) fn about_lines(said: &[String]) -> Complaints {
    let mut complaints = Complaints::new();
    for (place, message) in said.iter().filter_map(|line| about_line(line)) {
        complaints.entry(place).or_insert(message);
    }
    complaints
}

pub(crate) fn about_line(said: &str) -> Option<(FileLine, String)> {
    let (path, rest) = said.strip_prefix('/')?.split_once(':')?;
    let (number, message) = rest.split_once(": ")?;
    let file = path.rsplit('/').next()?;
    Some(((file.to_owned(), number.parse().ok()?), message.to_owned()))
}

/// Lines that only one of the two sides complains about: where, who with what.
pub(crate) fn disagreements(systemd: &Complaints, ours: &Complaints) -> Vec<(FileLine, String)> {
    let only = |side: &str, these: &Complaints, others: &Complaints| -> Vec<_> {
        let these = these
            .iter()
            .filter(|(place, _)| !others.contains_key(place));
        let told = these.map(|(place, message)| (place.clone(), format!("only {side}: {message}")));
        told.collect()
    };
    let mut all = only("systemd", systemd, ours);
    all.extend(only("osderive", ours, systemd));
    all
}
