//! The pages of `docs/rules/`, made from the rules themselves by `cargo xtask rules`.

use std::fmt::Write as _;

use super::{Need, RULES, Rule};

/// The name of the page that lists all.
const INDEX: &str = "README.md";

/// Each page's name with its text.
pub fn pages() -> Vec<(String, String)> {
    let page = |rule: &Rule| (format!("{}.md", rule.name), page(rule));
    let index = (INDEX.to_owned(), index());
    RULES.iter().map(page).chain([index]).collect()
}

fn page(rule: &Rule) -> String {
    let mut text = format!("# {}\n\n", rule.name);
    let (first, rest) = rule.summary.split_at(1);
    let _ = writeln!(text, "{}{rest}.\n", first.to_uppercase());
    let _ = writeln!(
        text,
        "| severity | concerns | needs | since | also known as |\n|---|---|---|---|---|"
    );
    let aliases: Vec<String> = rule
        .aliases
        .iter()
        .map(|alias| format!("`{alias}`"))
        .collect();
    let _ = writeln!(
        text,
        "| {} | {} | {} | {} | {} |\n",
        rule.severity.name(),
        rule.scope.name(),
        rule.needs.name(),
        rule.since,
        aliases.join(", ")
    );
    let mut is_code = false;
    for line in rule.documentation().lines() {
        is_code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix("# ").filter(|_| !is_code) {
            let _ = writeln!(text, "## {heading}");
        } else {
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn index() -> String {
    let mut text = "# Rules\n\nMade from the rules by `cargo xtask rules`. `ostree-container lint --explain RULE` \
        prints a page.\n\n| rule | severity | concerns | what it finds |\n|---|---|---|---|\n"
        .to_owned();
    for rule in RULES {
        let (name, severity, scope) = (rule.name, rule.severity.name(), rule.scope.name());
        let layers = if rule.needs == Need::Layers {
            " (in images as layers)"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "| [{name}]({name}.md) | {severity} | {scope} | {}{layers} |",
            rule.summary
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_pages_are_those_of_the_rules() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules");
        let mut there = BTreeMap::new();
        for entry in fs::read_dir(&folder).expect("docs/rules") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            there.insert(name, fs::read_to_string(path).expect("a page"));
        }
        for (name, text) in pages() {
            let page = there.remove(&name);
            assert!(
                page.as_ref() == Some(&text),
                "{name} is not up to date: cargo xtask rules"
            );
        }
        assert_eq!(
            there,
            BTreeMap::new(),
            "pages of no rule: cargo xtask rules"
        );
    }
}
