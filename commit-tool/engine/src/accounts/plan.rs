//! The second stage: which lines are needed that nothing declares, which of our older lines are no
//! longer true, what is put right. A pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use osderive_lints::{
    KeptEntry, escape_path,
    model::{passwd::User, shadow, sysusers},
};

use super::{
    declare::{Accounts, Declarations, Key},
    find::find,
    observe::{Declared, SYSUSERS, Snapshot},
    tidy::{self, Tidied},
};
use crate::{
    files::FileAction,
    outcome::FilePlan,
    snippets::{Folder, Kind, is_own},
};

const SYSUSERS_D: Kind = Kind {
    directory: SYSUSERS,
    header: "\
# Accounts that a step of the image's build made, with the ids that the image's files carry.
# Written by osderive from /etc/passwd and /etc/group; it sorts first, so that its ids count.
",
    outdated: "it declares accounts that have changed or gone",
};

/// Accounts that a reason names; the others are counted.
const MAX_NAMED: usize = 20;

/// Makes the plan.
pub(super) fn plan(before: Option<&Snapshot>, after: &Snapshot, declared: &Declared) -> FilePlan {
    let mut plan = FilePlan::default();
    plan.outcome.kept = odd_files(after);
    let readable = ["passwd", "group"]
        .iter()
        .all(|name| after.files.contains_key(name));
    if readable {
        let limits = declared.limits();
        let view = View {
            before,
            after,
            declared,
            accounts: after.accounts(limits),
        };
        view.plan_shadows(&mut plan);
        view.plan_declarations(&mut plan);
        plan.outcome.findings = find(before, after, declared, &view.accounts);
    }
    plan_debris(before, after, &mut plan);
    plan
}

fn odd_files(after: &Snapshot) -> Vec<KeptEntry> {
    let etc = after.etc.unwrap_or("etc");
    let kept = |name: &&str| KeptEntry {
        path: format!("/{etc}/{name}"),
        reason: "a link, a mount or no file".to_owned(),
    };
    after.odd.iter().map(kept).collect()
}

fn plan_debris(before: Option<&Snapshot>, after: &Snapshot, plan: &mut FilePlan) {
    let Some(etc) = after.etc else { return };
    let is_new = |name: &String| {
        before.is_none_or(|before| before.debris.get(name) != after.debris.get(name))
    };
    for name in after.debris.keys().filter(|name| is_new(name)) {
        let reason = if name.ends_with('-') {
            "backup of account tools"
        } else {
            "lock of account tools"
        };
        plan.actions.push(FileAction::Remove {
            path: Path::new(etc).join(name),
            reason: reason.to_owned(),
        });
    }
}

/// All that a plan is made from.
struct View<'a> {
    before: Option<&'a Snapshot>,
    after: &'a Snapshot,
    declared: &'a Declared,
    accounts: Accounts<'a>,
}

impl<'a> View<'a> {
    fn changed(&self, name: &str) -> bool {
        self.before
            .is_none_or(|before| before.files.get(name) != self.after.files.get(name))
    }

    fn plan_shadows(&self, plan: &mut FilePlan) {
        let Some(etc) = self.after.etc else { return };
        let base = self.base();
        let old: BTreeMap<&[u8], &[u8]> = (self.before.into_iter())
            .flat_map(|before| shadow::entries(before.file("shadow")))
            .map(|entry| (entry.name, entry.last_change))
            .collect();
        let new: BTreeMap<&[u8], &[u8]> = shadow::entries(self.after.file("shadow"))
            .map(|entry| (entry.name, entry.last_change))
            .collect();
        let dated = |name: &[u8]| match self.before {
            Some(_) => old.get(name) != new.get(name),
            None => !base.has_user(name),
        };
        let has = |name: &str| self.after.files.contains_key(name);
        if has("shadow") && (self.changed("passwd") || self.changed("shadow")) {
            let file = self.after.file("shadow");
            let tidied = tidy::shadow(file, &self.accounts.users, dated);
            plan_tidied(plan, etc, "shadow", tidied);
        }
        if has("gshadow") && (self.changed("group") || self.changed("gshadow")) {
            let file = self.after.file("gshadow");
            let tidied = tidy::gshadow(file, &self.accounts.groups);
            plan_tidied(plan, etc, "gshadow", tidied);
        }
    }

