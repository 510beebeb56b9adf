//! The control groups that an engine gets for itself, in every hierarchy that this machine has mounted.
//! Only their paths are worked out here; the launcher makes and removes them.

use std::fs;
use std::path::{Path, PathBuf};

/// The directories, one per hierarchy, of the group called `name`; none when /proc tells nothing.
pub(super) fn directories(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    directories_in(&mounts, &own, name)
}

fn directories_in(mounts: &str, own: &str, name: &str) -> Vec<PathBuf> {
    let lines: Vec<(&str, &str)> = own
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .collect();
    mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            let mut after = after.split(' ');
            let (kind, options) = (after.next()?, after.nth(1)?);
            let base = match kind {
                // A session's own group holds processes, so its children would get no controllers;
                // the hierarchy's root may have both (cgroup v2's only exception).
                "cgroup2" if lines.len() == 1 => PathBuf::from(point),
                "cgroup2" => below(point, root, own_path(&lines, str::is_empty)?),
                "cgroup" => below(
                    point,
                    root,
                    own_path(&lines, |names| {
                        !names.is_empty()
                            && names
                                .split(',')
                                .all(|name| options.split(',').any(|option| option == name))
                    })?,
                ),
                _ => return None,
            };
            Some(base.join(name))
        })
        .collect()
}

fn own_path<'a>(lines: &[(&str, &'a str)], wanted: impl Fn(&str) -> bool) -> Option<&'a str> {
    lines
        .iter()
        .find(|(names, _)| wanted(names))
        .map(|(_, path)| *path)
}

/// Where a group is seen below a mount that may itself begin deeper in the hierarchy, as in a container.
fn below(point: &str, root: &str, path: &str) -> PathBuf {
    let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    Path::new(point).join(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_hierarchies_get_a_group_below_the_caller() {
        let mounts = "\
            32 31 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            35 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            40 31 0:36 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,name=systemd\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let own = "9:name=systemd:/\n4:memory:/job/7\n1:cpu,cpuacct:/\n0::/\n";
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct/engine",
            "/sys/fs/cgroup/memory/job/7/engine",
            "/sys/fs/cgroup/systemd/engine",
            "/sys/fs/cgroup/unified/engine",
        ];
        assert_eq!(
            directories_in(mounts, own, "engine"),
            expected.map(PathBuf::from)
        );
    }

    #[test]
    fn version_2_gets_a_group_at_the_root_whatever_the_session() {
        let mounts = "31 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let own = "0::/user.slice/user-0.slice/session-1.scope\n";
        assert_eq!(
            directories_in(mounts, own, "engine"),
            [PathBuf::from("/sys/fs/cgroup/engine")]
        );
    }

    #[test]
    fn a_mount_that_begins_deeper_is_followed() {
        let mounts = "35 31 0:31 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let own = "4:memory:/docker/x/sub\n0::/\n";
        assert_eq!(
            directories_in(mounts, own, "engine"),
            [PathBuf::from("/sys/fs/cgroup/memory/sub/engine")]
        );
    }
}
