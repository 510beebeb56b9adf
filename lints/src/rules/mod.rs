//! The rules, one file each and named alike: a rule's documentation is the comment at the top of
//! its file, its `RULE` the constant that every finding of it carries.

use std::collections::{BTreeMap, BTreeSet};

use crate::predict::{Doubt, Prediction};
use crate::tree::{Entry, MAX_PATHS, Paths};
use crate::{Finding, Image, Severity, escape_path, unescape_path};

pub mod account_altfiles_unread;
pub mod account_declaration_differs;
pub mod account_duplicate_id;
pub mod account_group_missing;
pub mod account_id_changed;
pub mod account_id_differs;
pub mod account_lock_file;
pub mod account_not_declarable;
pub mod account_not_declared;
pub mod account_not_in_ledger;
pub mod account_outside_system_range;
pub mod account_shadow_stale;
pub mod account_usable_password;
pub mod alternatives_into_var;
pub mod commit_cannot_remove;
pub mod commit_not_a_directory;
pub mod config_architecture;
pub mod config_container_only;
pub mod config_labels;
pub mod config_ostree_labels;
pub mod config_stop_signal;
pub mod dbus_user_missing;
pub mod directory_metadata;
#[cfg(test)]
pub(crate) mod fixture;
pub mod identity_host_keys;
pub mod identity_machine_id;
pub mod identity_random_seed;
pub mod identity_shared;
pub mod import_directory_metadata;
pub mod import_etc_name;
pub mod import_hard_link;
pub mod import_link_across_layers;
pub mod import_name_too_long;
pub mod import_nested_storage;
pub mod import_not_utf8;
pub mod import_os_release;
pub mod import_special_file;
pub mod import_whiteout_file;
pub mod injected_by_builder;
pub mod input_over_budget;
pub mod input_unreadable;
pub mod kernel_akmod_failed;
pub mod kernel_arguments;
pub mod kernel_boot_not_empty;
pub mod kernel_count;
pub mod kernel_depmod;
pub mod kernel_initramfs;
pub mod kernel_initramfs_unread;
pub mod kernel_module_version;
pub mod kernel_modules_unused;
pub mod kernel_no_initramfs;
pub mod layout_api_directories;
pub mod layout_composefs;
pub mod layout_directory_is_file;
pub mod layout_etc_link_usr_etc;
pub mod layout_etc_twice;
pub mod layout_link_replaced;
pub mod layout_run_tmp_not_empty;
pub mod layout_sysroot;
pub mod layout_top_level_dropped;
pub mod layout_usr_merge;
pub mod layout_var_run;
pub mod leftover_process;
pub mod name_not_utf8;
pub mod opt_left_over;
pub mod opt_not_declarable;
pub mod opt_read_only;
pub mod owner_unknown;
pub mod package_files_missing;
mod pages;
pub mod policy_rejected;
pub mod report_unread;
pub mod rule_broken;
pub mod secret_in_env;
pub mod secret_in_image;
pub mod secret_package_credentials;
pub mod selinux_moved_label;
pub mod setid_unpinned;
pub mod size_caches;
pub mod size_deleted_later;
pub mod size_duplicate_files;
pub mod sysusers_rejected;
pub mod tmpfiles_duplicate_path;
pub mod tmpfiles_link_cannot_replace;
pub mod tmpfiles_masked;
pub mod tmpfiles_only_adjusts;
pub mod tmpfiles_rejected;
pub mod tmpfiles_unknown_account;
pub mod unit_assertion_fails;
pub mod unit_condition_lost;
pub mod unit_dangling_enablement;
pub mod unit_directory_missing;
pub mod unit_environment_missing;
pub mod unit_exec_missing;
pub mod unit_preset_contradicts;
pub mod unit_requires_missing;
pub mod unit_state_missing;
pub mod unit_user_missing;
pub mod unused_suppression;
pub mod var_large_factory;
pub mod var_log;
pub mod var_not_declared;
pub mod var_not_kept;

pub use pages::pages;

/// What is fixed about a rule, whatever it finds.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its stable kebab-case name.
    pub name: &'static str,
    /// Other names that people know it by: those of bootc's lints.
    pub aliases: &'static [&'static str],
    /// How much its findings matter.
    pub severity: Severity,
    /// What it looks for, in one line.
    pub summary: &'static str,
    /// What its findings concern.
    pub scope: Scope,
    /// What it cannot do without.
    pub needs: Need,
    /// How it looks.
    pub check: Check,
    /// The version that had it first.
    pub since: &'static str,
}

