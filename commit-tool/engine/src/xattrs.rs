//! Extended attributes of open files and directories.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use rustix::{
    fd::AsFd,
    fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr},
    io::Errno,
};

/// The largest attribute, and the longest list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
const MAX_BYTES: usize = 1 << 16;

/// Names of most entries, if they have any.
const FEW_BYTES: usize = 512;

/// What the kernel fills a buffer with; none where there is nothing, or the file system has no attributes.
pub(crate) fn filled(
    fill: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Option<Vec<u8>>, Errno> {
    let mut few = [0; FEW_BYTES];
    match fill(&mut few) {
        Ok(length) => return Ok(Some(few[..length].to_vec())),
        Err(Errno::RANGE) => {}
        Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut many = vec![0; MAX_BYTES];
    let length = fill(&mut many)?;
    many.truncate(length);
    Ok(Some(many))
}

/// Whether a name is the one by which XFS shows a list once more (`xfs_xattr_put_listent`).
pub(crate) fn is_list_of_xfs(name: &[u8]) -> bool {
    name.starts_with(b"trusted.SGI_ACL_")
}

/// Gives a target the attributes of a source and no others, such as lists that its directory hands down. A change
/// of owner drops capabilities, so this comes after it.
pub(crate) fn copy_xattrs(source: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    let wanted = xattr_names(&source)?;
    for name in xattr_names(&target)? {
        let is_ours = name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_");
        if is_ours && !wanted.contains(&name) {
            fremovexattr(&target, OsStr::from_bytes(&name))?;
        }
    }
    for name in &wanted {
        let name = OsStr::from_bytes(name);
        let value = filled(|buffer| fgetxattr(&source, name, buffer))?.unwrap_or_default();
        fsetxattr(&target, name, &value, XattrFlags::empty())?;
    }
    Ok(())
}

/// The names of a file's extended attributes, but for labels of a policy, which are the machine's business, and what
/// XFS tells twice.
fn xattr_names(file: impl AsFd) -> Result<Vec<Vec<u8>>, Errno> {
    let names = filled(|buffer| flistxattr(&file, buffer))?.unwrap_or_default();
    let names = names.split(|&byte| byte == 0);
    let is_left_out = |name: &[u8]| name == b"security.selinux" || is_list_of_xfs(name);
    let names = names.filter(|name| !name.is_empty() && !is_left_out(name));
    Ok(names.map(<[u8]>::to_vec).collect())
}
