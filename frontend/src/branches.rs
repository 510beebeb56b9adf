//! Stages beside the image that begin with a stage of it: a common stage that a builder stage and the
//! image go on from. Commits have taken away what boot makes in /var, so their first RUN is given it
//! again; those after it find it there. Nothing in them is committed.

use std::collections::{BTreeSet, HashMap};

use osderive_proto::llb::{Definition, Digest, Run};

use crate::package_lists;

/// Such stages of a build.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    /// The RUNs that go on from a committed one.
    pub(crate) first: Vec<Run>,
    /// The committed ones after which such a stage needs package lists that it does not fetch.
    pub(crate) leave_lists: BTreeSet<Digest>,
}

/// Where a RUN stands in a branch.
#[derive(Clone, Copy)]
struct Standing {
    /// The committed RUN that its branch goes on from.
    upon: Digest,
    /// Whether package lists are fetched in the branch by then.
    has_fetched: bool,
}

impl Branches {
    /// The stages of a definition that go on from one of the RUNs that are `committed`.
    pub(crate) fn of(definition: &Definition, committed: &[Digest]) -> Self {
        let committed: BTreeSet<Digest> = committed.iter().copied().collect();
        let mut branches = Self::default();
        let mut standings: HashMap<Digest, Standing> = HashMap::new();
        for (digest, before) in definition.runs_and_those_before() {
            let Some(before) = before.filter(|_| !committed.contains(&digest)) else {
                continue;
            };
            let is_first = committed.contains(&before);
            let standing = if is_first {
                Some(Standing {
                    upon: before,
                    has_fetched: false,
                })
            } else {
                standings.get(&before).copied()
            };
            let (Some(mut standing), Some(run)) = (standing, definition.run(&digest)) else {
                continue;
            };
            let uses = package_lists::Uses::of(&run);
            if uses.needs && !standing.has_fetched {
                branches.leave_lists.insert(standing.upon);
            }
            standing.has_fetched |= uses.fetches;
            standings.insert(digest, standing);
            if is_first {
                branches.first.push(run);
            }
        }
        branches
    }
}
