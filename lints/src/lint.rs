//! All rules on one image, with one walk over its tree. A rule that panics on strange input is told of
//! in a finding and never hides what the others find.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::image::Image;
use crate::rules::{
    Check, EntryCheck, Findings, Need, RULES, Rule, input_over_budget, input_unreadable, narrowed,
    rule_broken,
};
use crate::tree::{Entry, Gathered, MAX_PATHS, Stack, Tree};
use crate::{Finding, ImageConfig, Origin, escape_path, unescape_path};

/// What to look for.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Rules to leave out, by name or alias.
    pub skip: BTreeSet<String>,
}

impl Selection {
    /// Whether a rule is asked.
    pub fn takes(&self, rule: &Rule) -> bool {
        !rule.names().any(|name| self.skip.contains(name))
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the order of the rules' names.
    pub findings: Vec<Finding>,
    /// Rules that could not be asked, and what they need.
    pub unasked: Vec<(&'static str, Need)>,
    /// How many entries the tree has.
    pub entries: u64,
}

/// Looks at a tree, and at the image's configuration where it is known.
pub fn lint(tree: &dyn Tree, config: Option<&ImageConfig>, selection: &Selection) -> Outcome {
    let selected = || {
        let rules = RULES.iter().enumerate();
        rules.filter(|(_, rule)| selection.takes(rule))
    };
    let of_entries: Vec<(usize, EntryCheck)> = selected()
        .filter_map(|(index, rule)| match rule.check {
            Check::Entry(check) => Some((index, check)),
            Check::Step | Check::Image(_) => None,
        })
        .collect();
    let mut gathered = tree.walk(&|entry, gathered| ask_of(entry, &of_entries, gathered));
    let hits = std::mem::take(&mut gathered.hits);
    let unread: Vec<Finding> = (gathered.unread.iter())
        .map(|(path, why)| input_unreadable::finding(&format!("/{}", escape_path(path)), why))
        .collect();
    let image = Image::read(tree, gathered, config);

    let mut outcome = Outcome {
        findings: unread,
        unasked: Vec::new(),
        entries: image.gathered.entries,
    };
    for (index, rule) in selected() {
        match rule.check {
            Check::Step => {}
            Check::Entry(check) => {
                let found = hits.get(&index).map(check.finding);
                outcome.findings.extend(found);
            }
            Check::Image(_) if is_missing(rule.needs, &image) => {
                outcome.unasked.push((rule.name, rule.needs));
            }
            Check::Image(check) => outcome.findings.extend(ask(rule, check, &image)),
        }
    }
    let broken = image.gathered.broken.iter();
    outcome.findings.extend(broken.filter_map(|(index, path)| {
        let rule = RULES.get(*index)?;
        Some(rule_broken::finding(rule.name, Some(&escape_path(path))))
    }));
    let mut problems = image.problems();
    problems.dedup();
    outcome.findings.extend(problems);
    if selection.takes(&input_over_budget::RULE) {
        let unread = tree.budget().unread();
        outcome.findings.extend(input_over_budget::finding(&unread));
    }
    if let Some(stack) = tree.layers() {
        let findings = std::mem::take(&mut outcome.findings).into_iter();
        outcome.findings = findings
            .flat_map(|finding| attributed(finding, tree, stack))
            .collect();
    }
    outcome
        .findings
        .sort_by(|left, right| left.rule.cmp(&right.rule));
    outcome
}

fn is_missing(need: Need, image: &Image<'_>) -> bool {
    match need {
        Need::Tree => false,
        Need::Config => image.config.is_none(),
        Need::Layers => image.tree.layers().is_none(),
    }
}

/// A finding with the layer that brought its paths. One about paths of several layers that stand for
/// themselves becomes several; else the last of these layers is it, and the others are related.
fn attributed(finding: Finding, tree: &dyn Tree, stack: &Stack) -> Vec<Finding> {
    if finding.origin.is_some() {
        return vec![finding];
    }
    let mut by_layer: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for path in &finding.paths {
        let bytes = unescape_path(path);
        let layer = tree.layer_of(bytes.strip_prefix(b"/").unwrap_or(&bytes));
        by_layer.entry(layer).or_default().push(path.clone());
    }
    let origin = |layer: Option<usize>| {
        let layer = stack.layers.get(layer?)?;
        Some(Origin {
            instruction: layer.created_by.clone(),
            layer: layer.digest.clone(),
            ..Origin::default()
        })
    };
    let is_of_entries = |rule: &'static Rule| {
        matches!(rule.check, Check::Entry(_)) && finding.paths.len() < MAX_PATHS
    };
    if by_layer.len() > 1 && Rule::named(&finding.rule).is_some_and(is_of_entries) {
        let parts = by_layer.into_iter();
        return parts
            .map(|(layer, paths)| Finding {
                origin: origin(layer),
                ..narrowed(&finding, paths)
            })
            .collect();
    }
    let mut layers = by_layer.into_keys().rev();
    let last = layers.next().flatten();
    vec![Finding {
        origin: origin(last),
        related: layers.filter_map(origin).collect(),
        ..finding
    }]
}

fn ask_of(entry: &Entry<'_>, checks: &[(usize, EntryCheck)], gathered: &mut Gathered) {
    for (index, check) in checks {
        match catch_unwind(|| (check.holds)(entry)) {
            Ok(false) => {}
            Ok(true) => gathered.hits.entry(*index).or_default().add(entry.path),
            Err(_) => {
                let path = || entry.path.to_vec();
                gathered.broken.entry(*index).or_insert_with(path);
            }
        }
    }
}

fn ask(rule: &Rule, check: fn(&Image<'_>) -> Vec<Finding>, image: &Image<'_>) -> Vec<Finding> {
    catch_unwind(AssertUnwindSafe(|| Findings::of(check(image))))
        .unwrap_or_else(|_| vec![rule_broken::finding(rule.name, None)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::testing::{LayerTar, TestImage};

    #[test]
    fn what_several_layers_bring_is_of_the_last_one_and_names_the_others() {
        let kernel =
            |version| LayerTar::new().file(&format!("usr/lib/modules/{version}/vmlinuz"), "");
        let image = TestImage::new().layer(kernel("6.1")).layer(kernel("6.2"));
        let tree = image.read().expect("an image");
        let found = lint(&tree, None, &Selection::default()).findings;
        let found = found.iter().find(|finding| finding.rule == "kernel-count");
        let found = found.expect("two kernels");
        let origin = found.origin.as_ref().expect("a layer");
        assert_eq!(origin.instruction, "RUN step 1");
        assert_eq!(found.also().collect::<Vec<_>>(), ["RUN step 0"]);
    }
}