/// What a rule's findings concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What one step did.
    Step,
    /// The image as a whole, and the machines that run it.
    Image,
    /// Its way into a machine's ostree repository.
    Import,
}

impl Scope {
    /// The name for lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Image => "image",
            Self::Import => "import",
        }
    }
}

/// What a rule cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing but the tree.
    Tree,
    /// The image's configuration.
    Config,
    /// The image's layers.
    Layers,
}

impl Need {
    /// What it is called when it is missing.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tree => "files",
            Self::Config => "the image's configuration",
            Self::Layers => "the image's layers",
        }
    }
}

/// How a rule looks.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Only the commit of a step can see it.
    Step,
    /// At each entry by itself.
    Entry(EntryCheck),
    /// At the image as a whole.
    Image(fn(&Image<'_>) -> Vec<Finding>),
}

/// A question that each entry answers by itself.
#[derive(Clone, Copy, Debug)]
pub struct EntryCheck {
    /// Whether there is something to find.
    pub holds: fn(&Entry<'_>) -> bool,
    /// The finding about all such entries, of which there is at least one.
    pub finding: fn(&Paths) -> Finding,
}

/// Every rule, in the order of their names.
pub const RULES: &[Rule] = &[
    account_altfiles_unread::RULE,
    account_declaration_differs::RULE,
    account_duplicate_id::RULE,
    account_group_missing::RULE,
    account_id_changed::RULE,
    account_id_differs::RULE,
    account_lock_file::RULE,
    account_not_declarable::RULE,
    account_not_declared::RULE,
    account_not_in_ledger::RULE,
    account_outside_system_range::RULE,
    account_shadow_stale::RULE,
    account_usable_password::RULE,
    alternatives_into_var::RULE,
    commit_cannot_remove::RULE,
    commit_not_a_directory::RULE,
    config_architecture::RULE,
    config_container_only::RULE,
    config_labels::RULE,
    config_ostree_labels::RULE,
    config_stop_signal::RULE,
    dbus_user_missing::RULE,
    directory_metadata::RULE,
    identity_host_keys::RULE,
    identity_machine_id::RULE,
    identity_random_seed::RULE,
    identity_shared::RULE,
    import_directory_metadata::RULE,
    import_etc_name::RULE,
    import_hard_link::RULE,
    import_link_across_layers::RULE,
    import_name_too_long::RULE,
    import_nested_storage::RULE,
    import_not_utf8::RULE,
    import_os_release::RULE,
    import_special_file::RULE,
    import_whiteout_file::RULE,
    injected_by_builder::RULE,
    input_over_budget::RULE,
    input_unreadable::RULE,
    kernel_akmod_failed::RULE,
    kernel_arguments::RULE,
    kernel_boot_not_empty::RULE,
    kernel_count::RULE,
    kernel_depmod::RULE,
    kernel_initramfs::RULE,
    kernel_initramfs_unread::RULE,
    kernel_module_version::RULE,
    kernel_modules_unused::RULE,
    kernel_no_initramfs::RULE,
    layout_api_directories::RULE,
    layout_composefs::RULE,
    layout_directory_is_file::RULE,
    layout_etc_link_usr_etc::RULE,
    layout_etc_twice::RULE,
    layout_link_replaced::RULE,
    layout_run_tmp_not_empty::RULE,
    layout_sysroot::RULE,
    layout_top_level_dropped::RULE,
    layout_usr_merge::RULE,
    layout_var_run::RULE,
    leftover_process::RULE,
    name_not_utf8::RULE,
    opt_left_over::RULE,
    opt_not_declarable::RULE,
    opt_read_only::RULE,
    owner_unknown::RULE,
    package_files_missing::RULE,
    policy_rejected::RULE,
    report_unread::RULE,
    rule_broken::RULE,
    secret_in_env::RULE,
    secret_in_image::RULE,
    secret_package_credentials::RULE,
    selinux_moved_label::RULE,
    setid_unpinned::RULE,
    size_caches::RULE,
    size_deleted_later::RULE,
    size_duplicate_files::RULE,
    sysusers_rejected::RULE,
    tmpfiles_duplicate_path::RULE,
    tmpfiles_link_cannot_replace::RULE,
    tmpfiles_masked::RULE,
    tmpfiles_only_adjusts::RULE,
    tmpfiles_rejected::RULE,
    tmpfiles_unknown_account::RULE,
    unit_assertion_fails::RULE,
    unit_condition_lost::RULE,
    unit_dangling_enablement::RULE,
    unit_directory_missing::RULE,
    unit_environment_missing::RULE,
    unit_exec_missing::RULE,
    unit_preset_contradicts::RULE,
    unit_requires_missing::RULE,
    unit_state_missing::RULE,
    unit_user_missing::RULE,
    unused_suppression::RULE,
    var_large_factory::RULE,
    var_log::RULE,
    var_not_declared::RULE,
    var_not_kept::RULE,
];

/// Findings of one rule that are told one by one. Of more than these it is told how many there are: nobody reads them,
/// and a report has a limit.
pub const MAX_FINDINGS: usize = 1000;

/// Findings of one rule, of which the first [`MAX_FINDINGS`] are kept.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    more: u64,
}

impl Findings {
    /// Takes in what `finding` makes, if it is kept.
    pub(crate) fn push(&mut self, finding: impl FnOnce() -> Finding) {
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(finding());
        } else {
            self.more += 1;
        }
    }

    /// The findings, with one that counts those that were not kept; `worst` is the severity of the worst of them.
    pub(crate) fn told(mut self, worst: Severity) -> Vec<Finding> {
        if let Some(last) = self.kept.last().filter(|_| self.more > 0) {
            let more = Finding {
                severity: worst,
                message: format!("{} more of the same kind", self.more),
                paths: Vec::new(),
                origin: None,
                ..last.clone()
            };
            self.kept.push(more);
        }
        self.kept
    }

    /// The same of what a rule has made already.
    pub(crate) fn of(findings: Vec<Finding>) -> Vec<Finding> {
        let more = findings.iter().skip(MAX_FINDINGS);
        let worst = more.map(|finding| finding.severity).max();
        let mut kept = Self::default();
        for finding in findings {
            kept.push(|| finding);
        }
        kept.told(worst.unwrap_or(Severity::Info))
    }
}

