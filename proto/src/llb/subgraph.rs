//! A part of a definition as a definition of its own, to solve one state of the graph.
//! It has only the ops that the state needs, with their metadata and source locations.

use std::collections::HashSet;

use super::assemble::{Key, Parts};
use super::definition::{Definition, Edge, number};
use super::digest::Digest;
use super::error::LlbError;
use super::splice;
use super::wire;

impl Definition {
    /// A definition that builds `edge`. Its ops are in an order that follows the graph, and its
    /// terminal op has the metadata of the one that it stands for.
    ///
    /// # Errors
    /// [`LlbError::Absent`] when the definition has no such op.
    pub fn subgraph(&self, edge: &Edge) -> Result<Self, LlbError> {
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
            Some(digest) if kept.contains(&digest) => Key::Keep,
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
