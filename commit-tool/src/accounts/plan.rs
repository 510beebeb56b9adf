//! The second stage: which lines are needed that nothing declares, which of our older lines are no
//! longer true, what is put right. A pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use osderive_lints::{
    Change, ChangedFile, Finding, KeptEntry, escape_path,
    model::{passwd::User, shadow, sysusers},
};
use sha2::{Digest as _, Sha256};

use super::{
    declare::{Accounts, Declarations, Key, Limits},
    find::find,
    observe::{BESIDE, Declared, SYSUSERS, Snapshot},
    tidy::{self, Tidied},
};

/// Our files sort before those of packages: of two lines for an account systemd takes the first.
const PREFIX: &str = "00-osderive-";
const SUFFIX: &str = ".conf";
const HASH_DIGITS: usize = 12;

const HEADER: &str = "\
# Accounts that a step of the image's build made, with the ids that the image's files carry.
# Written by osderive from /etc/passwd and /etc/group; it sorts first, so that its ids count.
";

/// Accounts that a reason names; the others are counted.
const MAX_NAMED: usize = 20;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Write a file, new or anew.
    Write {
        directory: &'static str,
        name: String,
        content: Vec<u8>,
        reason: String,
    },
    /// Take a file away.
    Remove {
        directory: &'static str,
        name: String,
        reason: String,
    },
}

impl Action {
    /// The absolute path as text.
    pub(super) fn path(&self) -> String {
        let (Self::Write {
            directory, name, ..
        }
        | Self::Remove {
            directory, name, ..
        }) = self;
        format!("/{directory}/{name}")
    }

    /// The action for people.
    pub(super) fn as_changed_file(&self) -> ChangedFile {
        let (change, reason) = match self {
            Self::Write { reason, .. } => (Change::Wrote, reason),
            Self::Remove { reason, .. } => (Change::Removed, reason),
        };
        ChangedFile {
            change,
            path: self.path(),
            reason: reason.clone(),
        }
    }
}

/// What shall be done, and what cannot be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order in which they are applied.
    pub(super) actions: Vec<Action>,
    pub(super) keep: Vec<KeptEntry>,
    pub(super) findings: Vec<Finding>,
}

impl Plan {
    /// The actions for people.
    pub(crate) fn changed_files(&self) -> impl Iterator<Item = ChangedFile> {
        self.actions.iter().map(Action::as_changed_file)
    }

    /// The paths that are left alone.
    pub(crate) fn kept(&self) -> &[KeptEntry] {
        &self.keep
    }
}

