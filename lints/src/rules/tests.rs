use super::*;

#[test]
fn rules_are_registered_once_and_in_order() {
    assert!(RULES.is_sorted_by(|left, right| left.name < right.name));
}

#[test]
fn the_page_of_a_rule_is_where_the_build_was_told() {
    let url = |pages| unit_state_missing::RULE.url_below(pages);
    let page = "https://example.com/rules/unit-state-missing.md";
    for pages in ["https://example.com/rules", "https://example.com/rules/"] {
        assert_eq!(url(Some(pages)).as_deref(), Some(page));
    }
    assert_eq!([url(None), url(Some(""))], [None, None]);
}

#[test]
fn many_findings_of_a_rule_become_one() {
    let finding = |name: &str| {
        let path = format!("/etc/{name}");
        account_duplicate_id::finding("uid", 1, "a", name, &path)
    };
    let names = ["b", "c", "d", "e", "f", "g", "h"];
    let merged = merged(names.iter().map(|name| finding(name)).collect());
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].paths.len(), names.len());
    assert!(merged[0].message.starts_with("a and b have"), "{merged:?}");
    assert!(merged[0].message.ends_with("; and 2 more"), "{merged:?}");
}

#[test]
fn what_a_user_and_its_group_have_in_common_is_told_once() {
    let of = |path| account_not_declarable::finding("web.app", "its name", path);
    let merged = merged(vec![of("/etc/passwd"), of("/etc/group")]);
    assert_eq!(merged.len(), 1);
    let message = "web.app: its name cannot be declared in sysusers.d";
    assert_eq!(merged[0].message, message);
    assert_eq!(merged[0].paths, ["/etc/group", "/etc/passwd"]);
}

#[test]
fn each_rule_is_documented_in_the_same_form() {
    for rule in RULES {
        let text = rule.documentation();
        // A shell's comment in an example looks like a heading.
        let prose = text.split("```").step_by(2).flat_map(str::lines);
        let headings: Vec<_> = prose.filter(|line| line.starts_with("# ")).collect();
        let expected = ["# What it does", "# Why it breaks", "# Example", "# Fix"];
        assert_eq!(headings, expected, "{}", rule.name);
        assert!(!rule.why().is_empty(), "{}", rule.name);
    }
    assert_eq!(DOCUMENTATION.len(), RULES.len());
}

#[test]
fn no_name_means_two_rules() {
    let names: Vec<_> = RULES.iter().flat_map(Rule::names).collect();
    let different: BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
}

#[test]
fn names_are_kebab_case() {
    for name in RULES.iter().flat_map(Rule::names) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(fits), "{name}");
    }
}

#[test]
fn of_countless_findings_the_first_are_told_and_the_others_counted_with_the_worst_of_them() {
    let finding = |number: usize| {
        account_duplicate_id::finding("uid", 1, "a", &number.to_string(), "/etc/passwd")
    };
    let all = || (0..MAX_FINDINGS + 2).map(finding);
    let mut many: Vec<Finding> = all().collect();
    many[MAX_FINDINGS].severity = Severity::Error;
    let told = Findings::of(many);
    assert_eq!(told.len(), MAX_FINDINGS + 1);
    let last = told.last().expect("a finding");
    assert_eq!(
        (&*last.message, last.severity),
        ("2 more of the same kind", Severity::Error)
    );
    let few: Vec<Finding> = all().take(MAX_FINDINGS).collect();
    assert_eq!(Findings::of(few.clone()), few);
}
