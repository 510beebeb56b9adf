//! Findings after what people have decided about them. A decision that nothing needs is itself found.

use std::collections::BTreeSet;

use super::{Config, Containerfile, Suppressed, Suppression};
use crate::rules::{Check, Rule, narrowed, unused_suppression};
use crate::{Finding, Origin, Selection, Severity};

/// All that was decided.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What `osderive.toml` says.
    pub config: Config,
    /// The Containerfile that the image was built from, if it is known.
    pub containerfile: Option<Containerfile>,
}

/// Findings that were decided about, and those that were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What is left.
    pub findings: Vec<Finding>,
    /// What is wanted as it is.
    pub suppressed: Vec<Suppressed>,
}

impl Policy {
    /// The rules that are asked: all but those that are off and those that the user skips.
    pub fn selection(&self, skip: &BTreeSet<String>) -> Selection {
        let off = self
            .config
            .severities
            .iter()
            .filter(|(_, value)| value.is_none());
        Selection {
            skip: skip
                .iter()
                .cloned()
                .chain(off.map(|(name, _)| (*name).to_owned()))
                .collect(),
        }
    }

    /// Applies it. `unasked` are the rules that could not be asked: whether their suppressions are
    /// needed is not known.
    pub fn apply(
        &self,
        findings: Vec<Finding>,
        selection: &Selection,
        unasked: &[&str],
    ) -> Settled {
        let mut applied = self.begin();
        let mut settled = Settled::default();
        for finding in findings {
            let (left, suppressed) = applied.settle(finding);
            settled.findings.extend(left);
            settled.suppressed.extend(suppressed);
        }
        let unused = applied.unused(selection, unasked).into_iter();
        settled.findings.extend(unused.map(|(_, finding)| finding));
        settled
            .findings
            .sort_by(|left, right| left.rule.cmp(&right.rule));
        settled
    }

    /// Begins to apply it to findings that come one by one.
    pub fn begin(&self) -> Applied<'_> {
        let suppressions: Vec<&Suppression> = (self.config.suppressions.iter())
            .chain(
                self.containerfile
                    .iter()
                    .flat_map(|file| &file.suppressions),
            )
            .collect();
        Applied {
            policy: self,
            used: vec![false; suppressions.len()],
            suppressions,
        }
    }

    /// The severity that was decided for a finding's rule, or its own.
    pub fn severity(&self, finding: &Finding) -> Severity {
        let decided = self.config.severities.get(finding.rule.as_str());
        decided.copied().flatten().unwrap_or(finding.severity)
    }

    fn with_severity_and_lines(&self, mut finding: Finding) -> Finding {
        finding.severity = self.severity(&finding);
        if let (Some(file), Some(origin)) = (&self.containerfile, &mut finding.origin) {
            file.locate(origin);
        }
        finding
    }
}

/// A policy at work.
#[derive(Debug)]
pub struct Applied<'a> {
    policy: &'a Policy,
    suppressions: Vec<&'a Suppression>,
    used: Vec<bool>,
}

impl Applied<'_> {
    /// What is left of a finding, and what of it is wanted as it is.
    pub fn settle(&mut self, finding: Finding) -> (Option<Finding>, Vec<Suppressed>) {
        let mut left = Some(self.policy.with_severity_and_lines(finding));
        let mut suppressed = Vec::new();
        for (suppression, used) in self.suppressions.iter().zip(&mut self.used) {
            let Some(finding) = left.take() else { break };
            let (wanted, rest) = suppression.split(finding);
            left = rest;
            *used |= wanted.is_some();
            suppressed.extend(wanted.map(|finding| Suppressed {
                finding,
                reason: suppression.reason.clone(),
                place: suppression.place.clone(),
            }));
        }
        (left, suppressed)
    }

    /// The suppressions that nothing needed, once all findings are settled, and what to say of each.
    /// `unasked` are the rules that could not be asked.
    pub fn unused(&self, selection: &Selection, unasked: &[&str]) -> Vec<(&Suppression, Finding)> {
        if !selection.takes(&unused_suppression::RULE) {
            return Vec::new();
        }
        let is_asked = |rule: &Rule| {
            !matches!(rule.check, Check::Step)
                && selection.takes(rule)
                && !unasked.contains(&rule.name)
        };
        let all = self.suppressions.iter().zip(&self.used);
        let unused = all.filter(|(suppression, used)| !**used && is_asked(suppression.rule));
        let findings = unused.map(|(suppression, _)| {
            let finding = suppression.unused();
            (*suppression, self.policy.with_severity_and_lines(finding))
        });
        findings.collect()
    }
}

