//! Workflow commands of GitHub Actions, which show findings beside the lines of the Containerfile.
//! Escaped as actions/toolkit does (`packages/core/src/command.ts`): what an image says can be no command.

use std::fmt::Write as _;

use super::Shown;
use crate::{Finding, Severity};

/// Paths that an annotation names.
const SHOWN: usize = 10;

/// The report as workflow commands, one a line.
pub(super) fn github(report: &Shown) -> String {
    let mut text = String::new();
    for finding in report.own() {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut properties = Vec::new();
        if let Some((file, (first, last))) = report.lines(finding) {
            properties.push(format!("file={}", property(&file.file)));
            properties.push(format!("line={first},endLine={last}"));
        }
        properties.push(format!("title={}", property(&finding.rule)));
        let message = message(&body(finding));
        let _ = writeln!(text, "::{command} {}::{message}", properties.join(","));
    }
    let of_base = report.of_base().count();
    if of_base > 0 {
        let message = format!("{of_base} more in the base image already");
        let _ = writeln!(text, "::notice title=osderive::{message}");
    }
    text
}

fn body(finding: &Finding) -> String {
    let mut body = finding.message.clone();
    for path in finding.paths.iter().take(SHOWN) {
        let _ = write!(body, "\n{path}");
    }
    if finding.paths.len() > SHOWN {
        let _ = write!(body, "\nand {} more", finding.paths.len() - SHOWN);
    }
    let _ = write!(body, "\nhelp: {}", finding.help);
    body
}

fn message(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::report;

    #[test]
    fn each_finding_is_one_command() {
        let text = github(&Shown::of(&report()));
        assert_eq!(text.lines().count(), 4);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn nothing_in_an_image_is_a_command() {
        assert_eq!(message("100%\n::error::x"), "100%25%0A::error::x");
        assert_eq!(property("a,b:c"), "a%2Cb%3Ac");
    }
}
