//! Access control lists as Linux keeps them (`linux/posix_acl_xattr.h`).

/// `user::rwx user:UID:rwx group::r-x mask::rwx other::---`, which permission bits show as 0770.
pub(crate) fn list_of(uid: u32) -> Vec<u8> {
    let entries = [
        (0x01u16, 7u16, u32::MAX),
        (0x02, 7, uid),
        (0x04, 5, u32::MAX),
        (0x10, 7, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permission, id) in entries {
        value.extend(tag.to_le_bytes());
        value.extend(permission.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}
