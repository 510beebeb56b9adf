//! Who besides root may write: the accounts of an image, to tell state from software.

use std::collections::BTreeMap;

use osderive_lints::{
    EntryKind,
    model::{group::groups, passwd::users},
};
use rustix::fd::AsFd as _;

use crate::{
    handle::{Look, read_in_root},
    rootfs::Rootfs,
};

pub(super) const MAX_FILE_BYTES: u64 = 10 << 20;

/// Accounts other than root, by id.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
}

impl Accounts {
    pub(super) fn read(rootfs: &Rootfs) -> Self {
        let read = |path: &str| {
            let mut content = Vec::new();
            // Where nss-altfiles has the base's accounts.
            for path in [path.replace("etc/", "usr/lib/"), path.to_owned()] {
                let file = read_in_root(rootfs.as_fd(), path.as_ref(), MAX_FILE_BYTES);
                content.extend(file.unwrap_or_default());
                content.push(b'\n');
            }
            content
        };
        let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let (passwd, group) = (read("etc/passwd"), read("etc/group"));
        let users = users(&passwd).map(|user| (user.uid, name(user.name)));
        let groups = groups(&group).map(|group| (group.gid, name(group.name)));
        Self {
            users: users.filter(|(id, _)| *id != 0).collect(),
            groups: groups.filter(|(id, _)| *id != 0).collect(),
        }
    }

    /// Who besides root may write; none when only ids say so that belong to nobody, as they come
    /// out of an archive.
    pub(super) fn writer(&self, look: &Look) -> Option<String> {
        let can = |bit: u32| look.kind != EntryKind::Symlink && look.mode & bit != 0;
        let user = self.users.get(&look.uid).filter(|_| can(0o200));
        let group = self.groups.get(&look.gid).filter(|_| can(0o020));
        user.or(group)
            .cloned()
            .or_else(|| can(0o002).then(|| "everybody".to_owned()))
    }
}
