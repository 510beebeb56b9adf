//! Accounts of services in /usr/lib/passwd and /usr/lib/group, where nss-altfiles reads them. /etc/passwd stays as the base
//! has it, so that an upgrade has nothing to merge there. sysusers.d declares them still, finds them and does nothing.
//!
//! This waits for the end of the build: usermod and its kin know the accounts of /etc alone.

use std::{collections::BTreeSet, ffi::OsStr};

use osderive_lints::{
    escape_path,
    model::{
        group::{Group, groups},
        passwd::{User, users},
        shadow::{self, Access},
    },
    rules::account_altfiles_unread,
};
use rustix::{fd::AsFd as _, io::Errno};

use super::{
    declare::{Declarations, Key},
    observe::{Declared, MAX_FILE_BYTES, Snapshot, failed},
};
use crate::{
    domain::{self, Domain, Work},
    error::Result,
    handle::{open_below, read_in_root, read_regular},
    outcome::FilePlan,
    rootfs::Rootfs,
};

/// The domain: moves the accounts of services that are not the base's.
pub(crate) struct Altfiles<'a> {
    /// Those of the base.
    pub(crate) before: Option<&'a Snapshot>,
}

impl Domain for Altfiles<'_> {
    fn waits_for_the_end(&self) -> bool {
        true
    }

    fn plan<'a>(&self, work: &Work<'a>) -> Result<Box<dyn domain::Plan + 'a>> {
        let plan = if work.settings.altfiles {
            plan(work.rootfs, self.before)?
        } else {
            FilePlan::default()
        };
        Ok(Box::new(plan))
    }
}

fn plan(rootfs: &Rootfs, before: Option<&Snapshot>) -> Result<FilePlan> {
    let mut plan = FilePlan::default();
    let after = Snapshot::take(rootfs)?;
    let Some(etc) = after.etc else {
        return Ok(plan);
    };
    let switch = format!("{etc}/nsswitch.conf");
    let switch = read_in_root(rootfs.as_fd(), OsStr::new(&switch), MAX_FILE_BYTES);
    let switch = switch.unwrap_or_default();
    if !["passwd", "group"]
        .iter()
        .all(|of| reads_altfiles(&switch, of))
    {
        plan.outcome
            .findings
            .push(account_altfiles_unread::finding());
        return Ok(plan);
    }
    let declared = Declared::read(rootfs, &after)?;
    let moved = Moved::of(before, &after, &declared);
    let names: BTreeSet<&[u8]> = moved.users.union(&moved.groups).copied().collect();
    if names.is_empty() {
        return Ok(plan);
    }
    let names: Vec<String> = names.into_iter().map(escape_path).collect();
    let reason = format!("nss-altfiles has them: {}", names.join(", "));
    for (name, moved) in [("passwd", &moved.users), ("group", &moved.groups)] {
        let (stays, goes) = parted(after.file(name), moved);
        // A killed commit may have written them there already.
        let (there, _) = parted(&below_usr(rootfs, name)?, moved);
        plan.write(format!("usr/lib/{name}"), joined(&there, &goes), &reason);
        plan.write(format!("{etc}/{name}"), stays, &reason);
    }
    for (name, moved) in [("shadow", &moved.users), ("gshadow", &moved.groups)] {
        let (stays, goes) = parted(after.file(name), moved);
        if !goes.is_empty() {
            plan.write(format!("{etc}/{name}"), stays, &reason);
        }
    }
    Ok(plan)
}

/// Whether a database of nsswitch.conf(5) has altfiles among its services.
fn reads_altfiles(switch: &[u8], database: &str) -> bool {
    let mut lines = switch.split(|&byte| byte == b'\n');
    lines.any(|line| {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let services = line.trim_ascii_start().strip_prefix(database.as_bytes());
        let services = services.and_then(|rest| rest.trim_ascii_start().strip_prefix(b":"));
        let mut words = services
            .into_iter()
            .flat_map(|services| services.split(u8::is_ascii_whitespace));
        words.any(|word| word == b"altfiles")
    })
}

