//! Access control lists and attributes of entries, for tests to make and to compare.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;

use rustix::{
    fs::{XattrFlags, lgetxattr, setxattr},
    io::Errno,
};

/// Tags of entries (`linux/posix_acl.h`).
pub(crate) const OWNER: u16 = 0x01;
pub(crate) const USER: u16 = 0x02;
pub(crate) const GROUP: u16 = 0x04;
pub(crate) const OTHER_GROUP: u16 = 0x08;
pub(crate) const MASK: u16 = 0x10;
pub(crate) const OTHER: u16 = 0x20;

/// A list as Linux keeps it: tag, permission and id of each entry (`linux/posix_acl_xattr.h`).
pub(crate) fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permission, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permission.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// `user::rwx user:UID:rwx group::r-x mask::rwx other::---`, which permission bits show as 0770.
pub(crate) fn list_of(uid: u32) -> Vec<u8> {
    list(&[
        (OWNER, 7, u32::MAX),
        (USER, 7, uid),
        (GROUP, 5, u32::MAX),
        (MASK, 7, u32::MAX),
        (OTHER, 0, u32::MAX),
    ])
}

pub(crate) fn set(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).expect("a file system with attributes");
}

pub(crate) fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1 << 16];
    match lgetxattr(path, name, &mut value) {
        Ok(length) => Some(value[..length].to_vec()),
        Err(Errno::NODATA | Errno::NOTSUP) => None,
        Err(error) => panic!("{}: {error}", path.display()),
    }
}