/// Where the pages of docs/rules are published.
const PAGES: Option<&str> = option_env!("OSDERIVE_RULE_PAGES");

/// Paths or processes that one finding names; the message counts all.
pub const MAX_NAMED: usize = 20;

impl Rule {
    /// All that a rule of the commit has in common.
    const STEP: Self = Self {
        name: "",
        aliases: &[],
        severity: Severity::Warning,
        summary: "",
        scope: Scope::Step,
        needs: Need::Tree,
        check: Check::Step,
        since: "0.1.0",
    };

    /// All that most rules about an image have in common, but how they look.
    const IMAGE: Self = Self {
        scope: Scope::Image,
        ..Self::STEP
    };

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The rule with a name or an alias.
    pub fn named(name: &str) -> Option<&'static Self> {
        RULES
            .iter()
            .find(|rule| rule.names().any(|known| known == name))
    }

    /// Its documentation in Markdown: what it does, why it breaks, an example, the fix.
    pub fn documentation(&self) -> &'static str {
        let of_rule = DOCUMENTATION.iter().find(|(name, _)| *name == self.name);
        of_rule.map_or("", |(_, text)| text)
    }

    /// Where its page is published; none where the build of this program was not told (`OSDERIVE_RULE_PAGES`, an address
    /// that `/NAME.md` is put behind).
    pub fn url(&self) -> Option<String> {
        self.url_below(PAGES)
    }

    fn url_below(&self, pages: Option<&str>) -> Option<String> {
        let pages = pages?.trim_end_matches('/');
        (!pages.is_empty()).then(|| format!("{pages}/{}.md", self.name))
    }

    /// What goes wrong on a machine because of a finding, as the documentation says it.
    pub fn why(&self) -> String {
        let section = self.documentation().split("# Why it breaks\n").nth(1);
        let text = section.and_then(|rest| rest.split("\n\n").next());
        text.unwrap_or_default().replace('\n', " ")
    }

    pub(crate) fn finding(&self, message: String, help: String, paths: Vec<String>) -> Finding {
        Finding {
            rule: self.name.to_owned(),
            severity: self.severity,
            message,
            help,
            paths,
            origin: None,
            confidence: None,
            related: Vec::new(),
        }
    }

    /// The findings about the predictions that `told` has a message and a help for: of the rule's severity where
    /// they are facts, warnings where anything in them is unknown.
    fn predicted(
        &self,
        image: &Image<'_>,
        told: impl Fn(&Prediction) -> Option<(String, String)>,
    ) -> Vec<Finding> {
        self.predicted_as(image, |_| self.severity, told)
    }

    /// The same of facts that are not all as bad.
    fn predicted_as(
        &self,
        image: &Image<'_>,
        of_fact: impl Fn(&Prediction) -> Severity,
        told: impl Fn(&Prediction) -> Option<(String, String)>,
    ) -> Vec<Finding> {
        let predictions = image.predictions().iter();
        predictions
            .filter_map(|prediction| {
                let (message, help) = told(prediction)?;
                let Prediction { unit, fails_on, .. } = prediction;
                let help = if prediction.doubts.contains(&Doubt::BeforeTmpfiles) {
                    "write `After=systemd-tmpfiles-setup.service` into a drop-in of the unit"
                        .to_owned()
                } else {
                    help
                };
                let fails = prediction.outcome();
                let status = prediction.reason.status();
                let status = status.map_or(String::new(), |status| format!(" ({status})"));
                let (on, unless) = (fails_on.text(), prediction.unless());
                let finding = self.finding(
                    format!("{unit} {fails} {on}{status}: {message}{unless}"),
                    help,
                    vec![prediction.place.file.clone()],
                );
                let severity = if prediction.is_fact() {
                    of_fact(prediction)
                } else {
                    self.severity.min(Severity::Warning)
                };
                Some(Finding {
                    severity,
                    confidence: Some(prediction.certainty()),
                    ..finding
                })
            })
            .collect()
    }

    /// A finding about several paths.
    fn about(&self, paths: &Paths, message: String, help: &str) -> Finding {
        let named = paths.first.iter().map(|path| absolute(path)).collect();
        self.finding(message, help.to_owned(), named)
    }
}

