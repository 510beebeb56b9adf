//! Users as /etc/passwd has them (passwd(5)). Lines without a name and two ids are no users.

use super::{fields, id, records};

/// One user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User<'a> {
    /// The login name.
    pub name: &'a [u8],
    /// The password field: `x` when shadow has it.
    pub password: &'a [u8],
    /// The user id.
    pub uid: u32,
    /// The primary group's id.
    pub gid: u32,
    /// The comment field.
    pub gecos: &'a [u8],
    /// The home directory.
    pub home: &'a [u8],
    /// The login shell.
    pub shell: &'a [u8],
    /// The line that the user stands in, from 1.
    pub line: u32,
}

/// The users of a passwd file, in its order.
pub fn users(file: &[u8]) -> impl Iterator<Item = User<'_>> {
    records(file).filter_map(|(line, record)| {
        let [name, password, uid, gid, gecos, home, shell] = fields(record);
        Some(User {
            name,
            password,
            uid: id(uid)?,
            gid: id(gid)?,
            gecos,
            home,
            shell,
            line,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn a_user_is_read_with_all_fields() {
        let file = b"# comment\nweb:x:33:34:Web, server:/srv/www:/sbin/nologin";
        let found: Vec<User> = users(file).collect();
        assert_eq!(
            found,
            [User {
                name: b"web",
                password: b"x",
                uid: 33,
                gid: 34,
                gecos: b"Web, server",
                home: b"/srv/www",
                shell: b"/sbin/nologin",
                line: 2,
            }]
        );
    }

    #[test]
    fn nis_lines_and_wild_numbers_are_no_users() {
        let file = b"+::::::\n-web:x:1:1:::\nodd:x:-1:1:::\nmax:x:4294967295:1:::\n\nok:x:1:1:::\n";
        let found: Vec<&[u8]> = users(file).map(|user| user.name).collect();
        assert_eq!(found, [b"ok"]);
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            let _ = users(&file).count();
        }
    }
}
