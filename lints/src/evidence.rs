//! Findings of the same image from two sides: of its steps, and of a look at the finished root. Each is told once, with
//! the step that it is of; what a later step has mended is not told.

use crate::Finding;
use crate::rules::{Check, Rule};

/// What a finding says that the known ones don't.
pub fn without(mut finding: Finding, known: &[Finding]) -> Option<Finding> {
    let of_rule = known.iter().filter(|other| other.rule == finding.rule);
    let known: Vec<&Finding> = of_rule.collect();
    if finding.paths.is_empty() {
        return known.is_empty().then_some(finding);
    }
    if known.iter().any(|other| other.paths.is_empty()) {
        return None;
    }
    finding
        .paths
        .retain(|path| !known.iter().any(|other| other.paths.contains(path)));
    (!finding.paths.is_empty()).then_some(finding)
}

/// Whether the finished image still has what a step's finding is about, as a look at it tells; none where such a look
/// cannot tell.
pub fn is_still_there(step: &Finding, look: &[Finding]) -> Option<bool> {
    let sees = |rule: &Rule| !matches!(rule.check, Check::Step);
    Rule::named(&step.rule)
        .is_some_and(sees)
        .then(|| look.iter().any(|other| is_about_same(other, step)))
}

fn is_about_same(left: &Finding, right: &Finding) -> bool {
    let shared = |path| right.paths.contains(path);
    left.rule == right.rule
        && (left.paths.is_empty() || right.paths.is_empty() || left.paths.iter().any(shared))
}

/// Where the instructions put what the commit at the end has moved: pairs of where it is now and where it was.
pub fn put(moved: &[(String, String)], path: &str) -> String {
    let was = moved.iter().find_map(|(now, was)| {
        let below = path.strip_prefix(now.as_str())?;
        (below.is_empty() || below.starts_with('/')).then(|| format!("{was}{below}"))
    });
    was.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Severity;

    fn finding(rule: &str, paths: &[&str]) -> Finding {
        Finding {
            rule: rule.to_owned(),
            severity: Severity::Error,
            message: "is wrong".to_owned(),
            help: "mend it".to_owned(),
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
            origin: None,
            confidence: None,
            related: Vec::new(),
        }
    }

    #[test]
    fn what_a_step_told_is_not_told_again() {
        let known = [finding("a", &["/x"]), finding("b", &[])];
        let left = |rule, paths: &[&str]| {
            without(finding(rule, paths), &known).map(|finding| finding.paths)
        };
        assert_eq!(left("a", &["/x"]), None);
        assert_eq!(left("a", &["/x", "/y"]), Some(vec!["/y".to_owned()]));
        assert_eq!(left("a", &[]), None);
        assert_eq!(left("b", &["/x"]), None);
        assert_eq!(left("c", &[]), Some(Vec::new()));
    }

    #[test]
    fn two_findings_are_about_the_same_if_a_path_is_the_same() {
        let step = finding("a", &["/x", "/y"]);
        assert!(is_about_same(&finding("a", &["/y", "/z"]), &step));
        assert!(is_about_same(&finding("a", &[]), &step));
        assert!(!is_about_same(&finding("a", &["/z"]), &step));
        assert!(!is_about_same(&finding("b", &["/x"]), &step));
    }
}
