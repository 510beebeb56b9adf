//! What only a person can decide about accounts: ids that two accounts share or that belong to the
//! machine, passwords, and what sysusers.d cannot say.

use std::collections::{BTreeMap, BTreeSet};

use osderive_lints::{
    Finding, escape_path,
    model::{
        group::groups,
        passwd::{User, users},
        shadow::{self, Access},
        subid,
    },
    rules::{
        account_duplicate_id, account_not_declarable,
        account_outside_system_range::{self as outside, Account},
        account_usable_password::{with_password, without_password},
        merged,
    },
};

use super::{
    declare::{Accounts, text_name},
    observe::{Declared, Snapshot},
};

/// The findings about the accounts that a step made or changed; without a state of before, about
/// all that the base does not have by itself.
pub(super) fn find(
    before: Option<&Snapshot>,
    after: &Snapshot,
    declared: &Declared,
    accounts: &Accounts<'_>,
) -> Vec<Finding> {
    let search = Search {
        before,
        after,
        declared,
        accounts,
    };
    let etc = after.etc.unwrap_or("etc");
    let path = |name: &str| format!("/{etc}/{name}");
    let mut findings = Vec::new();
    search.find_in_users(&path("passwd"), &mut findings);
    search.find_in_groups(&path("group"), &mut findings);
    search.find_passwords(&path("passwd"), &path("shadow"), &mut findings);
    for name in ["subuid", "subgid"] {
        search.find_subids(name, &path(name), &mut findings);
    }
    merged(findings)
}

struct Search<'a> {
    before: Option<&'a Snapshot>,
    after: &'a Snapshot,
    declared: &'a Declared,
    accounts: &'a Accounts<'a>,
}

impl<'a> Search<'a> {
    fn find_in_users(&self, path: &str, findings: &mut Vec<Finding>) {
        let old: BTreeSet<User<'_>> = self.old_users();
        let mut owners = by_id(&self.accounts.users_beside);
        for user in &self.accounts.users {
            let first = *owners.entry(user.uid).or_insert(user.name);
            if old.contains(&without_line(user)) {
                continue;
            }
            let name = escape_path(user.name);
            if first != user.name {
                let first = escape_path(first);
                findings.push(account_duplicate_id::finding(
                    "uid", user.uid, &first, &name, path,
                ));
            }
            let people = self.accounts.limits.uids;
            if people.has(user.uid) {
                let kind = if self.accounts.is_login(user) {
                    Account::Login
                } else {
                    Account::Service
                };
                findings.push(outside::finding(kind, &name, user.uid, people.min));
            }
            let obstacles = self.accounts.obstacles(user);
            if user.uid != 0 && !self.accounts.is_login(user) && !obstacles.is_empty() {
                findings.push(account_not_declarable::finding(
                    &name,
                    &obstacles.join(", "),
                    path,
                ));
            }
        }
    }

    /// The users of before; for a bare commit those that the base has by itself.
    fn old_users(&self) -> BTreeSet<User<'a>> {
        let file = match self.before {
            Some(before) => before.file("passwd"),
            None => &self.declared.base_passwd,
        };
        users(file).map(|user| without_line(&user)).collect()
    }

    fn find_in_groups(&self, path: &str, findings: &mut Vec<Finding>) {
        let file = match self.before {
            Some(before) => before.file("group"),
            None => &self.declared.base_group,
        };
        let old: BTreeSet<(&[u8], u32)> =
            groups(file).map(|group| (group.name, group.gid)).collect();
        let mut owners = by_id(&self.accounts.groups_beside);
        for group in &self.accounts.groups {
            let first = *owners.entry(group.gid).or_insert(group.name);
            if old.contains(&(group.name, group.gid)) {
                continue;
            }
            let name = escape_path(group.name);
            if first != group.name {
                let first = escape_path(first);
                findings.push(account_duplicate_id::finding(
                    "gid", group.gid, &first, &name, path,
                ));
            }
            // A user's own group is told with the user.
            let is_primary = self.accounts.is_primary(group);
            let people = self.accounts.limits.gids;
            if people.has(group.gid) && !is_primary {
                findings.push(outside::finding(
                    Account::Group,
                    &name,
                    group.gid,
                    people.min,
                ));
            }
            if text_name(group.name).is_none() && !is_primary {
                findings.push(account_not_declarable::finding(&name, "its name", path));
            }
        }
    }

    fn find_passwords(&self, passwd: &str, shadow: &str, findings: &mut Vec<Finding>) {
        let old: BTreeSet<(&[u8], &[u8])> = self
            .before
            .map(passwords)
            .into_iter()
            .flatten()
            .map(|(name, password, _)| (name, password))
            .collect();
        for (name, password, is_shadow) in passwords(self.after) {
            if old.contains(&(name, password)) {
                continue;
            }
            let (name, path) = (escape_path(name), if is_shadow { shadow } else { passwd });
            match shadow::access(password) {
                Access::Locked => {}
                Access::Password => findings.push(with_password(&name, path)),
                Access::Open => findings.push(without_password(&name, path)),
            }
        }
    }

    fn find_subids(&self, file: &str, path: &str, findings: &mut Vec<Finding>) {
        let old = self.before.map_or(&b""[..], |before| before.file(file));
        let old: BTreeSet<&[u8]> = subid::ranges(old).map(|range| range.owner).collect();
        let new: BTreeSet<&[u8]> = subid::ranges(self.after.file(file))
            .map(|range| range.owner)
            .filter(|owner| !old.contains(owner))
            .collect();
        for owner in new {
            let is_service = |user: &User<'_>| !self.accounts.is_login(user);
            if self.accounts.user(owner).is_some_and(is_service) {
                let what = "its subordinate ids";
                findings.push(account_not_declarable::finding(
                    &escape_path(owner),
                    what,
                    path,
                ));
            }
        }
    }
}

fn by_id<'a>(ids: &BTreeMap<&'a [u8], u32>) -> BTreeMap<u32, &'a [u8]> {
    ids.iter().map(|(name, id)| (*id, *name)).collect()
}

/// Each account's password field, and whether shadow has it.
fn passwords(seen: &Snapshot) -> impl Iterator<Item = (&[u8], &[u8], bool)> {
    let in_passwd = users(seen.file("passwd"))
        .filter(|user| user.password != b"x")
        .map(|user| (user.name, user.password, false));
    let in_shadow =
        shadow::entries(seen.file("shadow")).map(|entry| (entry.name, entry.password, true));
    in_passwd.chain(in_shadow)
}

fn without_line<'a>(user: &User<'a>) -> User<'a> {
    User {
        password: b"",
        line: 0,
        ..*user
    }
}
