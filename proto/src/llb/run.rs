//! A RUN instruction as the frontend sees it, read from the exec op that it became.
//! Which mounts have outputs, and under which index, follows the executor and nothing else.

use std::fmt;

use bollard_buildkit_proto::pb;

use super::definition::{Definition, Edge};
use super::digest::Digest;
use super::op::{Kind, Node};

/// The key that marks the ops of Dockerfile instructions, with the instruction's text
/// (frontend/dockerfile/dockerfile2llb/convert.go, `dfCmd`; in `BuildKit` 0.6 to 0.32). Execs that
/// other parts of `BuildKit` add, such as SBOM scanners, lack it.
const COMMAND: &str = "com.docker.dockerfile.v1.command";
/// The name that progress shows instead of the arguments (solver/llbsolver/vertex.go, `Name`).
pub(super) const CUSTOM_NAME: &str = "llb.customname";
/// client/llb and the solver both compare a root mount's destination to exactly this.
pub(super) const ROOT: &str = "/";
/// `pb.SkipOutput` and `pb.Empty` of solver/pb/const.go: no output, no input.
pub(super) const NONE: i64 = -1;

/// A RUN instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The op.
    pub digest: Digest,
    /// What progress shows, such as `[2/3] RUN make`; without a name given, the arguments.
    pub name: String,
    /// The instruction as the Dockerfile frontend normalised it, such as `RUN make`.
    pub command: String,
    /// The whole argument vector; in shell form it begins with the shell.
    pub args: Vec<String>,
    /// The environment, as `NAME=value`.
    pub env: Vec<String>,
    /// The working directory.
    pub cwd: String,
    /// The user as USER had it: empty, a name or a number, with or without a group.
    pub user: String,
    /// All mounts in the order of the op, the root among them.
    pub mounts: Vec<Mount>,
    /// What the op runs on; `None` is the platform of the engine.
    pub platform: Option<Platform>,
}

/// A mount of a RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is mounted; `/` is the root.
    pub dest: String,
    /// What is mounted.
    pub kind: MountKind,
    /// The state that is mounted; `None` is an empty one.
    pub source: Option<Edge>,
    /// The path in the source that is mounted; empty is all of it.
    pub selector: String,
    /// Whether the command may not write to it.
    pub readonly: bool,
    /// The index by which an edge names this mount's result, if it has one.
    pub output: Option<u32>,
}

/// `MountType` of solver/pb/ops.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MountKind {
    /// Another state, or an empty directory.
    Bind,
    /// A secret's file.
    Secret,
    /// An ssh agent's socket.
    Ssh,
    /// A cache that outlives the build.
    Cache,
    /// A tmpfs.
    Tmpfs,
    /// A type that this version does not know.
    Unknown,
}

/// What an op runs on, as OCI names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `arm64`.
    pub architecture: String,
    /// Such as `v7`, or empty.
    pub variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() {
            return Ok(());
        }
        write!(f, "/{}", self.variant)
    }
}

impl Run {
    /// The state that its root begins as; none when that is an empty one.
    pub fn root(&self) -> Option<Edge> {
        let mut mounts = self.mounts.iter();
        mounts.find(|mount| mount.dest == ROOT)?.source
    }

    /// The output index of the mount at `dest`, for an [`Edge`] to its result; of the last, should
    /// several be mounted there.
    pub fn output_index(&self, dest: &str) -> Option<u32> {
        let mounts = self.mounts.iter().rev();
        mounts
            .filter(|mount| mount.dest == dest)
            .find_map(|mount| mount.output)
    }
}

impl Definition {
    /// The RUN that an op is, or `None` for any other op.
    pub fn run(&self, digest: &Digest) -> Option<Run> {
        let node = self.node(*digest)?;
        if node.kind != Kind::Exec {
            return None;
        }
        let mut description = self.op_metadata(*digest)?.description;
        let command = description.remove(COMMAND)?;
        let op = self.op(node);
        let exec = exec(op.op)?;
        let mounts = self.mounts(node, &exec.mounts);
        let meta = exec.meta.unwrap_or_default();
        let name = description.remove(CUSTOM_NAME);
        Some(Run {
            digest: *digest,
            name: name.unwrap_or_else(|| meta.args.join(" ")),
            command,
            args: meta.args,
            env: meta.env,
            cwd: meta.cwd,
            user: meta.user,
            mounts,
            platform: op.platform.map(|platform| Platform {
                os: platform.os,
                architecture: platform.architecture,
                variant: platform.variant,
            }),
        })
    }

    pub(super) fn is_run(&self, digest: Digest) -> bool {
        let exec = self
            .node(digest)
            .is_some_and(|node| node.kind == Kind::Exec);
        exec && self
            .op_metadata(digest)
            .is_some_and(|metadata| metadata.description.contains_key(COMMAND))
    }

    fn mounts(&self, node: &Node, mounts: &[pb::Mount]) -> Vec<Mount> {
        let mut outputs = 0..;
        mounts
            .iter()
            .map(|mount| Mount {
                dest: mount.dest.clone(),
                kind: kind_of(mount),
                source: usize::try_from(mount.input)
                    .ok()
                    .and_then(|input| node.inputs.get(input))
                    .map(|link| self.edge(*link)),
                selector: mount.selector.clone(),
                readonly: mount.readonly,
                output: has_output(mount).then(|| outputs.next()).flatten(),
            })
            .collect()
    }
}

/// The exec in an op's body.
pub(super) fn exec(body: Option<pb::op::Op>) -> Option<pb::ExecOp> {
    match body? {
        pb::op::Op::Exec(exec) => Some(exec),
        _ => None,
    }
}

/// Whether a mount leaves a result.
///
/// The executor lists the results of mounts in their order and an edge's index counts that list;
/// the number in `Mount.output` only says whether there is one
/// (frontend/gateway/container/container.go, `PrepareMounts`; solver/llbsolver/ops/exec.go,
/// `Exec`). Secret and ssh mounts leave none, although client/llb gives them the number 0.
pub(super) fn has_output(mount: &pb::Mount) -> bool {
    mount.output != NONE
        && match kind_of(mount) {
            MountKind::Bind => true,
            MountKind::Cache => mount.input != NONE,
            _ => false,
        }
}

fn kind_of(mount: &pb::Mount) -> MountKind {
    match pb::MountType::try_from(mount.mount_type) {
        Ok(pb::MountType::Bind) => MountKind::Bind,
        Ok(pb::MountType::Secret) => MountKind::Secret,
        Ok(pb::MountType::Ssh) => MountKind::Ssh,
        Ok(pb::MountType::Cache) => MountKind::Cache,
        Ok(pb::MountType::Tmpfs) => MountKind::Tmpfs,
        Err(_) => MountKind::Unknown,
    }
}
