//! Groups as /etc/group has them (group(5)). Lines without a name and an id are no groups.

use super::{fields, id, names, records};

/// One group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// The group's name.
    pub name: &'a [u8],
    /// The password field: `x` when gshadow has it.
    pub password: &'a [u8],
    /// The group id.
    pub gid: u32,
    /// The names of the members, without those whose primary group it is.
    pub members: Vec<&'a [u8]>,
    /// The line that the group stands in, from 1.
    pub line: u32,
}

/// The groups of a group file, in its order.
pub fn groups(file: &[u8]) -> impl Iterator<Item = Group<'_>> {
    records(file).filter_map(|(line, record)| {
        let [name, password, gid, members] = fields(record);
        Some(Group {
            name,
            password,
            gid: id(gid)?,
            members: names(members),
            line,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    #[test]
    fn a_group_is_read_with_its_members() {
        let found: Vec<Group> = groups(b"root:x:0:\nlogs:x:40:web, twin,,\nodd:x:x:\n").collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].members, [b""; 0]);
        assert_eq!(found[1].members, [&b"web"[..], b"twin"]);
        assert_eq!((found[1].gid, found[1].line), (40, 2));
    }

    #[test]
    fn hostile_files_are_read_to_their_end() {
        for file in hostile::files() {
            let _ = groups(&file).count();
        }
    }
}
