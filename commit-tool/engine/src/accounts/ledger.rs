//! The id ledger: which of the accounts that a step made get another id, so that it is the ledger's,
//! and what the account files read then. Pure functions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use osderive_lints::{
    Finding, escape_path,
    model::{
        group::groups,
        ledger::{AccountKind, Entry, Ledger},
        passwd::users,
    },
    rules::{
        account_id_differs::{self, Reason},
        account_not_in_ledger, merged,
    },
};

use super::{
    declare::{Limits, text_name},
    observe::Snapshot,
    owners::Moves,
};
use crate::{files::FileAction, outcome::FilePlan};

/// Ids that packages' scripts take for service accounts (Debian Policy 9.2.2, shadow's login.defs).
const DYNAMIC: std::ops::RangeInclusive<u32> = 100..=999;

/// What shall be done: the account files, and whose files on disk change with them.
#[derive(Debug, Default)]
pub(super) struct Renumbering {
    pub(super) moves: Moves,
    pub(super) files: FilePlan,
}

/// Compares the accounts that a step made with the ledger.
pub(super) fn renumber(
    ledger: &Ledger,
    before: &Snapshot,
    after: &Snapshot,
    limits: Limits,
) -> Renumbering {
    let old = before.accounts(limits);
    let new = after.accounts(limits);
    let users = Side {
        kind: AccountKind::User,
        old: old.users.iter().map(|user| user.name).collect(),
        new: new.users.iter().map(|user| (user.name, user.uid)).collect(),
        beside: &new.users_beside,
        login: (new.users.iter().filter(|user| new.is_login(user)))
            .map(|user| user.name)
            .collect(),
    };
    let groups = Side {
        kind: AccountKind::Group,
        old: old.groups.iter().map(|group| group.name).collect(),
        new: (new.groups.iter())
            .map(|group| (group.name, group.gid))
            .collect(),
        beside: &new.groups_beside,
        login: (new.groups.iter())
            .filter(|group| new.is_login_group(group))
            .map(|group| group.name)
            .collect(),
    };
    let mut spare = Spare::new(ledger, [&users, &groups]);
    let mut findings = Vec::new();
    let mut missing = Vec::new();
    let mut moves = [&users, &groups].map(|side| {
        let ids = side.assign(ledger, &mut spare);
        findings.extend(side.differing(ledger, &ids));
        missing.extend(side.missing(ledger, &ids));
        side.moves(&ids)
    });
    let [uids, gids] = moves.each_mut().map(std::mem::take);
    findings.extend(account_not_in_ledger::finding(&missing));
    let moves = Moves { uids, gids };
    let mut files = files(after, &moves);
    files.outcome.findings = merged(findings);
    Renumbering { moves, files }
}

/// The accounts of one kind before and after the step's command.
struct Side<'a> {
    kind: AccountKind,
    old: BTreeSet<&'a [u8]>,
    new: Vec<(&'a [u8], u32)>,
    /// Those of nss-altfiles, which stay as they are.
    beside: &'a Ids<'a>,
    /// Those of people, which are the machine's to make.
    login: BTreeSet<&'a [u8]>,
}

/// The ids that accounts end up with, by name.
type Ids<'a> = BTreeMap<&'a [u8], u32>;

impl<'a> Side<'a> {
    /// Gives each account that the step made its id in the ledger, and takes ids that the ledger
    /// keeps for others from those that it does not have. An account that was there before, or whose
    /// id is another's too, stays as it is, and so does who would need its id.
    fn assign(&self, ledger: &Ledger, spare: &mut Spare<'_>) -> Ids<'a> {
        let beside = self.beside.iter();
        let mut fixed: BTreeMap<u32, &[u8]> = beside.map(|(name, id)| (*id, *name)).collect();
        let mut open: BTreeMap<&[u8], (u32, u32)> = BTreeMap::new();
        for &(name, has) in &self.new {
            let wants = match self.listed(ledger, name) {
                _ if self.old.contains(name) || self.is_shared(has) => None,
                Some(id) => Some(id),
                None if ledger.owner(self.kind, has).is_some() => spare.take(name, has),
                None => Some(has),
            };
            match wants {
                Some(wants) => drop(open.insert(name, (has, wants))),
                None => drop(fixed.insert(has, name)),
            }
        }
        let blocked = |open: &BTreeMap<&'a [u8], (u32, u32)>, fixed: &BTreeMap<u32, &[u8]>| {
            let mut open = open.iter();
            open.find(|(_, (_, wants))| fixed.contains_key(wants))
                .map(|(name, (has, _))| (*name, *has))
        };
        while let Some((name, has)) = blocked(&open, &fixed) {
            open.remove(name);
            fixed.insert(has, name);
        }
        let id = |&(name, has): &(&'a [u8], u32)| {
            (name, open.get(name).map_or(has, |&(_, wants)| wants))
        };
        self.new.iter().map(id).collect()
    }

    fn listed(&self, ledger: &Ledger, name: &[u8]) -> Option<u32> {
        ledger.id(self.kind, text_name(name)?)
    }

    fn is_shared(&self, id: u32) -> bool {
        let new = self.new.iter().map(|(_, other)| other);
        let all = new.chain(self.beside.values());
        all.filter(|other| **other == id).count() > 1
    }

