//! Ids that a user namespace does not have. The kernel shows one and the same id for all of them, so nobody in the
//! namespace can tell, declare or give them (`user_namespaces(7)`).

use std::fs;

use crate::handle::Look;

/// What the kernel shows in the place of ids that this process's user namespace does not have; none where that is also
/// one of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unmapped {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Unmapped {
    /// Reads it from /proc; without it, nothing is known of other namespaces.
    pub(crate) fn read() -> Self {
        Self {
            uid: shown_for_others("uid"),
            gid: shown_for_others("gid"),
        }
    }

    /// Whether the owner or group of an entry is such an id.
    pub(crate) fn has(&self, look: &Look) -> bool {
        self.uid == Some(look.uid) || self.gid == Some(look.gid)
    }
}

fn shown_for_others(kind: &str) -> Option<u32> {
    let map = fs::read_to_string(format!("/proc/self/{kind}_map")).ok()?;
    if has_all(&map) {
        return None;
    }
    let overflow = fs::read_to_string(format!("/proc/sys/kernel/overflow{kind}")).ok()?;
    let overflow = overflow.trim().parse().ok()?;
    (!has(&map, overflow)).then_some(overflow)
}

/// Lines of the first id here, the first id outside and their number.
fn ranges(map: &str) -> impl Iterator<Item = (u64, u64)> {
    map.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let begin = fields.next()?.parse().ok()?;
        Some((begin, fields.nth(1)?.parse().ok()?))
    })
}

fn has_all(map: &str) -> bool {
    ranges(map).any(|(begin, count)| begin == 0 && count >= u64::from(u32::MAX))
}

fn has(map: &str, id: u32) -> bool {
    ranges(map).any(|(begin, count)| (begin..begin.saturating_add(count)).contains(&id.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_all_ids_and_of_some_are_told_apart() {
        assert!(has_all("         0          0 4294967295\n"));
        let rootless = "         0       1000          1\n         1     100000      65536\n";
        assert!(!has_all(rootless));
        assert!(has(rootless, 0) && has(rootless, 65534) && has(rootless, 65536));
        assert!(!has(rootless, 65537));
        assert!(!has("0 1000 1\n", 65534));
        assert!(!has("broken\n0 x\n", 0));
    }
}
