//! Who a step's command runs as: a user as a Containerfile names it, resolved from the image's own
//! /etc/passwd and /etc/group by the rules of the build engines (moby/buildkit's
//! `executor/oci/user.go`, `moby/sys/user`), and the home directory by those of runc.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use rustix::fd::BorrowedFd;

use crate::{
    error::{Error, Result},
    handle::open_in_root,
};

/// What an engine reads of a user file at the most.
const MAX_FILE_BYTES: u64 = 10 << 20;

const MAX_ID: i64 = (1 << 31) - 1;

/// The image's user files; none when there is no such regular file.
#[derive(Debug, Default)]
pub struct UserFiles {
    passwd: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
}

/// The ids of a process and its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Supplementary groups, the primary one among them.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: OsString,
}

impl UserFiles {
    /// Reads the files of a root.
    pub fn read(root: BorrowedFd<'_>) -> Result<Self> {
        Ok(Self::of(
            read_user_file(root, "/etc/passwd")?,
            read_user_file(root, "/etc/group")?,
        ))
    }

    /// The contents of the files; none where there is no such file.
    pub fn of(passwd: Option<Vec<u8>>, group: Option<Vec<u8>>) -> Self {
        Self { passwd, group }
    }

    /// Resolves what a USER instruction names.
    pub fn resolve(&self, spec: &OsStr) -> Result<Identity> {
        let spec = match spec.as_bytes() {
            b"" => b"0",
            spec => spec,
        };
        let (uid, gid, mut groups) = match both_ids(spec) {
            // Two numbers are taken as they are: no look-up, and no supplementary groups.
            Some((uid, gid)) => (uid, gid, Vec::new()),
            None => self.look_up(spec)?,
        };
        if !groups.contains(&gid) {
            groups.insert(0, gid);
        }
        let home = self.home(uid);
        Ok(Identity {
            uid,
            gid,
            groups,
            home,
        })
    }

    fn look_up(&self, spec: &[u8]) -> Result<(u32, u32, Vec<u32>)> {
        let mut parts = spec.split(|&byte| byte == b':');
        let user_arg = parts.next().unwrap_or_default();
        let group_arg = parts.next().unwrap_or_default();
        let user_id = numeric(user_arg)?;
        let group_id = numeric(group_arg)?;

        let user = self.users().find(|user| match user_id {
            _ if user_arg.is_empty() => user.uid == 0,
            Some(id) => user.uid == id,
            None => user.name == user_arg,
        });
        let (uid, mut gid) = match (&user, user_id) {
            (Some(user), _) => (user.uid, user.gid),
            (None, Some(id)) => (id, 0),
            (None, None) if user_arg.is_empty() => (0, 0),
            (None, None) => return Err(Error::UnknownUser(text(user_arg))),
        };

        let mut supplementary = Vec::new();
        if !group_arg.is_empty() {
            let group = self.groups().find(|group| match group_id {
                Some(id) => group.gid == id,
                None => group.name == group_arg,
            });
            gid = match (group, group_id) {
                (Some(group), _) => group.gid,
                (None, Some(id)) => id,
                (None, None) => return Err(Error::UnknownGroup(text(group_arg))),
            };
        } else if let Some(user) = user.filter(|user| !user.name.is_empty()) {
            supplementary = self
                .groups()
                .filter(|group| group.members().any(|member| member == user.name))
                .map(|group| wrapped(group.gid))
                .collect();
        }
        Ok((wrapped(uid), wrapped(gid), supplementary))
    }

    /// The home of the first user with this id, / when there is none.
    fn home(&self, uid: u32) -> OsString {
        self.users()
            .find(|user| user.uid == i64::from(uid))
            .map_or_else(
                || OsString::from("/"),
                |user| OsString::from_vec(user.home.to_vec()),
            )
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(self.passwd.as_deref()).map(|line| {
            let mut fields = line.split(|&byte| byte == b':');
            let mut next = || fields.next().unwrap_or_default();
            let (name, _, uid, gid, _, home) = (next(), next(), next(), next(), next(), next());
            User {
                name,
                uid: lenient(uid),
                gid: lenient(gid),
                home,
            }
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(self.group.as_deref())
            .filter(|line| !line.starts_with(b"#"))
            .map(|line| {
                let mut fields = line.split(|&byte| byte == b':');
                let mut next = || fields.next().unwrap_or_default();
                let (name, _, gid, list) = (next(), next(), next(), next());
                Group {
                    name,
                    gid: lenient(gid),
                    list,
                }
            })
    }
}

struct User<'a> {
    name: &'a [u8],
    uid: i64,
    gid: i64,
    home: &'a [u8],
}

struct Group<'a> {
    name: &'a [u8],
    gid: i64,
    list: &'a [u8],
}

impl<'a> Group<'a> {
    fn members(&self) -> impl Iterator<Item = &'a [u8]> {
        self.list.split(|&byte| byte == b',')
    }
}

fn read_user_file(root: BorrowedFd<'_>, path: &'static str) -> Result<Option<Vec<u8>>> {
    let Some(file) = open_in_root(root, OsStr::new(path)) else {
        return Ok(None);
    };
    let mut content = Vec::new();
    File::from(file)
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut content)
        .and_then(|size| match size as u64 {
            0..=MAX_FILE_BYTES => Ok(()),
            _ => Err(io::Error::other("it exceeds 10 MiB")),
        })
        .map_err(|source| Error::UserFile { path, source })?;
    Ok(Some(content))
}

