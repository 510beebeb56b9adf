//! The rules, one file each and named alike: a rule's documentation is the comment at the top of
//! its file, its `RULE` the constant that every finding of it carries.

use crate::{Finding, Severity};

pub mod account_duplicate_id;
pub mod account_not_declarable;
pub mod account_outside_system_range;
pub mod account_usable_password;
pub mod commit_cannot_remove;
pub mod commit_not_a_directory;
pub mod leftover_process;

/// What is fixed about a rule, whatever it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable kebab-case name.
    pub name: &'static str,
    /// How much its findings matter.
    pub severity: Severity,
    /// What it looks for, in one line.
    pub summary: &'static str,
}

/// Every rule, in the order of their names.
pub const RULES: &[Rule] = &[
    account_duplicate_id::RULE,
    account_not_declarable::RULE,
    account_outside_system_range::RULE,
    account_usable_password::RULE,
    commit_cannot_remove::RULE,
    commit_not_a_directory::RULE,
    leftover_process::RULE,
];

/// Paths or processes that one finding names; the message counts all.
pub const MAX_NAMED: usize = 20;

impl Rule {
    fn finding(&self, message: String, help: String, paths: Vec<String>) -> Finding {
        Finding {
            rule: self.name.to_owned(),
            severity: self.severity,
            message,
            help,
            paths,
        }
    }
}

/// `1 entry`, `2 entries`.
fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_registered_once_and_in_order() {
        assert!(RULES.is_sorted_by(|left, right| left.name < right.name));
    }

    #[test]
    fn names_are_kebab_case() {
        for rule in RULES {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(rule.name.chars().all(fits), "{}", rule.name);
        }
    }
}