/// Makes the plan.
pub(super) fn plan(before: Option<&Snapshot>, after: &Snapshot, declared: &Declared) -> Plan {
    let mut plan = Plan {
        keep: odd_files(after),
        ..Plan::default()
    };
    let readable = ["passwd", "group"]
        .iter()
        .all(|name| after.files.contains_key(name));
    if readable {
        let limits = Limits::parse(&declared.login_defs);
        let view = View {
            before,
            after,
            declared,
            accounts: Accounts::new(after.file("passwd"), after.file("group"), limits),
        };
        view.plan_shadows(&mut plan);
        view.plan_declarations(&mut plan);
        plan.findings = find(before, after, declared, &view.accounts);
    }
    plan_debris(before, after, declared, &mut plan);
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

fn plan_debris(before: Option<&Snapshot>, after: &Snapshot, declared: &Declared, plan: &mut Plan) {
    let Some(etc) = after.etc else { return };
    let unfinished = "an unfinished file of an interrupted commit";
    let is_new = |name: &String| {
        before.is_none_or(|before| before.debris.get(name) != after.debris.get(name))
    };
    for name in after.debris.keys().filter(|name| is_new(name)) {
        let reason = match name.as_str() {
            BESIDE => unfinished,
            name if name.ends_with('-') => "backup of account tools",
            _ => "lock of account tools",
        };
        plan.remove(etc, name, reason);
    }
    if declared.unfinished {
        plan.remove(SYSUSERS, BESIDE, unfinished);
    }
}

impl Plan {
    fn remove(&mut self, directory: &'static str, name: &str, reason: &str) {
        self.actions.push(Action::Remove {
            directory,
            name: name.to_owned(),
            reason: reason.to_owned(),
        });
    }

    fn writes(&self, name: &str) -> bool {
        let is_it =
            |action: &Action| matches!(action, Action::Write { name: of, .. } if of == name);
        self.actions.iter().any(is_it)
    }

    fn write(&mut self, directory: &'static str, name: &str, content: Vec<u8>, reason: String) {
        self.actions.push(Action::Write {
            directory,
            name: name.to_owned(),
            content,
            reason,
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

/// One of our files, cut into its lines.
struct OwnFile<'a> {
    name: &'a str,
    lines: Vec<&'a str>,
}

impl<'a> View<'a> {
    fn changed(&self, name: &str) -> bool {
        self.before
            .is_none_or(|before| before.files.get(name) != self.after.files.get(name))
    }

    fn plan_shadows(&self, plan: &mut Plan) {
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

    fn plan_declarations(&self, plan: &mut Plan) {
        let lines = self.accounts.lines();
        let true_lines: BTreeSet<&str> = lines.values().map(String::as_str).collect();
        let own = self.own_files();
        let own_lines = || own.iter().flat_map(|file| file.lines.iter().copied());
        let kept: BTreeSet<&str> = own_lines()
            .filter(|line| true_lines.contains(line))
            .collect();
        let renewed = self.keys_of(own_lines().filter(|line| !true_lines.contains(line)));

        let wanted: BTreeMap<Key<'_>, &str> = self
            .needed(&lines, renewed)
            .into_iter()
            .map(|key| (key, lines[&key].as_str()))
            .filter(|(_, line)| !kept.contains(line))
            .collect();
        if !wanted.is_empty() {
            self.plan_file(
                plan,
                wanted.values().copied(),
                reason(&wanted, &self.accounts),
            );
        }
        for file in &own {
            let fresh: Vec<&str> = (file.lines.iter().copied())
                .filter(|line| true_lines.contains(line))
                .collect();
            if fresh.len() == file.lines.len() {
                continue;
            }
            if !fresh.is_empty() {
                let reason = "what is still true of an older file of ours".to_owned();
                self.plan_file(plan, fresh.into_iter(), reason);
            }
            // A file of ours that somebody added lines to becomes again what its name says.
            if !plan.writes(file.name) {
                let reason = "it declares accounts that have changed or gone";
                plan.remove(SYSUSERS, file.name, reason);
            }
        }
    }

    fn plan_file<'l>(&self, plan: &mut Plan, lines: impl Iterator<Item = &'l str>, reason: String) {
        let content = lines.fold(HEADER.to_owned(), |text, line| text + line + "\n");
        let name = own_name(&content);
        let content = content.into_bytes();
        let exists =
            |(old, bytes): &(Vec<u8>, Vec<u8>)| *old == name.as_bytes() && *bytes == content;
        if !self.image_files().iter().any(exists) {
            plan.write(SYSUSERS, &name, content, reason);
        }
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
        let limits = self.accounts.limits;
        let old = Accounts::new(before.file("passwd"), before.file("group"), limits).lines();
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

    fn image_files(&self) -> &'a [(Vec<u8>, Vec<u8>)] {
        self.declared.sysusers.last().map_or(&[], Vec::as_slice)
    }

    fn own_files(&self) -> Vec<OwnFile<'a>> {
        let own = |(name, content): &'a (Vec<u8>, Vec<u8>)| {
            let name = std::str::from_utf8(name).ok().filter(|name| is_own(name))?;
            let text = std::str::from_utf8(content).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            Some(OwnFile {
                name,
                lines: lines.collect(),
            })
        };
        self.image_files().iter().filter_map(own).collect()
    }

    fn effective(&self) -> Vec<(&'a [u8], &'a [u8])> {
        sysusers::effective(self.declared.sysusers.iter().map(Vec::as_slice))
    }

    fn other_declarations(&self) -> Declarations {
        let is_other = |name: &[u8]| !std::str::from_utf8(name).is_ok_and(is_own);
        let files = self.effective().into_iter();
        Declarations::of(
            files
                .filter(|(name, _)| is_other(name))
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

fn plan_tidied(plan: &mut Plan, etc: &'static str, name: &str, tidied: Tidied) {
    if let Some(content) = tidied.content {
        plan.write(etc, name, content, tidied.reasons.join("; "));
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

fn own_name(content: &str) -> String {
    let mut name = PREFIX.to_owned();
    for byte in Sha256::digest(content).iter().take(HASH_DIGITS / 2) {
        let _ = write!(name, "{byte:02x}");
    }
    name + SUFFIX
}

fn is_own(name: &str) -> bool {
    let hash = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    hash.is_some_and(|hash| {
        hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
