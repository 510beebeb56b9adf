//! What was found, as people and programs want to read it. One file for each form, each a function
//! from a [`Report`] to text.

mod github;
mod human;
mod json;
mod junit;
mod sarif;

use crate::policy::{Containerfile, Suppressed};
use crate::rules::{Check, RULES, Rule};
use crate::{Finding, Selection, Severity};

pub use github::github;
pub use human::{Look, human};
pub use json::{LINT_VERSION, ReadError, findings_of, json};
pub use junit::junit;
pub use sarif::sarif;

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
    /// Whether something of a severity or above was found that the base image does not have already.
    pub fn fails(&self, severity: Severity) -> bool {
        let mut own = self.own();
        own.any(|finding| finding.severity >= severity)
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
