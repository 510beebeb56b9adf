//! Applies splices to a definition: every op that depends on a changed one gets a new digest, and
//! all that refers to it follows. Ops that depend on none keep their bytes, hence their cache.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::assemble::{Key, Parts};
use super::definition::{Definition, Edge, number};
use super::digest::Digest;
use super::error::{DefinitionPart, LlbError};
use super::op::Node;
use super::splice::{self, Renamed, Splice};
use super::wire;

/// A definition after its splices.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The new definition.
    pub definition: Definition,
    /// The new digest of every op of the old one whose digest changed, the terminal op included.
    pub digests: BTreeMap<Digest, Digest>,
}

impl Definition {
    /// Applies `splices`, each to the op of its digest; those for ops of other definitions are left
    /// out. An op that several stages share is changed once for all of them. A definition to which
    /// no splice applies stays as it is, byte for byte.
    ///
    /// [`NewMount::ReadOnly`](super::NewMount::ReadOnly) mounts what `tool` builds. The ops that it
    /// needs are put before all others, with their metadata but without their source locations.
    /// Whether an op is wrapped already is for the caller to see, by
    /// [`Run::args`](super::Run::args).
    ///
    /// # Errors
    /// When a splice applies to an op that is no exec, or mounts a tool and there is none; and the
    /// errors of [`Definition::parse`] should the result be no valid definition, such as one that
    /// became too long.
    pub fn rewrite(
        &self,
        splices: &BTreeMap<Digest, Splice>,
        tool: Option<&Definition>,
    ) -> Result<Rewritten, LlbError> {
        let tool = tool.and_then(|tool| Some((tool, tool.output()?)));
        let changes = Changes::of(self, splices, tool.map(|(_, edge)| edge), |_, _| None)?;
        let tool = tool.filter(|_| changes.use_tool);
        changes.finish(tool)
    }
}

/// What becomes of each op, by its position.
pub(super) struct Changes<'a> {
    old: &'a Definition,
    digests: Vec<Digest>,
    /// The new bytes of the ops that change.
    ops: HashMap<usize, Vec<u8>>,
    tool: Option<Edge>,
    /// Whether a mount of the tool was added.
    use_tool: bool,
}

impl<'a> Changes<'a> {
    /// What splices make of ops, and of an op with an input, both of before, another edge in its place.
    pub(super) fn of(
        old: &'a Definition,
        splices: &BTreeMap<Digest, Splice>,
        tool: Option<Edge>,
        replaced: impl Fn(&Digest, Edge) -> Option<Edge>,
    ) -> Result<Self, LlbError> {
        let mut changes = Self {
            old,
            digests: old.digests().collect(),
            ops: HashMap::new(),
            tool,
            use_tool: false,
        };
        for position in old.order.iter().copied() {
            let splice = splices.get(&old.nodes[position].digest);
            if let Some(op) = changes.apply(position, splice, &replaced)? {
                changes.digests[position] = Digest::of(&op);
                changes.ops.insert(position, op);
                changes.use_tool |= splice.is_some_and(Splice::needs_tool);
            }
        }
        Ok(changes)
    }

    /// The definition after the changes, with the ops that the `edge` of another one needs.
    pub(super) fn finish(&self, other: Option<(&Definition, Edge)>) -> Result<Rewritten, LlbError> {
        if self.ops.is_empty() {
            return Ok(Rewritten {
                definition: self.old.clone(),
                digests: BTreeMap::new(),
            });
        }
        let merged = match other {
            Some((other, edge)) => Merged::of(other, edge)?,
            None => Merged::default(),
        };
        Ok(Rewritten {
            definition: Definition::parse(&self.assemble(&merged)?)?,
            digests: self.digests(),
        })
    }

