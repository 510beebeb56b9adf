//! What was found, as people and programs want to read it. One file for each form, each a function to text from a
//! report that is escaped already: no form sees what others wrote as it stands, but JSON, which has its own escapes.

mod github;
mod human;
mod json;
mod junit;
mod sarif;

use std::ops::Deref;

use crate::policy::{Containerfile, FailOn, Suppressed};
use crate::rules::{Check, RULES, Rule};
use crate::{Finding, Selection, escape_finding, escape_text};

pub use human::Look;
pub use json::{LINT_VERSION, ReadError, findings_of};

/// A form of a report.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// For people at a terminal.
    Human(Look),
    /// One versioned document for programs, `docs/schema/lint-1.json`.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    /// `JUnit` XML.
    Junit,
}

/// A report as text.
pub fn text(report: &Report, form: Form) -> String {
    let shown = || Shown::of(report);
    match form {
        Form::Human(look) => human::human(&shown(), look),
        Form::Json => json::json(report),
        Form::Sarif => sarif::sarif(&shown()),
        Form::Github => github::github(&shown()),
        Form::Junit => junit::junit(&shown()),
    }
}

/// A report in which all that others wrote is escaped. Only [`text`] makes one.
struct Shown(Report);

impl Shown {
    fn of(report: &Report) -> Self {
        let mut report = report.clone();
        let findings = std::mem::take(&mut report.findings).into_iter();
        report.findings = findings.map(escape_finding).collect();
        report.subject = escape_text(&report.subject).into_owned();
        for suppressed in &mut report.suppressed {
            suppressed.finding = escape_finding(suppressed.finding.clone());
            suppressed.reason = escape_text(&suppressed.reason).into_owned();
            suppressed.place.file = escape_text(&suppressed.place.file).into_owned();
        }
        if let Some(file) = &mut report.containerfile {
            file.file = escape_text(&file.file).into_owned();
            // Tabs are fine, but not in the middle of what is aligned.
            file.text = crate::escape_lines(&file.text.replace('\t', "    "));
        }
        Self(report)
    }
}

impl Deref for Shown {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

/// What a lint found, about what.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The name of what was looked at, as the user gave it.
    pub subject: String,
    /// What was found, in the order of the rules' names.
    pub findings: Vec<Finding>,
    /// What was found and is wanted as it is.
    pub suppressed: Vec<Suppressed>,
    /// Rules that could not be asked, and what they need.
    pub unasked: Vec<(&'static str, &'static str)>,
    /// The rules that were wanted.
    pub selection: Selection,
    /// Whether findings were compared with those of the base image.
    pub has_baseline: bool,
    /// What the image was built from, if it is known.
    pub containerfile: Option<Containerfile>,
}

impl Report {
    /// Whether something was found that fails and that the base image does not have already.
    pub fn fails(&self, fail_on: FailOn) -> bool {
        let mut own = self.own();
        own.any(|finding| fail_on.is_met_by(finding.severity))
    }

    /// What the base image does not have already.
    fn own(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !is_of_base(finding))
    }

    /// What the base image has already.
    fn of_base(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| is_of_base(finding))
    }

    /// The rules that were asked, found something or not.
    fn asked(&self) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().filter(|rule| {
            !matches!(rule.check, Check::Step)
                && self.selection.takes(rule)
                && !self.unasked.iter().any(|(name, _)| *name == rule.name)
        })
    }

    /// The Containerfile's name and the lines that a finding is about, if both are known.
    fn lines<'a>(&'a self, finding: &Finding) -> Option<(&'a Containerfile, (u32, u32))> {
        let file = self.containerfile.as_ref()?;
        Some((file, finding.origin.as_ref()?.lines?))
    }
}

fn is_of_base(finding: &Finding) -> bool {
    finding.origin.as_ref().is_some_and(|origin| origin.base)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