fn lines(file: Option<&[u8]>) -> impl Iterator<Item = &[u8]> {
    file.unwrap_or_default()
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

/// The engine's short cut for `uid:gid`, where `root` is a number too.
fn both_ids(spec: &[u8]) -> Option<(u32, u32)> {
    let id = |text: &[u8]| match text {
        b"root" => Some(0),
        digits if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    };
    let colon = spec.iter().position(|&byte| byte == b':')?;
    Some((id(&spec[..colon])?, id(&spec[colon + 1..])?))
}

/// A user or group argument as a number, none if it is a name.
fn numeric(argument: &[u8]) -> Result<Option<i64>> {
    match decimal(argument) {
        None => Ok(None),
        Some(Ok(id @ 0..=MAX_ID)) => Ok(Some(id)),
        Some(_) => Err(Error::IdRange(text(argument))),
    }
}

/// A number in a user file; as in the engine, whatever is malformed counts as 0.
fn lenient(field: &[u8]) -> i64 {
    match decimal(field) {
        Some(Ok(id)) => id,
        Some(Err(OutOfRange)) => i64::MAX,
        None => 0,
    }
}

struct OutOfRange;

/// Go's `strconv.Atoi`: a sign and digits; none on any other text.
fn decimal(text: &[u8]) -> Option<Result<i64, OutOfRange>> {
    let digits = text
        .strip_prefix(b"-")
        .or(text.strip_prefix(b"+"))
        .unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    Some(text.parse().map_err(|_| OutOfRange))
}

/// Go's conversion of an int to uint32.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn wrapped(id: i64) -> u32 {
    id as u32
}

fn text(argument: &[u8]) -> String {
    osderive_lints::escape_path(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> UserFiles {
        UserFiles {
            passwd: Some(
                b"root:x:0:0:root:/root:/bin/sh\n\
                  web:x:33:34:Web:/srv/www:/sbin/nologin\n\
                  twin:x:33:35::/twin:\n\
                  1000:x:7:7::/odd:\n\
                  short:x:44\n"
                    .to_vec(),
            ),
            group: Some(
                b"# comment\nroot:x:0:\nwww:x:34:\nlogs:x:40:web,twin\nkeys:x:41:web\nodd:x:x:\n"
                    .to_vec(),
            ),
        }
    }

    fn ids(spec: &str) -> (u32, u32, Vec<u32>) {
        let who = files().resolve(OsStr::new(spec)).expect("resolves");
        (who.uid, who.gid, who.groups)
    }

    #[test]
    fn a_name_brings_its_group_and_its_memberships() {
        assert_eq!(ids("web"), (33, 34, vec![34, 40, 41]));
        assert_eq!(ids("root"), (0, 0, vec![0]));
    }

    #[test]
    fn a_number_brings_those_of_its_first_name() {
        assert_eq!(ids("33"), (33, 34, vec![34, 40, 41]));
        assert_eq!(ids("1000"), (1000, 0, vec![0]));
    }

    #[test]
    fn an_explicit_group_ends_memberships() {
        assert_eq!(ids("web:keys"), (33, 41, vec![41]));
        assert_eq!(ids("web:99"), (33, 99, vec![99]));
        assert_eq!(ids("33:34"), (33, 34, vec![34]));
        assert_eq!(ids("root:root"), (0, 0, vec![0]));
    }

    #[test]
    fn oddities_are_read_as_an_engine_reads_them() {
        assert_eq!(ids(""), (0, 0, vec![0]));
        assert_eq!(ids("short"), (44, 0, vec![0]));
        assert_eq!(ids("web:odd"), (33, 0, vec![0]));
        assert_eq!(ids("+33"), (33, 34, vec![34, 40, 41]));
        assert_eq!(ids(":www"), (0, 34, vec![34]));
    }

    #[test]
    fn unknown_names_and_wild_numbers_are_told_as_an_engine_tells_them() {
        let error = |spec: &str| {
            files()
                .resolve(OsStr::new(spec))
                .expect_err("fails")
                .to_string()
        };
        assert_eq!(
            error("nobody"),
            "unable to find user nobody: no matching entries in passwd file"
        );
        assert_eq!(
            error("web:none"),
            "unable to find group none: no matching entries in group file"
        );
        assert_eq!(
            error("2147483648"),
            "user \"2147483648\": uids and gids must be in range 0-2147483647"
        );
        assert!(error("-1").contains("must be in range"));
    }

    #[test]
    fn without_user_files_numbers_still_work() {
        let none = UserFiles::default();
        let who = none.resolve(OsStr::new("5")).expect("resolves");
        assert_eq!((who.uid, who.gid, who.home), (5, 0, OsString::from("/")));
        assert!(none.resolve(OsStr::new("root")).is_err());
    }

    #[test]
    fn home_is_that_of_the_first_user_with_the_id() {
        let home = |spec: &str| files().resolve(OsStr::new(spec)).expect("resolves").home;
        assert_eq!(home("twin"), "/srv/www");
        assert_eq!(home("short"), "");
        assert_eq!(home("4242"), "/");
    }
}
