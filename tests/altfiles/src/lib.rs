//! The NSS service `altfiles`: accounts of /usr/lib/passwd and /usr/lib/group, as Fedora's images have them. Debian has
//! no package of it.

use std::fs;

use libnss::group::{Group, GroupHooks};
use libnss::interop::Response;
use libnss::passwd::{Passwd, PasswdHooks};
use libnss::{libnss_group_hooks, libnss_passwd_hooks};

struct Users;
libnss_passwd_hooks!(altfiles, Users);

struct Groups;
libnss_group_hooks!(altfiles, Groups);

impl PasswdHooks for Users {
    fn get_all_entries() -> Response<Vec<Passwd>> {
        all("/usr/lib/passwd", user)
    }

    fn get_entry_by_uid(uid: libc::uid_t) -> Response<Passwd> {
        one(Self::get_all_entries(), |user| user.uid == uid)
    }

    fn get_entry_by_name(name: String) -> Response<Passwd> {
        one(Self::get_all_entries(), |user| user.name == name)
    }
}

impl GroupHooks for Groups {
    fn get_all_entries() -> Response<Vec<Group>> {
        all("/usr/lib/group", group)
    }

    fn get_entry_by_gid(gid: libc::gid_t) -> Response<Group> {
        one(Self::get_all_entries(), |group| group.gid == gid)
    }

    fn get_entry_by_name(name: String) -> Response<Group> {
        one(Self::get_all_entries(), |group| group.name == name)
    }
}

fn all<T>(path: &str, entry: impl Fn(&[&str]) -> Option<T>) -> Response<Vec<T>> {
    let Ok(text) = fs::read_to_string(path) else {
        return Response::Unavail;
    };
    let fields = |line: &str| entry(&line.split(':').collect::<Vec<_>>());
    Response::Success(text.lines().filter_map(fields).collect())
}

fn one<T>(entries: Response<Vec<T>>, is_it: impl Fn(&T) -> bool) -> Response<T> {
    let Response::Success(entries) = entries else {
        return Response::Unavail;
    };
    let found = entries.into_iter().find(is_it);
    found.map_or(Response::NotFound, Response::Success)
}

fn user(fields: &[&str]) -> Option<Passwd> {
    let &[name, passwd, uid, gid, gecos, dir, shell] = fields else {
        return None;
    };
    Some(Passwd {
        name: name.to_owned(),
        passwd: passwd.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        gecos: gecos.to_owned(),
        dir: dir.to_owned(),
        shell: shell.to_owned(),
    })
}

fn group(fields: &[&str]) -> Option<Group> {
    let &[name, passwd, gid, members] = fields else {
        return None;
    };
    let members = members.split(',').filter(|member| !member.is_empty());
    Some(Group {
        name: name.to_owned(),
        passwd: passwd.to_owned(),
        gid: gid.parse().ok()?,
        members: members.map(str::to_owned).collect(),
    })
}
