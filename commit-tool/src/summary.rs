//! What people read on stderr: one line that says what a commit did, one for each finding, and
//! nothing at all when there is nothing to say.

use std::fmt::Write as _;

use osderive_commit::Committed;
use osderive_lints::{Change, ChangedFile, Finding, Severity, escape_finding, escape_lines};

/// Changes that are told one by one; the report has them all.
const MAX_TOLD: usize = 8;
/// The same for files that were taken away.
const MAX_REMOVED: usize = 3;

/// The lines for a commit, each with its line end; empty when nothing was done and found.
pub(crate) fn summary(committed: &Committed) -> String {
    let report = &committed.report;
    let mut text = String::new();
    if report.removed_entries > 0 {
        let areas: Vec<String> = committed
            .areas
            .iter()
            .map(|area| format!("/{area}"))
            .collect();
        let _ = writeln!(
            text,
            "osderive: committed: removed {} ({}) from {}",
            entries(report.removed_entries),
            size(report.removed_bytes),
            areas.join(", ")
        );
    }
    if !report.changed.is_empty() {
        let _ = writeln!(text, "osderive: {}", changes(&report.changed));
    }
    for line in &committed.summaries {
        let _ = writeln!(text, "osderive: {line}");
    }
    escape_lines(&text) + &findings(&report.findings)
}

/// One line for each finding.
pub(crate) fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings.iter().cloned().map(escape_finding) {
        let severity = match finding.severity {
            Severity::Info => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let _ = writeln!(
            text,
            "osderive: {severity}: {} [{}]",
            finding.message, finding.rule
        );
        // What follows the first line of a help is text to copy.
        for line in finding.help.lines().skip(1) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// `wrote /usr/lib/sysusers.d/00-….conf, moved /var/opt/acme to /usr/lib/opt/acme, removed 12 files`
fn changes(changed: &[ChangedFile]) -> String {
    let is_removal = |file: &&ChangedFile| file.change == Change::Removed;
    let (removed, kept): (Vec<_>, Vec<_>) = changed.iter().partition(is_removal);
    let mut done = named(&kept);
    if removed.len() > MAX_REMOVED {
        done.push(format!("removed {} files", removed.len()));
    } else {
        done.extend(named(&removed));
    }
    done.join(", ")
}

fn named(changed: &[&ChangedFile]) -> Vec<String> {
    let named = changed.iter().take(MAX_TOLD).map(|file| file.done());
    let more = changed.len().saturating_sub(MAX_TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    named.chain(more).collect()
}

fn entries(count: u64) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// `512 B`, `3.4 MiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    // Tenths of a unit, rounded: integers keep the text exact.
    let mut tenths = match bytes {
        0..1024 => return format!("{bytes} B"),
        bytes => bytes.saturating_mul(10).div_ceil(1024),
    };
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = tenths.div_ceil(1024);
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use osderive_commit::empty_report;
    use osderive_lints::Outcome;

    use super::*;

    #[test]
    fn a_commit_says_what_it_did_and_nothing_if_it_did_nothing() {
        let mut committed = Committed {
            report: empty_report(Outcome::Committed),
            areas: Vec::new(),
            summaries: Vec::new(),
        };
        assert_eq!(summary(&committed), "");
        committed.areas = vec!["tmp", "var/cache"];
        committed.summaries = vec!["/var: declared 1 directory or link".to_owned()];
        committed.report.removed_entries = 4;
        committed.report.removed_bytes = 14;
        assert_eq!(
            summary(&committed),
            "osderive: committed: removed 4 entries (14 B) from /tmp, /var/cache\n\
             osderive: /var: declared 1 directory or link\n"
        );
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 * 1024 * 1024 + 400 * 1024), "3.4 MiB");
        assert_eq!(size(5 << 40), "5.0 TiB");
    }
}
