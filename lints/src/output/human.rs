//! For people at a terminal: findings by the instruction that brought them, with its lines where they are
//! known; in short and at the end what the base image has already.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

use super::{Report, Shown};
use crate::policy::Containerfile;
use crate::rules::Rule;
use crate::{Finding, Origin, Severity};

/// Paths that are named for each finding.
const SHOWN: usize = 5;

/// Columns of a line where the terminal does not say.
const WIDTH: usize = 100;

/// How it is to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// The terminal's columns, if it is one.
    pub width: Option<usize>,
    /// Whether there are colours.
    pub is_coloured: bool,
    /// Whether all paths are named, and nothing is cut.
    pub is_whole: bool,
}

/// The report as text: a paragraph for each finding, and a line that counts them.
pub(super) fn human(report: &Shown, look: Look) -> String {
    let mut page = Page {
        text: String::new(),
        look,
    };
    let mut groups: Vec<(Option<&Origin>, Vec<&Finding>)> = Vec::new();
    for finding in report.own() {
        let origin = finding.origin.as_ref();
        let same = |other: Option<&Origin>| match (origin, other) {
            (Some(one), Some(other)) => {
                (&one.instruction, one.lines, &one.layer)
                    == (&other.instruction, other.lines, &other.layer)
            }
            (one, other) => one.is_none() && other.is_none(),
        };
        match groups.iter_mut().find(|(other, _)| same(*other)) {
            Some((_, group)) => group.push(finding),
            None => groups.push((origin, vec![finding])),
        }
    }
    // What nobody knows the origin of comes first; the others as the Containerfile has them.
    groups.sort_by_key(|(origin, _)| origin.map(|origin| origin.lines.unwrap_or((u32::MAX, 0))));
    for (origin, findings) in groups {
        if let Some(origin) = origin {
            page.origin(origin, report.containerfile.as_ref());
        }
        for finding in findings {
            page.finding(finding);
        }
    }
    page.base(report);
    page.summary(report);
    page.text
}

struct Page {
    text: String,
    look: Look,
}

const BOLD: Style = Style::new().bold();

fn style(severity: Severity) -> Style {
    let colour = match severity {
        Severity::Error => AnsiColor::BrightRed,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Info => AnsiColor::BrightCyan,
    };
    colour.on_default().bold()
}