impl Suppression {
    /// What of a finding it covers, and what not.
    fn split(&self, finding: Finding) -> (Option<Finding>, Option<Finding>) {
        if finding.rule != self.rule.name || !self.is_about(finding.origin.as_ref()) {
            return (None, Some(finding));
        }
        let Some(pattern) = &self.path else {
            return (Some(finding), None);
        };
        let paths = finding.paths.iter().cloned();
        let (covered, rest): (Vec<_>, Vec<_>) = paths.partition(|path| pattern.covers(path));
        match (covered.is_empty(), rest.is_empty()) {
            (true, _) => (None, Some(finding)),
            (false, true) => (Some(finding), None),
            (false, false) => (
                Some(narrowed(&finding, covered)),
                Some(narrowed(&finding, rest)),
            ),
        }
    }

    /// One above an instruction is about what that brings; a finding that nobody knows the instruction of
    /// may be its.
    fn is_about(&self, origin: Option<&Origin>) -> bool {
        let lines = origin.and_then(|origin| origin.lines);
        match (self.lines, lines) {
            (Some(own), Some(lines)) => own.0 <= lines.1 && lines.0 <= own.1,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixture::Fixture;
    use crate::rules::import_special_file::RULE;

    fn policy(config: &str, containerfile: &str) -> Policy {
        let file = Containerfile::parse("Containerfile", containerfile.as_bytes());
        Policy {
            config: Config::parse("osderive.toml", config).expect("a configuration"),
            containerfile: Some(file.expect("a Containerfile")),
        }
    }

    fn found() -> Vec<Finding> {
        Fixture::new()
            .fifo("usr/a/one")
            .fifo("usr/b/two")
            .findings_of(&RULE)
    }

    #[test]
    fn a_suppression_takes_its_paths_out_of_a_finding() {
        let policy = policy(
            "[rules]\nimport-special-file = \"info\"\n[[allow]]\nrule = \"import-special-file\"\n\
             path = \"/usr/a\"\nreason = \"wanted\"\n",
            "",
        );
        let settled = policy.apply(found(), &Selection::default(), &[]);
        assert_eq!(settled.findings.len(), 1);
        assert_eq!(settled.findings[0].paths, ["/usr/b/two"]);
        assert_eq!(settled.findings[0].severity, Severity::Info);
        assert!(settled.findings[0].message.starts_with("1 special file"));
        let suppressed = &settled.suppressed[0];
        assert_eq!(suppressed.finding.paths, ["/usr/a/one"]);
        assert_eq!(
            (suppressed.reason.as_str(), suppressed.place.line),
            ("wanted", 4)
        );
    }

    #[test]
    fn a_comment_is_about_its_instruction_only() {
        let text = "FROM a\n# osderive: allow=import-special-file -- wanted\nRUN one\nRUN two\n";
        let policy = policy("", text);
        let findings = ["RUN one", "RUN two"].map(|instruction| Finding {
            origin: Some(Origin {
                instruction: instruction.to_owned(),
                ..Origin::default()
            }),
            ..found().remove(0)
        });
        let settled = policy.apply(findings.into(), &Selection::default(), &[]);
        assert_eq!((settled.findings.len(), settled.suppressed.len()), (1, 1));
        let origin = settled.findings[0].origin.as_ref().expect("an origin");
        assert_eq!(origin.lines, Some((4, 4)));
        let all = policy.apply(found(), &Selection::default(), &[]);
        assert_eq!(all.findings, [], "nobody knows which instruction made it");
    }

    #[test]
    fn a_suppression_that_nothing_needs_is_found() {
        let policy = policy(
            "[[allow]]\nrule = \"import-special-file\"\npath = \"/usr/gone\"\nreason = \"old\"\n\
             [[allow]]\nrule = \"leftover-process\"\nreason = \"only a step can tell\"\n",
            "# osderive: allow=kernel -- old\nFROM a\n",
        );
        let unused = |selection: &Selection, unasked: &[&str]| {
            let settled = policy.apply(Vec::new(), selection, unasked);
            let messages = settled.findings.into_iter().map(|finding| finding.message);
            messages.collect::<Vec<_>>()
        };
        assert_eq!(
            unused(&Selection::default(), &[]),
            [
                "osderive.toml:2 allows import-special-file at /usr/gone, which nothing needs",
                "Containerfile:1 allows kernel-count, which nothing needs"
            ]
        );
        let skip = Selection {
            skip: ["kernel".to_owned()].into(),
        };
        assert_eq!(unused(&skip, &["import-special-file"]), [""; 0]);
    }
}
