//! POSIX access control lists (acl(5)): as the kernel gives them in extended attributes
//! (`uapi/linux/posix_acl_xattr.h`), and as a line of tmpfiles.d says them (`parse_acl` of systemd's
//! acl-util.c). Pure functions over bytes that accept anything.

use std::collections::BTreeMap;

use super::tmpfiles::Owner;

/// The extended attribute of the list that says who may do what.
pub const ACCESS: &str = "system.posix_acl_access";

/// The extended attribute of the list that a directory hands down to what is made in it.
pub const DEFAULT: &str = "system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION`.
const VERSION: u32 = 2;

/// Bytes of the version, and of an entry: a tag, a permission and an id, little-endian.
const HEADER: usize = 4;
const ENTRY: usize = 8;

/// `ACL_UNDEFINED_ID`. The kernel also gives it for an id that a user namespace does not have.
const NO_ID: u32 = u32::MAX;

const READ: u8 = 4;
const WRITE: u8 = 2;
const EXECUTE: u8 = 1;

/// Whom an entry is about, in the order in which the kernel has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The owner.
    Owner,
    /// A user by number.
    User(u32),
    /// The group that the entry belongs to.
    Group,
    /// Another group by number.
    OtherGroup(u32),
    /// No user or group but the owner gets more than this.
    Mask,
    /// Everybody else.
    Other,
}

/// A list that the kernel would take: it says of the owner, the group and all others what they may, and
/// has a mask if it names anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(BTreeMap<Who, u8>);