    fn moves(&self, ids: &Ids<'_>) -> BTreeMap<u32, u32> {
        let moved = self.new.iter().map(|&(name, has)| (has, ids[name]));
        moved.filter(|(has, gets)| has != gets).collect()
    }

    /// A finding for each account whose id is not the ledger's.
    fn differing(&self, ledger: &Ledger, ids: &Ids<'_>) -> Vec<Finding> {
        let finding = |&(name, _): &(&[u8], u32)| {
            let (id, has) = (self.listed(ledger, name)?, ids[name]);
            let mut all = ids.iter().chain(self.beside);
            let holder = all.find(|(_, other)| **other == id);
            let reason = match holder {
                _ if self.old.contains(name) => Reason::Older,
                _ if self.is_shared(has) => Reason::Shared,
                Some((holder, _)) => Reason::Taken(escape_path(holder)),
                None => return None,
            };
            let wanted = self.entry(name, id)?;
            (id != has).then(|| account_id_differs::finding(&wanted, has, &reason))
        };
        self.new.iter().filter_map(finding).collect()
    }

    /// The lines that the ledger lacks.
    fn missing(&self, ledger: &Ledger, ids: &Ids<'_>) -> Vec<Entry> {
        let is_missing = |name: &[u8]| {
            let known = self.old.contains(name) || self.login.contains(name);
            !known && self.listed(ledger, name).is_none()
        };
        let new = self.new.iter().filter(|(name, _)| is_missing(name));
        new.filter_map(|(name, _)| self.entry(name, ids[name]))
            .collect()
    }

    fn entry(&self, name: &[u8], id: u32) -> Option<Entry> {
        Some(Entry {
            kind: self.kind,
            name: text_name(name)?.to_owned(),
            id,
        })
    }
}

/// Ids that no account has and the ledger keeps for none.
struct Spare<'a> {
    ledger: &'a Ledger,
    taken: BTreeSet<u32>,
    /// What was given, so that a user and its group stay alike.
    given: BTreeMap<(Vec<u8>, u32), u32>,
}

impl<'a> Spare<'a> {
    fn new(ledger: &'a Ledger, sides: [&Side<'_>; 2]) -> Self {
        let new = sides.iter().flat_map(|side| &side.new).map(|(_, id)| *id);
        let beside = sides.iter().flat_map(|side| side.beside.values().copied());
        Self {
            ledger,
            taken: new.chain(beside).collect(),
            given: BTreeMap::new(),
        }
    }

    /// The highest spare id below the one that an account has to leave, or else the lowest above.
    fn take(&mut self, name: &[u8], has: u32) -> Option<u32> {
        if let Some(id) = self.given.get(&(name.to_owned(), has)) {
            return Some(*id);
        }
        let kinds = [AccountKind::User, AccountKind::Group];
        let kept = |id: u32| (kinds.iter()).any(|kind| self.ledger.owner(*kind, id).is_some());
        let below = DYNAMIC.rev().filter(|id| *id < has);
        let above = DYNAMIC.filter(|id| *id > has);
        let mut spare = below.chain(above);
        let id = spare.find(|id| !self.taken.contains(id) && !kept(*id))?;
        self.taken.insert(id);
        self.given.insert((name.to_owned(), has), id);
        Some(id)
    }
}

/// The account files with the new ids, every other byte kept.
fn files(after: &Snapshot, moves: &Moves) -> FilePlan {
    let mut plan = FilePlan::default();
    let Some(etc) = after.etc else { return plan };
    let (passwd, group) = (after.file("passwd"), after.file("group"));
    let lines = users(passwd).map(|user| user.line).collect();
    let new_passwd = replaced(passwd, &lines, &[(2, &moves.uids), (3, &moves.gids)]);
    let lines = groups(group).map(|group| group.line).collect();
    let new_group = replaced(group, &lines, &[(2, &moves.gids)]);
    for (name, old, new) in [("group", group, new_group), ("passwd", passwd, new_passwd)] {
        if old != new {
            plan.actions.push(FileAction::Write {
                path: Path::new(etc).join(name),
                content: new,
                reason: "the ids of the id ledger".to_owned(),
            });
        }
    }
    plan
}

/// A file whose `lines` have numbers replaced in some fields.
fn replaced(
    file: &[u8],
    lines: &BTreeSet<u32>,
    fields: &[(usize, &BTreeMap<u32, u32>)],
) -> Vec<u8> {
    let line = |(number, line): (u32, &[u8])| {
        let mut parts: Vec<Vec<u8>> = line
            .split(|&byte| byte == b':')
            .map(<[u8]>::to_vec)
            .collect();
        for (index, ids) in fields.iter().filter(|_| lines.contains(&number)) {
            let id = parts
                .get(*index)
                .and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            if let Some(new) = id.and_then(|id: u32| ids.get(&id)) {
                parts[*index] = new.to_string().into_bytes();
            }
        }
        parts.join(&b':')
    };
    let lines = (1..).zip(file.split(|&byte| byte == b'\n')).map(line);
    lines.collect::<Vec<_>>().join(&b'\n')
}
