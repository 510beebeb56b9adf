//! An exec of our own on a state of a definition: the state is its root, which it may look at or go on
//! from, and what it has to say it leaves in an output. The state's ops keep their bytes.

use std::collections::{BTreeMap, HashSet};

use bollard_buildkit_proto::pb;
use prost::Message;

use super::assemble::{Key, Parts};
use super::definition::{Definition, Edge, number};
use super::digest::Digest;
use super::error::LlbError;
use super::rewrite::Merged;
use super::run::{CUSTOM_NAME, NONE, ROOT};
use super::splice;
use super::wire;

/// What looks at a state. Without a platform of its own it runs on the engine's, whatever the state
/// is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The command.
    pub args: Vec<String>,
    /// Where what the tool definition builds is mounted.
    pub tool_dest: String,
    /// The path in it that is mounted; empty is all of it.
    pub tool_selector: String,
    /// Where the empty directory is mounted whose content the definition then builds.
    pub output_dest: String,
    /// States that it reads beside, of the ops that the root needs, each with where it is mounted.
    pub reads: Vec<(Edge, String)>,
    /// What it may do with the root.
    pub root: RootAccess,
    /// What the client's progress shows.
    pub title: String,
}

/// What an exec may do with its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootAccess {
    /// Look at it.
    Read,
    /// Change it, which makes another state.
    Write,
}

/// What is wanted of a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The root as it is afterwards.
    Root,
    /// What is in [`Probe::output_dest`].
    Report,
}

impl Wanted {
    /// The number of the exec's output.
    fn index(self) -> u32 {
        match self {
            Self::Root => 0,
            Self::Report => 1,
        }
    }
}

impl Definition {
    /// A definition that builds what is wanted of `probe` on the state `root`, which the build must have solved. It has
    /// the ops that these need, with their metadata, and the source locations of those of this definition. As in
    /// [`Definition::subgraph`], none of them asks to be made without the cache; the probe does if one of them did.
    ///
    /// # Errors
    /// [`LlbError::Absent`] when the root does not need such a state, [`LlbError::NoTool`] when the
    /// tool is an empty one; and the errors of [`Definition::parse`] should the result be no valid
    /// definition, such as one that became too long.
    pub fn probe(
        &self,
        root: &Edge,
        tool: &Self,
        probe: &Probe,
        wanted: Wanted,
    ) -> Result<Self, LlbError> {
        let digest = root.digest;
        let tool_edge = tool.output().ok_or(LlbError::NoTool { digest })?;
        let merged = Merged::of(tool, tool_edge)?;
        let needed = self.needed(*root)?;
        let nodes = needed.iter().map(|at| &self.nodes[*at]);
        let kept: HashSet<Digest> = nodes.clone().map(|node| node.digest).collect();

        if let Some((edge, _)) = (probe.reads.iter()).find(|(edge, _)| !kept.contains(&edge.digest))
        {
            let digest = edge.digest;
            return Err(LlbError::Absent { digest });
        }

        let mut ops = Vec::new();
        let mut done = HashSet::new();
        let own = nodes.map(|node| (self, node));
        for (definition, node) in merged.ops.iter().copied().chain(own) {
            if done.insert(node.digest) {
                ops.extend_from_slice(&definition.bytes[node.field.clone()]);
            }
        }
        let exec = probe.exec(root, tool_edge).encode_to_vec();
        let edge = Edge {
            digest: Digest::of(&exec),
            index: wanted.index(),
        };
        wire::put_bytes(&mut ops, number::DEF, &exec);
        let mut terminal = Vec::new();
        splice::put_input(&mut terminal, &edge);
        wire::put_bytes(&mut ops, number::DEF, &terminal);

        let described = |digest: &Digest| kept.contains(digest) && self.has_metadata(digest);
        let mut metadata = merged.metadata(described);
        let is_ignored = |digest: &Digest| {
            let metadata = self.op_metadata(*digest);
            metadata.is_some_and(|metadata| metadata.ignore_cache)
        };
        probe.put_metadata(&mut metadata, edge.digest, kept.iter().any(is_ignored));
        let key = |key: &str| match key.parse() {
            Ok(digest) if kept.contains(&digest) => Key::Solved,
            _ => Key::Drop,
        };
        let parts = Parts {
            ops: &ops,
            metadata: &metadata,
            key,
        };
        Self::parse(&parts.assemble(self)?)
    }
}

impl Probe {
    /// The op. Of a oneof it has but one member and nothing behind it, so prost writes it as Go does.
    fn exec(&self, root: &Edge, tool: Edge) -> pb::Op {
        let input = |edge: &Edge| pb::Input {
            digest: edge.digest.to_string(),
            index: i64::from(edge.index),
        };
        // The results of what is read, which nobody asks for, keep engines from reading every file of it:
        // what has no result gets its cache key from its content (solver/llbsolver/ops/exec.go,
        // `getMountDeps`).
        let mut mounts = vec![
            pb::Mount {
                dest: ROOT.to_owned(),
                readonly: self.root == RootAccess::Read,
                ..pb::Mount::default()
            },
            pb::Mount {
                input: 1,
                selector: self.tool_selector.clone(),
                dest: self.tool_dest.clone(),
                output: NONE,
                readonly: true,
                ..pb::Mount::default()
            },
            pb::Mount {
                input: NONE,
                dest: self.output_dest.clone(),
                output: i64::from(Wanted::Report.index()),
                ..pb::Mount::default()
            },
        ];
        let mut inputs = vec![input(root), input(&tool)];
        for ((edge, dest), output) in self
            .reads
            .iter()
            .zip(i64::from(Wanted::Report.index()) + 1..)
        {
            mounts.push(pb::Mount {
                input: i64::try_from(inputs.len()).unwrap_or(NONE),
                dest: dest.clone(),
                output,
                readonly: true,
                ..pb::Mount::default()
            });
            inputs.push(input(edge));
        }
        let exec = pb::ExecOp {
            meta: Some(pb::Meta {
                args: self.args.clone(),
                cwd: ROOT.to_owned(),
                ..pb::Meta::default()
            }),
            mounts,
            network: pb::NetMode::None.into(),
            ..pb::ExecOp::default()
        };
        pb::Op {
            inputs,
            op: Some(pb::op::Op::Exec(exec)),
            ..pb::Op::default()
        }
    }

    /// A state that is made anew without the cache must not be judged by what was said of the one
    /// before, which has the same key.
    fn put_metadata(&self, out: &mut Vec<u8>, digest: Digest, ignore_cache: bool) {
        let metadata = pb::OpMetadata {
            ignore_cache,
            description: BTreeMap::from([(CUSTOM_NAME.to_owned(), self.title.clone())]),
            ..pb::OpMetadata::default()
        };
        let mut entry = Vec::new();
        wire::put_text(&mut entry, number::KEY, &digest.to_string());
        wire::put_bytes(&mut entry, number::VALUE, &metadata.encode_to_vec());
        wire::put_bytes(out, number::METADATA, &entry);
    }
}