impl Acl {
    /// Reads an extended attribute; none if the kernel would not take it.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (version, entries) = value.split_first_chunk::<HEADER>()?;
        let (entries, []) = entries.as_chunks::<ENTRY>() else {
            return None;
        };
        if u32::from_le_bytes(*version) != VERSION {
            return None;
        }
        let mut list = BTreeMap::new();
        for &[tag, tag_high, permission, permission_high, ref id @ ..] in entries {
            let id = u32::from_le_bytes(*id);
            let who = match u16::from_le_bytes([tag, tag_high]) {
                0x01 => Who::Owner,
                0x02 => Who::User(id),
                0x04 => Who::Group,
                0x08 => Who::OtherGroup(id),
                0x10 => Who::Mask,
                0x20 => Who::Other,
                _ => return None,
            };
            let is_permission = permission <= 7 && permission_high == 0;
            if !is_permission || list.insert(who, permission).is_some() {
                return None;
            }
        }
        let list = Self(list);
        list.is_valid().then_some(list)
    }

    /// The list as an extended attribute.
    pub fn to_attribute(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for (&who, &permission) in &self.0 {
            let (tag, id) = match who {
                Who::Owner => (0x01u16, NO_ID),
                Who::User(id) => (0x02, id),
                Who::Group => (0x04, NO_ID),
                Who::OtherGroup(id) => (0x08, id),
                Who::Mask => (0x10, NO_ID),
                Who::Other => (0x20, NO_ID),
            };
            value.extend(tag.to_le_bytes());
            value.extend(u16::from(permission).to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    /// What permission bits alone say.
    pub fn of_mode(mode: u32) -> Self {
        let class = |shift: u32| u8::try_from(mode >> shift & 7).unwrap_or(0);
        let list = [
            (Who::Owner, class(6)),
            (Who::Group, class(3)),
            (Who::Other, class(0)),
        ];
        Self(list.into())
    }

    /// The permission bits of an entry with this list as they are without it: its group gets what the list
    /// gives it, where the bits have what everybody in the list gets at most.
    pub fn mode_without(&self, mode: u32) -> u32 {
        let mask = self.permission(Who::Mask).unwrap_or(7);
        let group = self.permission(Who::Group).unwrap_or(0) & mask;
        mode & !0o070 | u32::from(group) << 3
    }

    /// What an entry of the list allows: 4 to read, 2 to write, 1 to execute.
    pub fn permission(&self, who: Who) -> Option<u8> {
        self.0.get(&who).copied()
    }

    /// Those that the list is about, with what they may.
    pub fn entries(&self) -> impl Iterator<Item = (Who, u8)> {
        self.0.iter().map(|(who, permission)| (*who, *permission))
    }

    /// Whether it says no more than permission bits can.
    pub fn is_plain(&self) -> bool {
        !self.0.contains_key(&Who::Mask) && !self.names_anybody()
    }

    /// Whether it names an id that does not exist where the kernel was asked.
    pub fn names_nobody(&self) -> bool {
        self.0.contains_key(&Who::User(NO_ID)) || self.0.contains_key(&Who::OtherGroup(NO_ID))
    }

    /// The same list with other ids; none where two become one.
    pub fn with_ids(&self, changed: impl Fn(Who) -> Who) -> Option<Self> {
        let list: BTreeMap<Who, u8> = (self.entries())
            .map(|(who, permission)| (changed(who), permission))
            .collect();
        (list.len() == self.0.len()).then_some(Self(list))
    }

    /// The list as the argument of an `a` line, `d:` before each entry of a default list.
    pub fn to_text(
        &self,
        is_default: bool,
        user: impl Fn(u32) -> Owner,
        group: impl Fn(u32) -> Owner,
    ) -> Vec<u8> {
        let name = |owner: Owner, id: u32| match owner {
            Owner::Name(name) if is_plain_name(&name) => name,
            _ => id.to_string().into_bytes(),
        };
        let entries = self.entries().map(|(who, permission)| {
            let (tag, name) = match who {
                Who::Owner => ("user", Vec::new()),
                Who::User(id) => ("user", name(user(id), id)),
                Who::Group => ("group", Vec::new()),
                Who::OtherGroup(id) => ("group", name(group(id), id)),
                Who::Mask => ("mask", Vec::new()),
                Who::Other => ("other", Vec::new()),
            };
            let begin = if is_default { "default:" } else { "" };
            let bits = [(READ, b'r'), (WRITE, b'w'), (EXECUTE, b'x')];
            let bits = bits.map(|(bit, letter)| if permission & bit == 0 { b'-' } else { letter });
            [begin.as_bytes(), tag.as_bytes(), b":", &name, b":", &bits].concat()
        });
        entries.collect::<Vec<_>>().join(&b","[..])
    }

    fn names_anybody(&self) -> bool {
        let is_named = |who: &Who| matches!(who, Who::User(_) | Who::OtherGroup(_));
        self.0.keys().any(is_named)
    }

    fn is_valid(&self) -> bool {
        let has = |who| self.0.contains_key(&who);
        let has_classes = has(Who::Owner) && has(Who::Group) && has(Who::Other);
        has_classes && (has(Who::Mask) || !self.names_anybody())
    }

    fn is_executable(&self) -> bool {
        let mut entries = self.0.iter();
        entries.any(|(who, permission)| *who != Who::Mask && permission & EXECUTE != 0)
    }

    /// Adds what `acl_calc_mask` does: as much as any user or group but the owner has.
    fn with_mask(mut self) -> Self {
        if self.names_anybody() && !self.0.contains_key(&Who::Mask) {
            let of_group = |who: &Who| !matches!(who, Who::Owner | Who::Other);
            let class = self.0.iter().filter(|(who, _)| of_group(who));
            let mask = class.fold(0, |mask, (_, permission)| mask | permission);
            self.0.insert(Who::Mask, mask);
        }
        self
    }
}

/// Whether a name reads as itself within a list.
fn is_plain_name(name: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    !name.is_empty() && name.iter().all(is_plain) && !name.iter().all(u8::is_ascii_digit)
}

/// What a line says of one entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    is_default: bool,
    subject: Subject,
    permission: u8,
    /// `X`: execution only for directories and for what somebody may execute already.
    only_if_executable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Owner,
    User(Owner),
    Group,
    OtherGroup(Owner),
    Mask,
    Other,
}

/// Reads the argument of an `a` or `A` line; none where systemd would ignore the line.
pub fn said(argument: &[u8]) -> Option<Vec<Said>> {
    let entries = argument.split(|&byte| byte == b',');
    entries
        .filter(|entry| !entry.is_empty())
        .map(|entry| Said::read(entry.trim_ascii()))
        .collect()
}

impl Said {
    fn read(entry: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = entry.split(|&byte| byte == b':').collect();
        let (is_default, fields) = match fields[..] {
            [b"default" | b"d", ref rest @ ..] if rest.len() == 3 => (true, rest),
            ref all if all.len() == 3 => (false, all),
            _ => return None,
        };
        let name = || {
            let number = super::id(fields[1]);
            number.map_or_else(|| Owner::Name(fields[1].to_vec()), Owner::Id)
        };
        let subject = match (fields[0], fields[1].is_empty()) {
            (b"u" | b"user", true) => Subject::Owner,
            (b"u" | b"user", false) => Subject::User(name()),
            (b"g" | b"group", true) => Subject::Group,
            (b"g" | b"group", false) => Subject::OtherGroup(name()),
            (b"m" | b"mask", true) => Subject::Mask,
            (b"o" | b"other", true) => Subject::Other,
            _ => return None,
        };
        let mut said = Self {
            is_default,
            subject,
            permission: 0,
            only_if_executable: false,
        };
        for letter in fields[2] {
            match letter {
                b'r' => said.permission |= READ,
                b'w' => said.permission |= WRITE,
                b'x' => said.permission |= EXECUTE,
                // Of a default list `X` is `x` (`parse_acl`).
                b'X' => {
                    said.permission |= EXECUTE;
                    said.only_if_executable = !is_default;
                }
                b'-' => {}
                _ => return None,
            }
        }
        Some(said)
    }
}

/// The lists of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// Who may do what; none where permission bits say it all.
    pub access: Option<Acl>,
    /// What a directory hands down; none where it hands nothing down.
    pub default: Option<Acl>,
}