    fn plan_declarations(&self, plan: &mut FilePlan) {
        let lines = self.accounts.lines();
        let everywhere = self.lines_everywhere();
        let true_lines = lines.values().chain(&everywhere);
        let true_lines: BTreeSet<&str> = true_lines.map(String::as_str).collect();
        let own_lines = || self.own_lines();
        let is_true = |line: &str| true_lines.contains(line);
        let kept: BTreeSet<&str> = own_lines().filter(|line| is_true(line)).collect();
        let renewed = self.keys_of(own_lines().filter(|line| !is_true(line)));

        let wanted: BTreeMap<Key<'_>, &str> = self
            .needed(&lines, renewed)
            .into_iter()
            .map(|key| (key, lines[&key].as_str()))
            .filter(|(_, line)| !kept.contains(line))
            .collect();
        let reason = reason(&wanted, &self.accounts);
        let wanted: Vec<&[u8]> = wanted.values().map(|line| line.as_bytes()).collect();
        let is_true = |line: &[u8]| std::str::from_utf8(line).is_ok_and(is_true);
        plan.actions
            .extend(self.folder().plan(&SYSUSERS_D, &wanted, &reason, is_true));
    }

    /// The lines of all accounts, those of nss-altfiles among them: what an earlier build moved there is declared still.
    fn lines_everywhere(&self) -> BTreeSet<String> {
        let [passwd, group] = &self.after.altfiles;
        let both = |name: &str, altfiles: &[u8]| [self.after.file(name), altfiles].join(&b'\n');
        let (passwd, group) = (both("passwd", passwd), both("group", group));
        let accounts = Accounts::new(&passwd, &group, self.accounts.limits);
        accounts.lines().into_values().collect()
    }

    /// The accounts to declare and those they refer to, as far as nothing declares them.
    fn needed(
        &self,
        lines: &BTreeMap<Key<'a>, String>,
        renewed: Vec<Key<'a>>,
    ) -> BTreeSet<Key<'a>> {
        let others = self.other_declarations();
        let base = self.base();
        let of_base = |key: &Key<'_>| base.has(*key, &self.accounts);
        let mut needed: BTreeSet<Key<'_>> = (self.changed_keys(lines).into_iter().chain(renewed))
            .filter(|key| lines.contains_key(key))
            .filter(|key| !others.equals(*key, &self.accounts))
            .filter(|key| self.before.is_some() || !of_base(key))
            .collect();
        let mut open: Vec<Key<'_>> = needed.iter().copied().collect();
        while let Some(key) = open.pop() {
            for reference in self.references(key) {
                let declared = others.pins(reference, &self.accounts);
                if lines.contains_key(&reference) && !declared && needed.insert(reference) {
                    open.push(reference);
                }
            }
        }
        needed
    }

    fn references(&self, key: Key<'a>) -> Vec<Key<'a>> {
        match key {
            Key::Group(_) => Vec::new(),
            Key::Member(user, group) => vec![Key::User(user), Key::Group(group)],
            Key::User(name) => {
                let user = self.accounts.user(name);
                let group = user.and_then(|user| self.accounts.primary_group(user));
                group.map(Key::Group).into_iter().collect()
            }
        }
    }

    /// What the step made or changed; all accounts when nothing is known of before.
    fn changed_keys(&self, lines: &BTreeMap<Key<'a>, String>) -> Vec<Key<'a>> {
        let Some(before) = self.before else {
            return lines.keys().copied().collect();
        };
        let old = before.accounts(self.accounts.limits).lines();
        lines
            .iter()
            .filter(|(key, line)| old.get(key) != Some(line))
            .map(|(key, _)| *key)
            .collect()
    }

    /// The accounts that lines of ours speak of.
    fn keys_of<'l>(&self, lines: impl Iterator<Item = &'l str>) -> Vec<Key<'a>> {
        let text = lines.fold(String::new(), |text, line| text + line + "\n");
        let spoken = Declarations::of([text.as_bytes()]);
        let all = self.accounts.lines();
        all.into_keys().filter(|key| spoken.names(*key)).collect()
    }

    fn folder(&self) -> &'a Folder {
        self.declared
            .sysusers
            .last()
            .expect("read for each directory")
    }

    fn own_lines(&self) -> impl Iterator<Item = &'a str> {
        (self.folder().own_lines()).filter_map(|line| std::str::from_utf8(line).ok())
    }

    fn effective(&self) -> Vec<(&'a [u8], &'a [u8])> {
        let folders = self.declared.sysusers.iter();
        sysusers::effective(folders.map(|folder| folder.files.as_slice()))
    }

    fn other_declarations(&self) -> Declarations {
        let files = self.effective().into_iter();
        Declarations::of(
            files
                .filter(|(name, _)| !is_own(name))
                .map(|(_, file)| file),
        )
    }

    /// What the base image has by itself.
    fn base(&self) -> BaseAccounts<'a> {
        let files = self.effective().into_iter();
        let basic = files.filter(|(name, _)| *name == b"basic.conf");
        BaseAccounts {
            basic: Declarations::of(basic.map(|(_, file)| file)),
            altfiles: Accounts::new(
                &self.declared.base_passwd,
                &self.declared.base_group,
                self.accounts.limits,
            ),
        }
    }
}

