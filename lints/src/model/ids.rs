//! The ids of an image's accounts by name, to compare an image with the one before it. Machines keep
//! their files through an upgrade, and files carry numbers.

use std::collections::BTreeMap;

use super::{
    group::groups,
    ledger::{AccountKind, Entry},
    passwd::users,
};
use crate::escape_path;

/// Where an image has accounts, relative to its root: a machine's own, and those that nss-altfiles
/// reads. Of two accounts with one name the first counts.
pub const FILES: [(AccountKind, &str); 4] = [
    (AccountKind::User, "etc/passwd"),
    (AccountKind::User, "usr/lib/passwd"),
    (AccountKind::Group, "etc/group"),
    (AccountKind::Group, "usr/lib/group"),
];

/// The ids of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(BTreeMap<(AccountKind, Vec<u8>), u32>);

/// An account that has another id than before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// The account with its id now.
    pub now: Entry,
    /// The id that it had.
    pub before: u32,
}

impl Ids {
    /// Reads the ids from [`FILES`], in their order; what is missing is empty.
    pub fn of(files: [&[u8]; FILES.len()]) -> Self {
        let mut ids = BTreeMap::new();
        let mut add = |kind, name: &[u8], id| {
            ids.entry((kind, name.to_vec())).or_insert(id);
        };
        for ((kind, _), file) in FILES.into_iter().zip(files) {
            match kind {
                AccountKind::User => users(file).for_each(|user| add(kind, user.name, user.uid)),
                AccountKind::Group => {
                    groups(file).for_each(|group| add(kind, group.name, group.gid));
                }
            }
        }
        Self(ids)
    }

    /// Whether there is no account at all, which no image that boots is like.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All accounts, groups first.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        (self.0.iter()).map(|((kind, name), id)| entry(*kind, name, *id))
    }

    /// The accounts that both have, with another id each.
    pub fn changed_from(&self, previous: &Self) -> Vec<Changed> {
        let changed = self.0.iter().filter_map(|((kind, name), &id)| {
            let before = *previous.0.get(&(*kind, name.clone()))?;
            let now = entry(*kind, name, id);
            (before != id).then_some(Changed { now, before })
        });
        changed.collect()
    }
}

fn entry(kind: AccountKind, name: &[u8], id: u32) -> Entry {
    let name = escape_path(name);
    Entry { kind, name, id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hostile;

    fn ids(passwd: &str, altfiles: &str, group: &str) -> Ids {
        Ids::of([passwd, altfiles, group, ""].map(str::as_bytes))
    }

    #[test]
    fn an_account_of_both_with_another_id_has_changed() {
        let old = ids("a:x:1:1:::\nb:x:2:2:::\n", "c:x:3:3:::\n", "a:x:1:\n");
        let new = ids("a:x:1:1:::\nb:x:7:2:::\nd:x:2:2:::\n", "", "a:x:9:\n");
        let changed: Vec<String> = (new.changed_from(&old).iter())
            .map(|change| format!("{} before {}", change.now, change.before))
            .collect();
        assert_eq!(changed, ["g a 9 before 1", "u b 7 before 2"]);
        assert_eq!(new.changed_from(&new), []);
    }

    #[test]
    fn where_an_account_stands_makes_no_difference() {
        let old = ids("", "web:x:33:33:::\n", "");
        let new = ids("web:x:33:33:::\n", "web:x:99:99:::\n", "");
        assert_eq!(new.changed_from(&old), []);
        assert!(!new.is_empty() && ids("", "", "").is_empty());
    }

    #[test]
    fn any_bytes_are_compared() {
        for file in hostile::files() {
            let found = Ids::of([&file, b"", &file, b""]);
            assert_eq!(found.changed_from(&found), []);
        }
    }
}