impl Page {
    fn width(&self) -> usize {
        self.look.width.unwrap_or(WIDTH).max(40)
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.look.is_coloured {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// A line that ends where the terminal does.
    fn cut(&self, text: &str) -> String {
        let width = self.width();
        if self.look.is_whole || text.chars().count() <= width {
            return text.to_owned();
        }
        text.chars().take(width - 1).chain(['…']).collect()
    }

    fn origin(&mut self, origin: &Origin, containerfile: Option<&Containerfile>) {
        if let (Some(file), Some(lines)) = (containerfile, origin.lines)
            && let Some(snippet) = self.snippet(file, lines)
        {
            self.text.push_str(&snippet);
            self.text.push_str("\n\n");
            return;
        }
        let layer = origin.layer.get(..19).unwrap_or(&origin.layer);
        let heading = match (origin.instruction.as_str(), layer) {
            ("", "") => return,
            ("", layer) => format!("in layer {layer}"),
            (instruction, "") => instruction.to_owned(),
            (instruction, layer) => format!("in layer {layer}: {instruction}"),
        };
        let heading = self.styled(BOLD, &self.cut(&heading));
        let _ = writeln!(self.text, "{heading}\n");
    }

    /// The first line of an instruction in its place.
    fn snippet(&self, file: &Containerfile, lines: (u32, u32)) -> Option<String> {
        let first = usize::try_from(lines.0).ok()?.checked_sub(1)?;
        let source = file.text.lines().nth(first)?;
        let label = if lines.0 == lines.1 {
            "brought by this instruction".to_owned()
        } else {
            format!(
                "brought by this instruction, which ends in line {}",
                lines.1
            )
        };
        let span = AnnotationKind::Primary.span(0..source.len()).label(label);
        let snippet = Snippet::source(source)
            .path(&*file.file)
            .line_start(first + 1)
            .annotation(span);
        let renderer = if self.look.is_coloured {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let group = Group::with_level(Level::NOTE).element(snippet);
        Some(renderer.term_width(self.width()).render(&[group]))
    }

    fn finding(&mut self, finding: &Finding) {
        let name = format!("{}[{}]", finding.severity.name(), finding.rule);
        let title = self.styled(style(finding.severity), &name);
        let message = self.styled(BOLD, &finding.message);
        let _ = writeln!(self.text, "{title}: {message}");
        let shown = if self.look.is_whole {
            usize::MAX
        } else {
            SHOWN
        };
        for path in finding.paths.iter().take(shown) {
            let _ = writeln!(self.text, "  --> {path}");
        }
        if finding.paths.len() > shown {
            let _ = writeln!(self.text, "  ... and {} more", finding.paths.len() - shown);
        }
        for also in finding.also() {
            let line = self.cut(&format!("  = also by: {also}"));
            let _ = writeln!(self.text, "{line}");
        }
        if let Some(rule) = Rule::named(&finding.rule) {
            self.note("  = at boot: ", &rule.why());
        }
        self.note("  = help: ", &finding.help);
        self.text.push('\n');
    }

    /// Text with an indent below its mark.
    fn note(&mut self, mark: &str, text: &str) {
        let indent = " ".repeat(mark.len());
        let options = textwrap::Options::new(self.width())
            .initial_indent(mark)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        for line in textwrap::wrap(text, options) {
            let _ = writeln!(self.text, "{line}");
        }
    }

    fn base(&mut self, report: &Report) {
        let count = report.of_base().count();
        if count == 0 {
            return;
        }
        let heading = self.styled(BOLD, "In the base image already, and never a failure:");
        let _ = writeln!(self.text, "{heading}");
        for finding in report.of_base() {
            let path = finding.paths.first().map(|path| format!(" ({path})"));
            let (name, rule) = (finding.severity.name(), &finding.rule);
            let line = format!(
                "  {name}[{rule}]: {}{}",
                finding.message,
                path.unwrap_or_default()
            );
            let line = self.cut(&line);
            let _ = writeln!(self.text, "{line}");
        }
        self.text.push('\n');
    }

    fn summary(&mut self, report: &Report) {
        if !report.unasked.is_empty() {
            let rules: Vec<String> = (report.unasked.iter())
                .map(|(rule, needs)| format!("{rule} ({needs})"))
                .collect();
            self.note("Not asked, for want of what they need: ", &rules.join(", "));
        }
        let counts = Severity::ALL.map(|severity| {
            let count = report
                .own()
                .filter(|finding| finding.severity == severity)
                .count();
            let text = format!("{count} {}", severity.name());
            if count == 0 {
                text
            } else {
                self.styled(style(severity), &text)
            }
        });
        let mut counts = counts.to_vec();
        for (count, what) in [
            (report.of_base().count(), "of the base image"),
            (report.suppressed.len(), "suppressed"),
        ] {
            if count > 0 {
                counts.push(format!("{count} {what}"));
            }
        }
        let subject = &report.subject;
        let _ = writeln!(self.text, "{subject}: {}", counts.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::report;

    #[test]
    fn findings_are_grouped_by_what_brought_them() {
        insta::assert_snapshot!(human(&Shown::of(&report()), Look::default()));
    }

    #[test]
    fn a_narrow_terminal_and_colours() {
        let look = Look {
            width: Some(60),
            is_coloured: true,
            is_whole: false,
        };
        let text = human(&Shown::of(&report()), look);
        insta::assert_snapshot!(text.replace('\x1b', "␛"));
    }

    #[test]
    fn nothing_is_cut_if_all_is_wanted() {
        let look = Look {
            width: Some(60),
            is_whole: true,
            ..Look::default()
        };
        let text = human(&Shown::of(&report()), look);
        assert!(
            text.contains("/usr/lib/a6") && !text.contains("more"),
            "{text}"
        );
    }

    #[test]
    fn an_image_without_findings_is_one_line() {
        let report = Report {
            subject: "/".to_owned(),
            ..Report::default()
        };
        assert_eq!(
            human(&Shown::of(&report), Look::default()),
            "/: 0 error, 0 warning, 0 info\n"
        );
    }
}
