//! Applies splices to a definition: every op that depends on a changed one gets a new digest, and
//! all that refers to it follows. Ops that depend on none keep their bytes, hence their cache.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::assemble::{Key, Parts};
use super::definition::{Definition, Edge, number};
use super::digest::Digest;
use super::error::{LlbError, Place};
use super::op::Kind;
use super::splice::{self, Splice};
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
    /// Applies `splices`, each to the op of its digest. An op that several stages share is changed
    /// once for all of them. Without splices the definition stays as it is, byte for byte.
    ///
    /// The sources of added mounts are looked up in `tools`; the ops that they need are put before
    /// all others, with their metadata but without their source locations. Whether an op is wrapped
    /// already is for the caller to see, by [`Run::args`](super::Run::args).
    ///
    /// # Errors
    /// When there is no op, or no exec op, for a splice, or no tool has a mount's source; and the
    /// errors of [`Definition::parse`] should the result be no valid definition, such as one that
    /// became too long.
    pub fn rewrite(
        &self,
        splices: &BTreeMap<Digest, Splice>,
        tools: &[&Definition],
    ) -> Result<Rewritten, LlbError> {
        if splices.is_empty() {
            return Ok(Rewritten {
                definition: self.clone(),
                digests: BTreeMap::new(),
            });
        }
        self.check(splices)?;
        let changes = Changes::of(self, splices)?;
        let tools = Merged::of(splices, tools)?;
        let definition = Self::parse(&changes.assemble(&tools)?)?;
        Ok(Rewritten {
            definition,
            digests: changes.digests(),
        })
    }

    fn check(&self, splices: &BTreeMap<Digest, Splice>) -> Result<(), LlbError> {
        for digest in splices.keys().copied() {
            let node = self.node(digest).ok_or(LlbError::Absent { digest })?;
            if node.kind != Kind::Exec {
                return Err(LlbError::NotExec { digest });
            }
        }
        Ok(())
    }
}

/// What the splices make of each op, by its position.
struct Changes<'a> {
    old: &'a Definition,
    digests: Vec<Digest>,
    /// The new bytes of the ops that change.
    ops: HashMap<usize, Vec<u8>>,
}

impl<'a> Changes<'a> {
    fn of(old: &'a Definition, splices: &BTreeMap<Digest, Splice>) -> Result<Self, LlbError> {
        let mut changes = Self {
            old,
            digests: old.digests().collect(),
            ops: HashMap::new(),
        };
        for position in old.order.iter().copied() {
            let splice = splices.get(&old.nodes[position].digest);
            if let Some(op) = changes.apply(position, splice)? {
                changes.digests[position] = Digest::of(&op);
                changes.ops.insert(position, op);
            }
        }
        Ok(changes)
    }

    /// The new bytes of an op whose inputs are done, if it changes.
    fn apply(&self, position: usize, splice: Option<&Splice>) -> Result<Option<Vec<u8>>, LlbError> {
        let node = &self.old.nodes[position];
        let bytes = self.old.op_bytes(node);
        let renamed = |input: usize| {
            let target = node.inputs.get(input)?.node;
            let changed = self.ops.contains_key(&target);
            changed.then(|| self.digests[target])
        };
        let relinked = node
            .inputs
            .iter()
            .any(|input| self.ops.contains_key(&input.node));
        let op = match (relinked, splice) {
            (false, None) => return Ok(None),
            (false, Some(splice)) => splice::wrap(node.digest, bytes, splice)?,
            (true, splice) => {
                let op = splice::relink(bytes, renamed)
                    .map_err(LlbError::wire(Place::Op(node.digest)))?;
                match splice {
                    Some(splice) => splice::wrap(node.digest, &op, splice)?,
                    None => op,
                }
            }
        };
        Ok((op != bytes).then_some(op))
    }

    fn digests(&self) -> BTreeMap<Digest, Digest> {
        let changed = self.ops.keys();
        changed
            .map(|at| (self.old.nodes[*at].digest, self.digests[*at]))
            .collect()
    }

    fn assemble(&self, tools: &Merged<'_>) -> Result<Vec<u8>, LlbError> {
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
            ops: &self.encode(tools),
            metadata: &tools.metadata(&metadata_of),
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

    fn encode(&self, tools: &Merged<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.old.bytes.len());
        let mut done = HashSet::new();
        for (digest, definition, position) in &tools.ops {
            done.insert(*digest);
            out.extend_from_slice(&definition.bytes[definition.nodes[*position].field.clone()]);
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

/// The ops of the tools that the splices need, each once, in an order that follows the graph.
struct Merged<'a> {
    ops: Vec<(Digest, &'a Definition, usize)>,
}

impl<'a> Merged<'a> {
    fn of(splices: &BTreeMap<Digest, Splice>, tools: &[&'a Definition]) -> Result<Self, LlbError> {
        let mut sources: Vec<Edge> = splices.values().flat_map(Splice::sources).collect();
        sources.sort_unstable();
        sources.dedup();
        let absent = |edge: &&Edge| {
            !tools
                .iter()
                .any(|tool| tool.index.contains_key(&edge.digest))
        };
        if let Some(Edge { digest, .. }) = sources.iter().find(absent) {
            return Err(LlbError::Absent { digest: *digest });
        }
        let mut seen = HashSet::new();
        let mut ops = Vec::new();
        for tool in tools {
            let has = |edge: &Edge| tool.index.contains_key(&edge.digest);
            let (here, elsewhere) = sources.iter().partition(|edge| has(edge));
            sources = elsewhere;
            for position in tool.needed(&here)? {
                let digest = tool.nodes[position].digest;
                if seen.insert(digest) {
                    ops.push((digest, *tool, position));
                }
            }
        }
        Ok(Self { ops })
    }

    /// The metadata fields of these ops, but for those that have metadata already.
    fn metadata(&self, present: &HashSet<Digest>) -> Vec<u8> {
        let mut out = Vec::new();
        for (digest, definition, _) in &self.ops {
            if let Some(entry) = definition.metadata.get(digest)
                && !present.contains(digest)
            {
                out.extend_from_slice(&definition.bytes[entry.field.clone()]);
            }
        }
        out
    }
}