    /// The new bytes of an op whose inputs are done, if it changes.
    fn apply(
        &self,
        position: usize,
        splice: Option<&Splice>,
        replaced: impl Fn(&Digest, Edge) -> Option<Edge>,
    ) -> Result<Option<Vec<u8>>, LlbError> {
        let node = &self.old.nodes[position];
        let bytes = self.old.op_bytes(node);
        let renamed = |input: usize| {
            let link = *node.inputs.get(input)?;
            if let Some(Edge { digest, index }) = replaced(&node.digest, self.old.edge(link)) {
                let index = Some(index);
                return Some(Renamed { digest, index });
            }
            let is_changed = self.ops.contains_key(&link.node);
            is_changed.then(|| Renamed {
                digest: self.digests[link.node],
                index: None,
            })
        };
        let relinked = (0..node.inputs.len()).any(|input| renamed(input).is_some());
        let mut op = Cow::Borrowed(bytes);
        if relinked {
            let relinked = splice::relink(bytes, renamed);
            op = Cow::Owned(relinked.map_err(LlbError::wire(DefinitionPart::Op(node.digest)))?);
        }
        if let Some(splice) = splice {
            op = Cow::Owned(splice::wrap(node.digest, &op, splice, self.tool)?);
        }
        Ok((op != bytes).then(|| op.into_owned()))
    }

    fn digests(&self) -> BTreeMap<Digest, Digest> {
        let changed = self.ops.keys();
        changed
            .map(|at| (self.old.nodes[*at].digest, self.digests[*at]))
            .collect()
    }

    fn assemble(&self, tool: &Merged<'_>) -> Result<Vec<u8>, LlbError> {
        let owners = self.owners();
        let mut metadata_of = HashSet::new();
        for (position, node) in self.old.nodes.iter().enumerate() {
            if self.old.metadata.contains_key(&node.digest) {
                metadata_of.insert(self.digests[position]);
            }
        }
        let key = |key: &str| {
            let old = key.parse().ok();
            let Some(position) = old.and_then(|old| self.old.index.get(&old)) else {
                return Key::Keep;
            };
            let new = self.digests[*position];
            match (self.ops.contains_key(position), owners[&new] == *position) {
                (false, _) => Key::Keep,
                (true, true) => Key::Become(new),
                (true, false) => Key::Drop,
            }
        };
        let parts = Parts {
            ops: &self.encode(tool),
            metadata: &tool.metadata(|digest| metadata_of.contains(digest)),
            key,
        };
        parts.assemble(self.old)
    }

    /// The op to which each digest belongs. Two ops become one when the same RUN is there both
    /// plain and wrapped, as with a build that is given its own result as a context: then the
    /// metadata of the one that did not change counts, else that of the first.
    fn owners(&self) -> HashMap<Digest, usize> {
        let mut owners = HashMap::new();
        let (changed, kept): (Vec<_>, Vec<_>) =
            (0..self.digests.len()).partition(|position| self.ops.contains_key(position));
        for position in kept.into_iter().chain(changed) {
            owners.entry(self.digests[position]).or_insert(position);
        }
        owners
    }

    fn encode(&self, tool: &Merged<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.old.bytes.len());
        let mut done = HashSet::new();
        for (definition, node) in &tool.ops {
            if done.insert(node.digest) {
                out.extend_from_slice(&definition.bytes[node.field.clone()]);
            }
        }
        for (position, node) in self.old.nodes.iter().enumerate() {
            if !done.insert(self.digests[position]) {
                continue;
            }
            match self.ops.get(&position) {
                Some(op) => wire::put_bytes(&mut out, number::DEF, op),
                None => out.extend_from_slice(&self.old.bytes[node.field.clone()]),
            }
        }
        out
    }
}

/// The ops that build the tool, in an order that follows the graph.
#[derive(Default)]
pub(super) struct Merged<'a> {
    pub(super) ops: Vec<(&'a Definition, &'a Node)>,
}

impl<'a> Merged<'a> {
    pub(super) fn of(tool: &'a Definition, edge: Edge) -> Result<Self, LlbError> {
        let needed = tool.needed(edge)?;
        let ops = needed.into_iter().map(|at| (tool, &tool.nodes[at]));
        Ok(Self { ops: ops.collect() })
    }

    /// The metadata fields of these ops, but for those that are described already.
    pub(super) fn metadata(&self, is_described: impl Fn(&Digest) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (tool, node) in &self.ops {
            if let Some(entry) = tool.metadata.get(&node.digest)
                && !is_described(&node.digest)
            {
                out.extend_from_slice(&tool.bytes[entry.field.clone()]);
            }
        }
        out
    }
}
