//! A finding with the instruction that brought it, and how it is shown.

use osderive_lints::Finding;
use osderive_lints::rules::Rule;
use osderive_proto::gateway::Warning;
use osderive_proto::llb::{Digest, SourceLocation};

use crate::facts::location::first_line;

/// Paths that a warning or an error names of each finding.
pub(crate) const MAX_PATHS: usize = 5;

/// A finding, with what brought it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) finding: Finding,
    /// The op that it is about.
    pub(crate) digest: Digest,
    pub(crate) location: Option<SourceLocation>,
}

impl Found {
    /// The Containerfile's line, from 1.
    pub(crate) fn line(&self) -> Option<i32> {
        first_line(self.location.as_ref()?)
    }

    /// In one line.
    pub(crate) fn short(&self) -> String {
        let line = self.line();
        let line = line.map(|line| format!(" (line {line})"));
        let Finding { rule, message, .. } = &self.finding;
        format!("{rule}: {message}{}", line.unwrap_or_default())
    }

    pub(crate) fn warning(&self) -> Warning {
        let help = &self.finding.help;
        let mut detail: Vec<String> = help.lines().map(str::to_owned).collect();
        detail.extend(self.finding.paths.iter().take(MAX_PATHS).cloned());
        detail.extend(self.finding.also().map(|also| format!("also by: {also}")));
        Warning {
            digest: self.digest,
            short: self.short(),
            detail,
            url: Rule::named(&self.finding.rule).and_then(Rule::url),
            location: self.location.clone(),
        }
    }

    /// In several lines: rule and message, where, what happens, what to do.
    pub(crate) fn paragraph(&self) -> String {
        let mut lines = vec![self.short()];
        let paths = &self.finding.paths;
        lines.extend(
            paths
                .iter()
                .take(MAX_PATHS)
                .map(|path| format!("  --> {path}")),
        );
        if paths.len() > MAX_PATHS {
            lines.push(format!("  ... and {} more", paths.len() - MAX_PATHS));
        }
        let also = self.finding.also();
        lines.extend(also.map(|also| format!("  = also by: {also}")));
        if let Some(rule) = Rule::named(&self.finding.rule) {
            lines.push(format!("  = at boot: {}", rule.why()));
        }
        lines.push(format!("  = help: {}", self.finding.help));
        lines.join("\n")
    }
}