/// What a file of nss-altfiles has; empty where there is none.
///
/// # Errors
/// When there is something else in its place: to write it would lose that.
fn below_usr(rootfs: &Rootfs, name: &str) -> Result<Vec<u8>> {
    let path = format!("usr/lib/{name}");
    let read = open_below(rootfs.as_fd(), "usr/lib")
        .and_then(|folder| read_regular(folder.as_fd(), OsStr::new(name), MAX_FILE_BYTES));
    match read {
        Ok(Some(content)) => Ok(content),
        Err(Errno::NOENT) => Ok(Vec::new()),
        Ok(None) => Err(failed(&path, Errno::LOOP)),
        Err(source) => Err(failed(&path, source)),
    }
}

/// The names of the accounts that move.
struct Moved<'a> {
    users: BTreeSet<&'a [u8]>,
    groups: BTreeSet<&'a [u8]>,
}

impl<'a> Moved<'a> {
    /// Those of services that nobody can log in to, and that the base does not have; without a base, those that lines of
    /// ours declare.
    fn of(before: Option<&Snapshot>, after: &'a Snapshot, declared: &'a Declared) -> Self {
        let accounts = after.accounts(declared.limits());
        let own = declared.sysusers.last().map(|folder| {
            let lines: Vec<&[u8]> = folder.own_lines().collect();
            Declarations::of([&*lines.join(&b'\n')])
        });
        let own = own.unwrap_or_default();
        let is_new = |key: Key<'_>| match (before, key) {
            (Some(before), Key::User(name)) => {
                !users(before.file("passwd")).any(|user| user.name == name)
            }
            (Some(before), Key::Group(name)) => {
                !groups(before.file("group")).any(|group| group.name == name)
            }
            _ => own.names(key),
        };
        let is_moved = |user: &&User<'_>| {
            user.uid != 0
                && user.password == b"x"
                && !accounts.is_login(user)
                && is_locked(after, user.name)
                && is_new(Key::User(user.name))
        };
        let users = accounts.users.iter().filter(is_moved);
        let users = users.map(|user| user.name).collect();
        let is_moved = |group: &&Group<'_>| {
            group.gid != 0
                && group.password == b"x"
                && !accounts.is_login_group(group)
                && has_no_password(after, group.name)
                && is_new(Key::Group(group.name))
        };
        let groups = accounts.groups.iter().filter(is_moved);
        let groups = groups.map(|group| group.name).collect();
        Self { users, groups }
    }
}

/// Whether no password of a user fits, so that its entry in shadow says nothing.
fn is_locked(after: &Snapshot, name: &[u8]) -> bool {
    let mut of_user = shadow::entries(after.file("shadow")).filter(|entry| entry.name == name);
    of_user.all(|entry| shadow::access(entry.password) == Access::Locked)
}

/// The same of a group, which nobody administers either.
fn has_no_password(after: &Snapshot, name: &[u8]) -> bool {
    let entries = shadow::group_entries(after.file("gshadow"));
    let mut of_group = entries.filter(|entry| entry.name == name);
    of_group.all(|entry| {
        shadow::access(entry.password) != Access::Password && entry.administrators.is_empty()
    })
}

/// A file without the lines of some accounts, and these lines.
fn parted(file: &[u8], names: &BTreeSet<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let (mut stays, mut goes) = (Vec::new(), Vec::new());
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let side = if names.contains(name) {
            &mut goes
        } else {
            &mut stays
        };
        side.extend(line);
    }
    (stays, goes)
}

/// Whole lines behind a file that may lack its last newline.
fn joined(file: &[u8], lines: &[u8]) -> Vec<u8> {
    let mut joined = file.to_vec();
    if !joined.is_empty() && !joined.ends_with(b"\n") {
        joined.push(b'\n');
    }
    joined.extend(lines);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn altfiles_counts_where_it_is_a_service_of_the_database() {
        for (switch, expected) in [
            ("passwd: files altfiles\n", true),
            (" passwd :altfiles\n", true),
            ("#passwd: altfiles\npasswd: files # altfiles\n", false),
            ("group: files altfiles\n", false),
            ("passwd: files altfiles2\n", false),
        ] {
            assert_eq!(
                reads_altfiles(switch.as_bytes(), "passwd"),
                expected,
                "{switch}"
            );
        }
    }
}
