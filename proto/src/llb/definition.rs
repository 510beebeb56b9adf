//! A `pb.Definition` held as its bytes, with an index of what is where in them.
//! All checks happen once, in [`Definition::parse`]; whoever holds one can rely on the graph.

use std::collections::HashMap;
use std::ops::Range;

use bollard_buildkit_proto::pb;
use prost::Message;

use super::digest::Digest;
use super::error::{DefinitionPart, LlbError};
use super::op::{self, Input, Kind, Link, Node};
use super::wire::{self, Field, WireError};

/// The longest definition that is read, in bytes. `BuildKit` takes 16 MiB in a gRPC
/// message (frontend/gateway/gateway.go, with containerd's `defaults.DefaultMaxRecvMsgSize`); a
/// definition in a file may be longer.
pub const MAX_DEFINITION_BYTES: usize = 64 << 20;

/// The most ops that are read; a Dockerfile of a thousand lines makes a few thousand.
pub const MAX_OPS: usize = 1_000_000;

/// The output number `index` of an op.
///
/// For an exec it counts the mounts that have outputs, in their order; for a file op it is the
/// number that an action gives its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edge {
    /// The op.
    pub digest: Digest,
    /// Which of its outputs, from 0.
    pub index: u32,
}

/// A `pb.Definition` that was checked: ops in `def`, the last of them terminal, `metadata` and
/// `Source` by digest (`BuildKit` solver/pb/ops.proto).
#[derive(Clone, Debug)]
pub struct Definition {
    pub(super) bytes: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    /// Positions in `nodes` by digest; the first, should an op be there twice.
    pub(super) index: HashMap<Digest, usize>,
    /// Positions in `nodes` in an order that follows the graph.
    pub(super) order: Vec<usize>,
    pub(super) metadata: HashMap<Digest, Entry>,
    pub(super) locations: HashMap<Digest, Range<usize>>,
    pub(super) infos: Vec<Range<usize>>,
}

/// An entry of `Definition.metadata`: the whole field, and the `OpMetadata` in it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) field: Range<usize>,
    pub(super) value: Range<usize>,
}

/// The field numbers of `pb.Definition`.
pub(super) mod number {
    pub(in super::super) const DEF: u32 = 1;
    pub(in super::super) const METADATA: u32 = 2;
    pub(in super::super) const SOURCE: u32 = 3;
    /// Of `pb.Source`.
    pub(in super::super) const LOCATIONS: u32 = 1;
    /// Of `pb.Source`.
    pub(in super::super) const INFOS: u32 = 2;
    /// Of an entry of any map.
    pub(in super::super) const KEY: u32 = 1;
    /// Of an entry of any map.
    pub(in super::super) const VALUE: u32 = 2;
}

impl Definition {
    /// Reads and checks a definition; an empty one stands for an empty root ("scratch").
    ///
    /// Ops may be in any order and may be there twice, as `BuildKit` keeps them in a map
    /// (solver/llbsolver/vertex.go, `loadLLB`); only the terminal op must be the last.
    ///
    /// # Errors
    /// When the bytes, an op, its metadata or a source location don't decode; an input is missing
    /// or has an impossible index; the last op is not a terminal one; or the definition has more
    /// than [`MAX_DEFINITION_BYTES`] or [`MAX_OPS`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LlbError> {
        if bytes.len() > MAX_DEFINITION_BYTES {
            return Err(LlbError::TooLarge {
                bytes: bytes.len(),
                limit: MAX_DEFINITION_BYTES,
            });
        }
        let mut reader = Reader::default();
        for field in wire::fields(bytes) {
            let field = field.map_err(LlbError::wire(DefinitionPart::Definition))?;
            reader.field(&field)?;
        }
        reader.finish(bytes.to_vec())
    }

    /// The definition as bytes: those that it was read from.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// What the definition builds; `None` is an empty root ("scratch").
    pub fn output(&self) -> Option<Edge> {
        let input = self.nodes.last()?.inputs.first()?;
        Some(self.edge(*input))
    }

    /// The digests of the ops in the order of the document, the terminal op last.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.nodes.iter().map(|node| node.digest)
    }

    pub(super) fn node(&self, digest: Digest) -> Option<&Node> {
        Some(&self.nodes[*self.index.get(&digest)?])
    }

    pub(super) fn edge(&self, link: Link) -> Edge {
        Edge {
            digest: self.nodes[link.node].digest,
            index: link.index,
        }
    }

    pub(super) fn op_bytes(&self, node: &Node) -> &[u8] {
        &self.bytes[node.op.clone()]
    }

    /// The op in the typed messages; that it decodes was checked.
    pub(super) fn op(&self, node: &Node) -> pb::Op {
        pb::Op::decode(self.op_bytes(node)).unwrap_or_default()
    }

    pub(super) fn has_metadata(&self, digest: &Digest) -> bool {
        self.metadata.contains_key(digest)
    }

    pub(super) fn op_metadata(&self, digest: Digest) -> Option<pb::OpMetadata> {
        let entry = self.metadata.get(&digest)?;
        pb::OpMetadata::decode(&self.bytes[entry.value.clone()]).ok()
    }
}

/// Collects what the fields of a definition say, until all ops are there to be linked.
#[derive(Default)]
struct Reader {
    nodes: Vec<Node>,
    inputs: Vec<Vec<Input>>,
    index: HashMap<Digest, usize>,
    metadata: HashMap<Digest, Entry>,
    locations: HashMap<Digest, Range<usize>>,
    infos: Vec<Range<usize>>,
}