/// What a base image has by itself: no commit by hand needs to declare it.
struct BaseAccounts<'a> {
    basic: Declarations,
    altfiles: Accounts<'a>,
}

impl BaseAccounts<'_> {
    fn has_user(&self, name: &[u8]) -> bool {
        self.altfiles.user(name).is_some() || self.basic.names(Key::User(name))
    }

    fn has(&self, key: Key<'_>, accounts: &Accounts<'_>) -> bool {
        let same_ids = |user: &User<'_>| {
            let own = accounts.user(user.name);
            own.is_some_and(|own| (own.uid, own.gid) == (user.uid, user.gid))
        };
        let same_group = |name: &[u8]| {
            let base = self.altfiles.group(name);
            let own = accounts.group(name);
            base.is_some_and(|base| own.is_some_and(|own| own.gid == base.gid))
        };
        self.basic.pins(key, accounts)
            || match key {
                Key::User(name) => self.altfiles.user(name).is_some_and(same_ids),
                Key::Group(name) => same_group(name),
                Key::Member(user, group) => {
                    let base = self.altfiles.group(group);
                    base.is_some_and(|base| base.members.contains(&user))
                }
            }
    }
}

fn plan_tidied(plan: &mut FilePlan, etc: &'static str, name: &str, tidied: Tidied) {
    if let Some(content) = tidied.content {
        plan.actions.push(FileAction::Write {
            path: Path::new(etc).join(name),
            content,
            reason: tidied.reasons.join("; "),
        });
    }
}

fn reason(wanted: &BTreeMap<Key<'_>, &str>, accounts: &Accounts<'_>) -> String {
    let text = |name: &[u8]| escape_path(name);
    let describe = |key: &Key<'_>| match key {
        Key::Group(name) => format!("group {}", text(name)),
        Key::User(name) => {
            let id = accounts.user(name).map_or(0, |user| user.uid);
            format!("user {} ({id})", text(name))
        }
        Key::Member(user, group) => format!("{} in {}", text(user), text(group)),
    };
    let mut named: Vec<String> = wanted.keys().take(MAX_NAMED).map(describe).collect();
    if wanted.len() > MAX_NAMED {
        named.push(format!("and {} more", wanted.len() - MAX_NAMED));
    }
    format!("the same ids on every machine: {}", named.join(", "))
}
