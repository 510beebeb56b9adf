//! What the people of an image decide about findings: severities and suppressions, in `osderive.toml`
//! and in comments of a Containerfile. All of it is a function from texts and findings to findings.

mod containerfile;
mod fail_on;
mod file;
mod judge;
mod options;
mod pattern;
mod stages;

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::{Deserialize, Serialize};

pub use containerfile::{Containerfile, Document, Instruction};
pub use fail_on::FailOn;
pub use file::{Config, MAX_CONFIG_BYTES};
pub use judge::{Evidence, Judgement, Policy};
pub use options::{Bootable, BuildOptionError, BuildOptions};
pub use pattern::Pattern;
pub use stages::{Stage, chain, chain_of_files, expanded};

use crate::rules::{Rule, policy_rejected, unused_suppression};
use crate::{Finding, Origin, escape_lines, escape_text};

/// A decision that findings of a rule are wanted as they are.
#[derive(Clone, Debug)]
pub struct Suppression {
    /// The rule.
    pub rule: &'static Rule,
    /// The paths; all if there is none.
    pub path: Option<Pattern>,
    /// Why.
    pub reason: String,
    /// Where it stands.
    pub place: SourceLine,
    /// The lines of the instruction that it is about, if it is about one.
    pub lines: Option<(u32, u32)>,
}

/// A line of a file that people write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// The file as the user named it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
}

/// A finding that somebody has decided about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppressed {
    /// What was found.
    pub finding: Finding,
    /// Why it is wanted.
    pub reason: String,
    /// Where that stands.
    pub place: SourceLine,
}

/// Something that is wrong in a file that people write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file as the user named it.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// The text of the file, and the bytes of it that are wrong.
    pub source: String,
    /// These bytes.
    pub span: Range<usize>,
}

impl Suppression {
    /// The finding that nothing needs it.
    pub fn unused(&self) -> Finding {
        let (place, rule) = (&self.place, self.rule.name);
        let path = self.path.as_ref().map(Pattern::as_str);
        let at = path.map_or_else(String::new, |path| format!(" at {path}"));
        let mut finding = unused_suppression::RULE.finding(
            format!(
                "{}:{} allows {rule}{at}, which nothing needs",
                place.file, place.line
            ),
            "remove it, or correct its path".to_owned(),
            Vec::new(),
        );
        finding.origin = self.lines.map(|_| at_line(place.line));
        finding
    }
}

fn at_line(line: u32) -> Origin {
    Origin {
        lines: Some((line, line)),
        ..Origin::default()
    }
}

impl PolicyError {
    /// The finding about it.
    pub fn finding(&self) -> Finding {
        let (message, help) = (self.message.clone(), self.help.clone());
        let mut finding = policy_rejected::RULE.finding(message, help, Vec::new());
        finding.origin = Some(at_line(self.line()));
        finding
    }

    /// The line that is wrong, counted from 1.
    pub fn line(&self) -> u32 {
        line_of(&self.source, self.span.start)
    }

    /// The error with the line that it is about.
    pub fn render(&self, is_coloured: bool) -> String {
        let renderer = if is_coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let end = self.span.end.min(self.source.len());
        let span = self.span.start.min(end)..end;
        let snippet = Snippet::source(&*self.source)
            .path(escape_text(&self.file))
            .annotation(AnnotationKind::Primary.span(span));
        let title = Level::ERROR
            .primary_title(escape_lines(&self.message))
            .element(snippet);
        let help = (!self.help.is_empty()).then(|| Level::HELP.message(escape_lines(&self.help)));
        let report: Group<'_> = title.elements(help);
        renderer.render(&[report]) + "\n"
    }
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, byte: usize) -> u32 {
    let before = text.as_bytes().iter().take(byte);
    let feeds = before.filter(|&&byte| byte == b'\n').count();
    u32::try_from(feeds + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finding_is_at_the_line_of_the_mistake() {
        let error = Config::parse("osderive.toml", "[rules]\nkernels = \"off\"\n");
        let finding = error.expect_err("an error").finding();
        assert_eq!(finding.message, "there is no rule \"kernels\"");
        assert_eq!(finding.origin.expect("an origin").lines, Some((2, 2)));
    }

    #[test]
    fn the_finding_names_the_line_and_what_it_allows() {
        let unused = Suppression {
            rule: &crate::rules::kernel_count::RULE,
            path: Pattern::parse("/usr/lib/modules"),
            reason: "two are wanted".to_owned(),
            place: SourceLine {
                file: "Containerfile".to_owned(),
                line: 7,
            },
            lines: Some((8, 9)),
        };
        let finding = unused.unused();
        assert_eq!(
            finding.message,
            "Containerfile:7 allows kernel-count at /usr/lib/modules, which nothing needs"
        );
        assert_eq!(finding.origin.expect("an origin").lines, Some((7, 7)));
    }
}
