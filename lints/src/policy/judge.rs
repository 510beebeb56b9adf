//! Findings after what people have decided about them. A decision that nothing needs is itself found.

use std::collections::BTreeSet;

use super::{Config, Containerfile, FailOn, Suppressed, Suppression};
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

/// What was found in an image and is to be judged.
pub struct Evidence<'a, T> {
    /// The findings, each with what else is known of it.
    pub found: Vec<(Finding, T)>,
    /// Findings of the base image that are not told. They need suppressions as well.
    pub of_base: &'a [Finding],
    /// The rules that are asked.
    pub selection: &'a Selection,
    /// Of these the rules that could not be asked. Whether their suppressions are needed is not known.
    pub unasked: &'a [&'a str],
    /// Whether lines of the Containerfile are of the image. Suppressions elsewhere are about other images.
    pub is_of_image: &'a dyn Fn((u32, u32)) -> bool,
}

/// Findings after the policy.
#[derive(Debug)]
pub struct Judgement<'a, T> {
    /// What is left, in the order of the evidence.
    pub left: Vec<(Finding, T)>,
    /// What is wanted as it is.
    pub suppressed: Vec<Suppressed>,
    /// The suppressions that nothing needed, and what to say of each.
    pub unused: Vec<(&'a Suppression, Finding)>,
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

    /// From which severity on a finding fails: as was asked for, else as `osderive.toml` says, else an error.
    pub fn fail_on(&self, asked: Option<FailOn>) -> FailOn {
        asked.or(self.config.fail_on).unwrap_or(FailOn::Error)
    }

    /// Takes out what is off and what is wanted as it is, and gives the rest its severities and lines.
    pub fn judge<T>(&self, evidence: Evidence<'_, T>) -> Judgement<'_, T> {
        let suppressions: Vec<&Suppression> = (self.config.suppressions.iter())
            .chain(
                self.containerfile
                    .iter()
                    .flat_map(|file| &file.suppressions),
            )
            .collect();
        let mut used = vec![false; suppressions.len()];
        let mut left = Vec::new();
        let mut suppressed = Vec::new();
        for (finding, known) in evidence.found {
            if Rule::named(&finding.rule).is_none_or(|rule| evidence.selection.takes(rule)) {
                let finding = self.with_severity_and_lines(finding);
                let (rest, wanted) = settle(finding, &suppressions, &mut used);
                left.extend(rest.map(|finding| (finding, known)));
                suppressed.extend(wanted);
            }
        }
        for finding in evidence.of_base {
            let finding = self.with_severity_and_lines(finding.clone());
            let _ = settle(finding, &suppressions, &mut used);
        }
        let is_asked = |rule: &Rule| {
            !matches!(rule.check, Check::Step)
                && evidence.selection.takes(rule)
                && !evidence.unasked.contains(&rule.name)
        };
        let is_told = evidence.selection.takes(&unused_suppression::RULE);
        let all = suppressions.into_iter().zip(used);
        let unused = all.filter(|(suppression, used)| {
            let is_of_image = || suppression.lines.is_none_or(evidence.is_of_image);
            is_told && !used && is_asked(suppression.rule) && is_of_image()
        });
        let unused = unused
            .map(|(suppression, _)| {
                (
                    suppression,
                    self.with_severity_and_lines(suppression.unused()),
                )
            })
            .collect();
        Judgement {
            left,
            suppressed,
            unused,
        }
    }

    /// The severity that was decided for a finding's rule, or its own.
    pub fn severity(&self, finding: &Finding) -> Severity {
        let decided = self.config.severities.get(finding.rule.as_str());
        decided.copied().flatten().unwrap_or(finding.severity)
    }

    fn with_severity_and_lines(&self, mut finding: Finding) -> Finding {
        finding.severity = self.severity(&finding);
        if let Some(file) = &self.containerfile {
            let places = finding.origin.iter_mut().chain(&mut finding.related);
            places.for_each(|origin| file.locate(origin));
        }
        finding
    }
}

impl<T> Judgement<'_, T> {
    /// What is left of all, in the order of the rules' names, and what is wanted as it is.
    pub fn by_rule(self) -> (Vec<Finding>, Vec<Suppressed>) {
        let left = self.left.into_iter().map(|(finding, _)| finding);
        let unused = self.unused.into_iter().map(|(_, finding)| finding);
        let mut findings: Vec<Finding> = left.chain(unused).collect();
        findings.sort_by(|one, other| one.rule.cmp(&other.rule));
        (findings, self.suppressed)
    }
}

/// What is left of a finding, and what of it is wanted as it is.
fn settle(
    finding: Finding,
    suppressions: &[&Suppression],
    used: &mut [bool],
) -> (Option<Finding>, Vec<Suppressed>) {
    let mut left = Some(finding);
    let mut suppressed = Vec::new();
    for (suppression, used) in suppressions.iter().zip(used) {
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

    fn judged(
        policy: &Policy,
        findings: Vec<Finding>,
        selection: &Selection,
        unasked: &[&str],
    ) -> (Vec<Finding>, Vec<Suppressed>) {
        let judgement = policy.judge(Evidence {
            found: findings.into_iter().map(|finding| (finding, ())).collect(),
            of_base: &[],
            selection,
            unasked,
            is_of_image: &|_| true,
        });
        judgement.by_rule()
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
        let (findings, suppressed) = judged(&policy, found(), &Selection::default(), &[]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].paths, ["/usr/b/two"]);
        assert_eq!(findings[0].severity, Severity::Info);
        assert!(findings[0].message.starts_with("1 special file"));
        let suppressed = &suppressed[0];
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
        let all = &Selection::default();
        let (findings, suppressed) = judged(&policy, findings.into(), all, &[]);
        assert_eq!((findings.len(), suppressed.len()), (1, 1));
        let origin = findings[0].origin.as_ref().expect("an origin");
        assert_eq!(origin.lines, Some((4, 4)));
        let (left, _) = judged(&policy, found(), all, &[]);
        assert_eq!(left, [], "nobody knows which instruction made it");
    }

    #[test]
    fn a_suppression_that_nothing_needs_is_found() {
        let policy = policy(
            "[[allow]]\nrule = \"import-special-file\"\npath = \"/usr/gone\"\nreason = \"old\"\n\
             [[allow]]\nrule = \"leftover-process\"\nreason = \"only a step can tell\"\n",
            "# osderive: allow=kernel -- old\nFROM a\n",
        );
        let unused = |selection: &Selection, unasked: &[&str]| {
            let (findings, _) = judged(&policy, Vec::new(), selection, unasked);
            let messages = findings.into_iter().map(|finding| finding.message);
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
