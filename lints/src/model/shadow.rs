//! Passwords as /etc/shadow and /etc/gshadow have them (shadow(5), gshadow(5)), and what a
//! password field means.

use super::{fields, names, records};

/// One user's entry in shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow<'a> {
    /// The login name.
    pub name: &'a [u8],
    /// The password field.
    pub password: &'a [u8],
    /// When the password was last changed, in days since 1970 as text; empty when ageing is off.
    pub last_change: &'a [u8],
    /// The line that the entry stands in, from 1.
    pub line: u32,
}

/// One group's entry in gshadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupShadow<'a> {
    /// The group's name.
    pub name: &'a [u8],
    /// The password field.
    pub password: &'a [u8],
    /// Who may change the group.
    pub administrators: Vec<&'a [u8]>,
    /// The members.
    pub members: Vec<&'a [u8]>,
    /// The line that the entry stands in, from 1.
    pub line: u32,
}

/// The entries of a shadow file, in its order.
pub fn entries(file: &[u8]) -> impl Iterator<Item = Shadow<'_>> {
    records(file).map(|(line, record)| {
        let [name, password, last_change, _] = fields(record);
        Shadow {
            name,
            password,
            last_change,
            line,
        }
    })
}

/// The entries of a gshadow file, in its order.
pub fn group_entries(file: &[u8]) -> impl Iterator<Item = GroupShadow<'_>> {
    records(file).map(|(line, record)| {
        let [name, password, administrators, members] = fields(record);
        GroupShadow {
            name,
            password,
            administrators: names(administrators),
            members: names(members),
            line,
        }
    })
}

/// What a password field lets a user do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// No password fits: the field is no hash, such as `*`, `!` or a locked hash.
    Locked,
    /// Whoever knows the password may log in.
    Password,
    /// Anybody may log in: the field is empty.
    Open,
}

/// Reads a password field (crypt(5): a hash is `$id$…`, `_…`, or 13 characters of old DES).
pub fn access(password: &[u8]) -> Access {
    match password {
        [] => Access::Open,
        [b'!' | b'*', ..] => Access::Locked,
        [b'$' | b'_', _, ..] => Access::Password,
        des if des.len() == 13 => Access::Password,
        _ => Access::Locked,
    }
}

/// Whether a password field holds no hash at all, not even a locked one, so that the day of its
/// last change says nothing.
pub fn is_without_hash(password: &[u8]) -> bool {
    !password.is_empty() && password.iter().all(|byte| b"!*".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn entries_are_read_with_their_dates() {
        let found: Vec<Shadow> =
            entries(b"root:*:20000:0:99999:7:::\nweb:!::::::\nshort\n").collect();
        assert_eq!(found[0].last_change, b"20000");
        assert_eq!(
            (found[1].name, found[1].last_change),
            (&b"web"[..], &b""[..])
        );
        assert_eq!(
            (found[2].name, found[2].password),
            (&b"short"[..], &b""[..])
        );
    }

    #[test]
    fn groups_are_read_with_administrators_and_members() {
        let found: Vec<GroupShadow> = group_entries(b"logs:!:root:web,twin\n").collect();
        assert_eq!(found[0].administrators, [b"root"]);
        assert_eq!(found[0].members, [&b"web"[..], b"twin"]);
    }

    #[test]
    fn a_password_field_is_a_hash_or_not() {
        for locked in [&b"!"[..], b"*", b"!*", b"!!", b"!$6$x$y", b"x", b"*LK*"] {
            assert_eq!(access(locked), Access::Locked, "{locked:?}");
        }
        assert_eq!(access(b"$y$j9T$x$y"), Access::Password);
        assert_eq!(access(b"abcdefghijklm"), Access::Password);
        assert_eq!(access(b""), Access::Open);
        assert!(is_without_hash(b"!*") && !is_without_hash(b"!$6$x") && !is_without_hash(b""));
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            let _ = (entries(&file).count(), group_entries(&file).count());
        }
    }
}
