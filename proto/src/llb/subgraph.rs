//! Parts of a definition as definitions of their own, to ask about a state that a build has solved.
//! They have only the ops that the state needs, with their metadata and source locations.
//!
//! An engine that loads an exec with `ignore_cache` forgets what is in the exec's cache mounts (`BuildKit`
//! solver/llbsolver/bridge.go, `loadResult`). The build has loaded it once with that mark and has run it. A question
//! that brings the mark again would lose what the exec has just left in its mounts, so these definitions do not.
//! Within a build they still mean the run of that build: the solver takes an op without the mark for the one with it
//! that it is holding (solver/jobs.go, `loadUnlocked`).

use std::collections::HashSet;

use super::assemble::{Key, Parts};
use super::definition::{Definition, Edge, number};
use super::digest::Digest;
use super::error::LlbError;
use super::splice;
use super::wire;

impl Definition {
    /// A definition that builds `edge`, which the build must have solved. Its ops are in an order that
    /// follows the graph, and its terminal op has the metadata of the one that it stands for. No op asks to be
    /// made without the cache.
    ///
    /// # Errors
    /// [`LlbError::Absent`] when the definition has no such op, another one when the metadata of one of its ops is
    /// garbage.
    pub fn subgraph(&self, edge: &Edge) -> Result<Self, LlbError> {
        self.part(edge, Key::Solved)
    }

    /// The same of an edge that the build has not solved: its ops ask for what they ask for here.
    ///
    /// # Errors
    /// As [`Definition::subgraph`].
    pub fn unsolved(&self, edge: &Edge) -> Result<Self, LlbError> {
        self.part(edge, Key::Keep)
    }

    fn part(&self, edge: &Edge, of_op: Key) -> Result<Self, LlbError> {
        let needed = self.needed(*edge)?;
        let mut terminal = Vec::new();
        splice::put_input(&mut terminal, edge);
        let mut ops = Vec::new();
        for position in &needed {
            ops.extend_from_slice(&self.bytes[self.nodes[*position].field.clone()]);
        }
        wire::put_bytes(&mut ops, number::DEF, &terminal);
        let kept: HashSet<Digest> = needed.iter().map(|at| self.nodes[*at].digest).collect();
        let old_terminal = self.nodes.last().map(|node| node.digest);
        let key = |key: &str| match key.parse().ok() {
            Some(digest) if kept.contains(&digest) => of_op,
            Some(digest) if Some(digest) == old_terminal => Key::Become(Digest::of(&terminal)),
            _ => Key::Drop,
        };
        let parts = Parts {
            ops: &ops,
            metadata: &[],
            key,
        };
        Self::parse(&parts.assemble(self)?)
    }

    /// This definition when the build has solved those of `solved`: the ops that they have, too, don't ask to
    /// be made without the cache; the others keep what they ask for.
    ///
    /// # Errors
    /// None, with a definition that was checked.
    pub fn after<'a>(&self, solved: impl IntoIterator<Item = &'a Self>) -> Result<Self, LlbError> {
        let solved: Vec<&Self> = solved.into_iter().collect();
        let is_solved = |digest| solved.iter().any(|other| other.index.contains_key(&digest));
        let key = |key: &str| match key.parse() {
            Ok(digest) if is_solved(digest) => Key::Solved,
            _ => Key::Keep,
        };
        let mut ops = Vec::new();
        for node in &self.nodes {
            ops.extend_from_slice(&self.bytes[node.field.clone()]);
        }
        let parts = Parts {
            ops: &ops,
            metadata: &[],
            key,
        };
        Self::parse(&parts.assemble(self)?)
    }

    /// The positions of all ops that `edge` needs, in an order that follows the graph.
    pub(super) fn needed(&self, edge: Edge) -> Result<Vec<usize>, LlbError> {
        let mut needed = vec![false; self.nodes.len()];
        let Edge { digest, .. } = edge;
        let start = self.index.get(&digest);
        let mut open = vec![*start.ok_or(LlbError::Absent { digest })?];
        while let Some(position) = open.pop() {
            if !std::mem::replace(&mut needed[position], true) {
                let inputs = self.nodes[position].inputs.iter();
                open.extend(inputs.map(|input| input.node));
            }
        }
        let order = self.order.iter().copied();
        Ok(order.filter(|position| needed[*position]).collect())
    }
}
