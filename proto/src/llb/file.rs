//! What COPY and ADD bring, read from the file ops that they became.

use bollard_buildkit_proto::pb;
use pb::file_action::Action;

use super::definition::{Definition, Edge};
use super::op::{Kind, Node};

impl Definition {
    /// The paths at which a state of a lineage was given files by COPY or ADD, as the op has them: absolute, with a
    /// slash at the end where the user wrote one.
    pub fn copied_to(&self, state: &Edge) -> Vec<String> {
        let Some(node) = self.node(state.digest) else {
            return Vec::new();
        };
        match node.kind {
            Kind::File => self.destinations(node),
            // COPY --link merges the state before it with the copied files.
            Kind::Merge => {
                let copied = node.inputs.iter().skip(1);
                let copied = copied.flat_map(|link| self.lineage_of(&self.edge(*link)).steps);
                let copied = copied.filter_map(|state| self.node(state.digest));
                let files = copied.filter(|node| node.kind == Kind::File);
                files.flat_map(|node| self.destinations(node)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a state of a lineage is the state before it merged with others, as COPY --link makes it.
    pub fn is_merged(&self, state: &Edge) -> bool {
        self.node(state.digest)
            .is_some_and(|node| node.kind == Kind::Merge)
    }

    fn destinations(&self, node: &Node) -> Vec<String> {
        let Some(pb::op::Op::File(file)) = self.op(node).op else {
            return Vec::new();
        };
        let actions = file.actions.into_iter();
        let destinations = actions.filter_map(|action| match action.action? {
            Action::Copy(copy) => Some(copy.dest),
            Action::Mkfile(file) => Some(file.path),
            Action::Symlink(link) => Some(link.newpath),
            Action::Mkdir(_) | Action::Rm(_) => None,
        });
        destinations.collect()
    }
}
