//! Which paths are mount points, at any depth and on the same device too. The kernel's statx
//! attribute is asked for each entry, and the mount table is held beside it, for kernels before
//! 5.8 and as a second opinion.

use std::{
    collections::HashMap, fs::File, io::Read as _, os::unix::ffi::OsStrExt as _, path::Path,
};

use rustix::{fd::AsFd, fs::readlinkat};

use crate::error::{Error, Result};

/// More than a build step's mount table has.
const TABLE_BYTES: usize = 32 << 10;

/// The mount points below one root file system, as a tree of path components.
pub struct Mounts {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    children: HashMap<Vec<u8>, usize>,
    is_mount: bool,
}

/// A directory on the way to a mount point, or the mount point itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountNode(usize);

impl Mounts {
    /// Reads this process's mount table for the root file system behind `rootfs`; none when
    /// /proc does not tell.
    pub(crate) fn read(rootfs: impl AsFd) -> Option<Self> {
        // The kernel writes it anew for each read that does not take all of it.
        let mut table = Vec::with_capacity(TABLE_BYTES);
        let mut file = File::open("/proc/self/mountinfo").ok()?;
        file.read_to_end(&mut table).ok()?;
        let link = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&rootfs.as_fd())
        );
        let path = readlinkat(rustix::fs::CWD, link, Vec::new()).ok()?;
        // A root outside of this process's own is shown as "(unreachable)/…".
        path.as_bytes()
            .starts_with(b"/")
            .then(|| Self::parse(&table, path.as_bytes()))
    }

    /// Reads a mount table (proc(5), `/proc/pid/mountinfo`), keeping what lies below `rootfs`.
    pub fn parse(table: &[u8], rootfs: &[u8]) -> Self {
        let mut mounts = Self {
            nodes: vec![Node::default()],
        };
        for line in table.split(|&byte| byte == b'\n') {
            let Some(field) = line.split(|&byte| byte == b' ').nth(4) else {
                continue;
            };
            let path = unescape(field);
            let path = Path::new(std::ffi::OsStr::from_bytes(&path));
            if let Ok(below) = path.strip_prefix(std::ffi::OsStr::from_bytes(rootfs)) {
                mounts.insert(below);
            }
        }
        mounts
    }

    fn insert(&mut self, below: &Path) {
        let mut node = 0;
        for component in below.components() {
            let next = self.nodes.len();
            let name = component.as_os_str().as_bytes().to_vec();
            node = *self.nodes[node].children.entry(name).or_insert(next);
            if node == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[node].is_mount = true;
    }

    /// The root file system itself.
    pub fn root() -> MountNode {
        MountNode(0)
    }

    /// The entry `name` of a directory; none when there is no mount point at or below it.
    pub fn child(&self, directory: MountNode, name: &[u8]) -> Option<MountNode> {
        self.nodes[directory.0]
            .children
            .get(name)
            .copied()
            .map(MountNode)
    }

    /// Whether something is mounted right there.
    pub fn is_mount(&self, node: MountNode) -> bool {
        self.nodes[node.0].is_mount
    }
}

/// Undoes the table's `\040`-style escapes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(escaped) = octal(rest) {
            path.push(escaped);
            rest = &rest[4..];
        } else {
            path.push(byte);
            rest = tail;
        }
    }
    path
}

fn octal(text: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = text.get(..4)? else {
        return None;
    };
    digits.iter().try_fold(0u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

/// Whether the kernel's attribute or the mount table speaks of a mount point. When neither is
/// there to ask, nothing may be touched.
pub(crate) fn either_says_mount(attribute: Option<bool>, listed: Option<bool>) -> Result<bool> {
    match (attribute, listed) {
        (None, None) => Err(Error::MountsUnknown),
        (attribute, listed) => Ok(attribute == Some(true) || listed == Some(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 1 0:20 / / rw - overlay overlay rw
23 22 0:21 / /var/cache/apt rw master:1 - ext4 /dev/vda rw
24 22 0:21 /x /tmp/with\\040space\\134 ro - ext4 /dev/vda rw
25 22 0:21 / /srv/root/run/secrets/key ro - tmpfs tmpfs rw
";

    fn find(mounts: &Mounts, path: &[&[u8]]) -> Option<bool> {
        path.iter()
            .try_fold(Mounts::root(), |node, name| mounts.child(node, name))
            .map(|node| mounts.is_mount(node))
    }

    #[test]
    fn a_mount_is_told_from_its_parents_and_from_all_else() {
        let mounts = Mounts::parse(TABLE, b"/");
        assert_eq!(find(&mounts, &[b"var", b"cache", b"apt"]), Some(true));
        assert_eq!(find(&mounts, &[b"var", b"cache"]), Some(false));
        assert_eq!(find(&mounts, &[b"var", b"cache", b"dnf"]), None);
        assert_eq!(find(&mounts, &[]), Some(true));
    }

    #[test]
    fn escaped_names_are_read_back() {
        let mounts = Mounts::parse(TABLE, b"/");
        assert_eq!(find(&mounts, &[b"tmp", b"with space\\"]), Some(true));
    }

    #[test]
    fn another_root_sees_only_its_own_mounts() {
        let mounts = Mounts::parse(TABLE, b"/srv/root");
        assert_eq!(find(&mounts, &[b"run", b"secrets", b"key"]), Some(true));
        assert_eq!(find(&mounts, &[b"var"]), None);
        assert_eq!(find(&mounts, &[]), Some(false));
    }

    #[test]
    fn a_malformed_table_is_no_reason_to_panic() {
        for table in [&b"\\"[..], b"1 2 3 4", b"1 2 3 4 \\9 x", b"1 2 3 4 \\777"] {
            Mounts::parse(table, b"/");
        }
    }

    #[test]
    fn one_source_is_enough_to_see_a_mount_and_none_is_an_error() {
        for (attribute, listed, is_mount) in [
            (Some(true), Some(false), true),
            (Some(false), Some(true), true),
            (Some(true), None, true),
            (None, Some(true), true),
            (Some(false), None, false),
            (None, Some(false), false),
        ] {
            let said = either_says_mount(attribute, listed).expect("known");
            assert_eq!(said, is_mount, "{attribute:?} {listed:?}");
        }
        assert!(matches!(
            either_says_mount(None, None),
            Err(Error::MountsUnknown)
        ));
    }
}