impl Reader {
    fn field(&mut self, field: &Field<'_>) -> Result<(), LlbError> {
        let value = |place| field.bytes().map_err(LlbError::wire(place));
        match field.number {
            number::DEF => self.op(field, value(DefinitionPart::Definition)?),
            number::METADATA => self.metadata(field, value(DefinitionPart::Definition)?),
            number::SOURCE => self.source(value(DefinitionPart::Source)?, field.value_at()),
            _ => Ok(()),
        }
    }

    fn op(&mut self, field: &Field<'_>, bytes: &[u8]) -> Result<(), LlbError> {
        if self.nodes.len() == MAX_OPS {
            return Err(LlbError::TooManyOps { limit: MAX_OPS });
        }
        let digest = Digest::of(bytes);
        let (kind, inputs) = op::read(digest, bytes)?;
        let end = field.at + field.raw.len();
        self.index.entry(digest).or_insert(self.nodes.len());
        self.inputs.push(inputs);
        self.nodes.push(Node {
            digest,
            field: field.at..end,
            op: field.value_at()..end,
            inputs: Vec::new(),
            kind,
        });
        Ok(())
    }

    fn metadata(&mut self, field: &Field<'_>, bytes: &[u8]) -> Result<(), LlbError> {
        let (key, value) =
            map_entry(bytes).map_err(LlbError::wire(DefinitionPart::Metadata(String::new())))?;
        pb::OpMetadata::decode(&bytes[value.clone()]).map_err(|error| {
            LlbError::undecodable(DefinitionPart::Metadata(key.to_owned()), &error)
        })?;
        if let Ok(digest) = key.parse() {
            let entry = Entry {
                field: field.at..field.at + field.raw.len(),
                value: shift(&value, field.value_at()),
            };
            self.metadata.insert(digest, entry);
        }
        Ok(())
    }

    fn source(&mut self, bytes: &[u8], at: usize) -> Result<(), LlbError> {
        for field in wire::fields(bytes) {
            let field = field.map_err(LlbError::wire(DefinitionPart::Source))?;
            match field.number {
                number::LOCATIONS => self.location(&field, at)?,
                number::INFOS => self.info(&field, at)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn location(&mut self, field: &Field<'_>, at: usize) -> Result<(), LlbError> {
        let entry = field
            .bytes()
            .map_err(LlbError::wire(DefinitionPart::Source))?;
        let (key, value) = map_entry(entry).map_err(LlbError::wire(DefinitionPart::Source))?;
        pb::Locations::decode(&entry[value.clone()])
            .map_err(|error| LlbError::undecodable(DefinitionPart::Source, &error))?;
        if let Ok(digest) = key.parse() {
            self.locations
                .insert(digest, shift(&value, at + field.value_at()));
        }
        Ok(())
    }

    fn info(&mut self, field: &Field<'_>, at: usize) -> Result<(), LlbError> {
        let info = field
            .bytes()
            .map_err(LlbError::wire(DefinitionPart::Source))?;
        pb::SourceInfo::decode(info)
            .map_err(|error| LlbError::undecodable(DefinitionPart::Source, &error))?;
        let start = at + field.value_at();
        self.infos.push(start..start + info.len());
        Ok(())
    }

    fn finish(mut self, bytes: Vec<u8>) -> Result<Definition, LlbError> {
        self.link()?;
        if let Some(last) = self.nodes.last() {
            check_terminal(last)?;
        }
        let inputs: Vec<Vec<usize>> = self
            .nodes
            .iter()
            .map(|node| node.inputs.iter().map(|input| input.node).collect())
            .collect();
        let order = op::order(&inputs).map_err(|ops| LlbError::Cycle { ops })?;
        Ok(Definition {
            bytes,
            nodes: self.nodes,
            index: self.index,
            order,
            metadata: self.metadata,
            locations: self.locations,
            infos: self.infos,
        })
    }

    fn link(&mut self) -> Result<(), LlbError> {
        for (node, inputs) in self.nodes.iter_mut().zip(&self.inputs) {
            for input in inputs {
                let found = input.digest.parse().ok();
                let target = found.and_then(|digest: Digest| self.index.get(&digest));
                let target = target.ok_or_else(|| LlbError::MissingInput {
                    op: node.digest,
                    input: input.digest.clone(),
                })?;
                node.inputs.push(Link {
                    node: *target,
                    index: input.index,
                });
            }
        }
        Ok(())
    }
}

fn check_terminal(last: &Node) -> Result<(), LlbError> {
    let fault = match (last.kind, last.inputs.len()) {
        (Kind::Bare, 1) => return Ok(()),
        (Kind::Bare, 0) => "found one without an input",
        (Kind::Bare, _) => "found one with several inputs",
        _ => "found one that does something",
    };
    Err(LlbError::Terminal {
        op: last.digest,
        fault,
    })
}

/// The key of a map entry, and where its value is; in both the last occurrence counts, as in Go.
pub(super) fn map_entry(entry: &[u8]) -> Result<(&str, Range<usize>), WireError> {
    let mut key = "";
    let mut value = 0..0;
    for field in wire::fields(entry) {
        let field = field?;
        match field.number {
            number::KEY => key = field.text()?,
            number::VALUE => {
                let start = field.value_at();
                value = start..start + field.bytes()?.len();
            }
            _ => {}
        }
    }
    Ok((key, value))
}

fn shift(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}