impl Lists {
    /// Whether there is a list.
    pub fn is_empty(&self) -> bool {
        self.access.is_none() && self.default.is_none()
    }

    /// The lists of an entry with permission bits once a line has been done (`path_set_acl` of tmpfiles.c):
    /// `is_added` after `a+`, else what the line says replaces a list of which it says something. None where
    /// it names an account that `id` does not know, as systemd then ignores the line.
    pub fn after(
        &self,
        said: &[Said],
        is_added: bool,
        (mode, is_directory): (u32, bool),
        id: impl Fn(&Owner, Account) -> Option<u32>,
    ) -> Option<Self> {
        let mut lists = self.clone();
        for of_default in [false, true] {
            let about: Vec<&Said> = (said.iter())
                .filter(|said| said.is_default == of_default)
                .collect();
            if about.is_empty() || of_default && !is_directory {
                continue;
            }
            let old = if of_default {
                &self.default
            } else {
                &self.access
            };
            let plain = Acl::of_mode(mode);
            let base = self.access.as_ref().unwrap_or(&plain);
            let begin = match (is_added, of_default) {
                (true, false) => base.0.clone(),
                (true, true) => old.as_ref().map(|old| old.0.clone()).unwrap_or_default(),
                (false, _) => BTreeMap::new(),
            };
            let mut list = Acl(begin);
            let may_execute = is_directory || base.is_executable();
            for said in about {
                let who = match &said.subject {
                    Subject::Owner => Who::Owner,
                    Subject::User(name) => Who::User(id(name, Account::User)?),
                    Subject::Group => Who::Group,
                    Subject::OtherGroup(name) => Who::OtherGroup(id(name, Account::Group)?),
                    Subject::Mask => Who::Mask,
                    Subject::Other => Who::Other,
                };
                let is_refused = said.only_if_executable && !may_execute;
                let permission = said.permission & if is_refused { !EXECUTE } else { 7 };
                list.0.insert(who, permission);
            }
            let mut list = list.with_mask();
            // stat(2) has the mask where the group's bits are without a list.
            for (who, permission) in Acl::of_mode(mode).0 {
                list.0.entry(who).or_insert(permission);
            }
            let list = Some(list).filter(|list| of_default || !list.is_plain());
            *(if of_default {
                &mut lists.default
            } else {
                &mut lists.access
            }) = list;
        }
        Some(lists)
    }
}

/// What kind of account a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// A user.
    User,
    /// A group.
    Group,
}

#[cfg(test)]
mod tests;