/// A path of the tree for people.
fn absolute(path: &[u8]) -> String {
    format!("/{}", escape_path(path))
}

/// A finding about some of its paths only. One that counts its paths counts them anew.
pub(crate) fn narrowed(finding: &Finding, paths: Vec<String>) -> Finding {
    let mut narrowed = finding.clone();
    let listed = finding.paths.len();
    if let Some(Check::Entry(check)) = Rule::named(&finding.rule).map(|rule| rule.check)
        && paths.len() < listed
        && listed < MAX_PATHS
    {
        let mut some = Paths::default();
        for path in &paths {
            some.add(unescape_path(path).strip_prefix(b"/").unwrap_or_default());
        }
        narrowed.message = (check.finding)(&some).message;
    }
    narrowed.paths = paths;
    narrowed
}

/// Each rule's name with its documentation.
static DOCUMENTATION: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/documentation.rs"));

/// Messages that a merged finding quotes; the others are counted.
const MAX_QUOTED: usize = 5;

/// One finding for each rule, in the order of the rules' names: ten thousand accounts with the same
/// defect are one thing to mend, and a report has a limit.
pub fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_rule: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
    for finding in findings {
        let of_rule = by_rule.entry(finding.rule.clone()).or_default();
        of_rule.push(finding);
    }
    by_rule.into_values().filter_map(merged_one).collect()
}

fn merged_one(findings: Vec<Finding>) -> Option<Finding> {
    // An account and its group may have the same to say.
    let mut told = BTreeSet::new();
    let messages = findings.iter().map(|finding| finding.message.as_str());
    let messages: Vec<&str> = messages.filter(|message| told.insert(*message)).collect();
    let quoted = messages.iter().take(MAX_QUOTED);
    let mut quoted: Vec<String> = quoted.map(|message| (*message).to_owned()).collect();
    if messages.len() > MAX_QUOTED {
        quoted.push(format!("and {} more", messages.len() - MAX_QUOTED));
    }
    let paths: BTreeSet<String> = (findings.iter())
        .flat_map(|finding| finding.paths.iter().cloned())
        .collect();
    let first = findings.into_iter().next()?;
    Some(Finding {
        message: quoted.join("; "),
        paths: paths.into_iter().take(MAX_NAMED).collect(),
        ..first
    })
}

/// `1 entry`, `2 entries`.
fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
