//! The states that a root file system went through, from its base to an edge of the graph.
//! Each kind of op says by its own rule which of its inputs an output continues; the rules are
//! those of the solver, so that a RUN is in the lineage exactly if its root became the result's.

use std::collections::{HashMap, HashSet};
use std::fmt;

use bollard_buildkit_proto::pb;

use super::definition::{Definition, Edge};
use super::digest::Digest;
use super::op::{self, Kind, Link, Node};
use super::run::{self, NONE, ROOT};

const IMAGE_SCHEME: &str = "docker-image://";

/// How a root came to be, base first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The RUN instructions.
    pub runs: Vec<Digest>,
    /// Every state, with those of the base, COPY and ADD.
    pub steps: Vec<Edge>,
    /// What the first state was made from.
    pub base: Base,
    /// Where and why the walk ended early; the runs before that point are not known.
    pub stopped: Option<Stopped>,
    /// How many of the states lie below one that is a copy of all of them onto an empty root, as `COPY --from=STAGE / /`
    /// makes it. The image has no layers of these, and nothing of what they have besides files, such as labels.
    pub copied: usize,
}

impl Lineage {
    /// Whether a state was copied whole on the way.
    pub fn is_flattened(&self) -> bool {
        self.copied > 0
    }

    /// The ops whose states are layers of the image.
    pub fn of_layers(&self) -> HashSet<Digest> {
        let own = self.steps.iter().skip(self.copied);
        own.map(|step| step.digest).collect()
    }
}

/// What a root began as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An image from a registry.
    Image {
        /// As in the op, such as `docker-image://docker.io/library/debian:13@sha256:…`.
        identifier: String,
    },
    /// Nothing: `FROM scratch`.
    Scratch,
    /// Any other source.
    Other {
        /// As in the op, such as `oci-layout://…`, `local://…` or `git://…`.
        identifier: String,
    },
    /// The walk did not reach it.
    Unknown,
}

/// The op at which a walk ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The state that could not be followed.
    pub edge: Edge,
    /// Why not.
    pub reason: StopReason,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edge { digest, index } = self.edge;
        write!(f, "output {index} of op {digest}: {}", self.reason)
    }
}

/// Why a walk ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// The edge names an op that is not in the definition.
    #[error("not in the definition")]
    Absent,
    /// A kind of op that this version does not know.
    #[error("unknown kind of operation")]
    UnknownKind,
    /// A nested build, whose result is not known before it ran.
    #[error("nested build")]
    Build,
    /// The edge is not the root but what a RUN left in one of its mounts.
    #[error("result of the mount at `{0}`")]
    Mount(String),
    /// The op has no such output, or it comes from an input that does not exist.
    #[error("no such output or input")]
    Index,
}

/// Where an output comes from.
enum Origin {
    Input(Link),
    /// A copy of all that is there.
    Copy(Link),
    Base(Base),
}

impl Definition {
    /// The lineage of what the definition builds.
    pub fn lineage(&self) -> Lineage {
        match self.output() {
            Some(edge) => self.lineage_of(&edge),
            None => Lineage {
                runs: Vec::new(),
                steps: Vec::new(),
                base: Base::Scratch,
                stopped: None,
                copied: 0,
            },
        }
    }

    /// The lineage of one state. It takes time in proportion to its own length.
    pub fn lineage_of(&self, edge: &Edge) -> Lineage {
        let mut steps = Vec::new();
        let mut copied_below = None;
        let mut at = *edge;
        let (base, stopped) = loop {
            match self.origin(at) {
                Ok(origin) => {
                    steps.push(at);
                    match origin {
                        Origin::Input(link) => at = self.edge(link),
                        Origin::Copy(link) => {
                            copied_below = copied_below.or(Some(steps.len()));
                            at = self.edge(link);
                        }
                        Origin::Base(base) => break (base, None),
                    }
                }
                Err(reason) => break (Base::Unknown, Some(Stopped { edge: at, reason })),
            }
        };
        steps.reverse();
        let copied = copied_below.map_or(0, |above| steps.len() - above);
        let runs = steps.iter().map(|step| step.digest);
        Lineage {
            runs: runs.filter(|digest| self.is_run(*digest)).collect(),
            steps,
            base,
            stopped,
            copied,
        }
    }

    /// All RUN instructions of the definition, those of other stages too, each with the RUN whose root it goes on
    /// with and which stands before it. It takes time in proportion to the definition.
    pub fn runs_and_those_before(&self) -> Vec<(Digest, Option<Digest>)> {
        let mut before = HashMap::new();
        let mut nearest = HashMap::new();
        let runs: Vec<Digest> = self.digests().filter(|op| self.is_run(*op)).collect();
        for digest in &runs {
            let root = self.run(digest).and_then(|run| run.root());
            let run = root.and_then(|root| self.nearest_run(root, &mut nearest));
            before.insert(*digest, run);
        }
        let mut placed = HashSet::new();
        let mut ordered = Vec::with_capacity(runs.len());
        for digest in runs {
            let line = std::iter::successors(Some(digest), |run| before[run]);
            let mut line: Vec<Digest> = line.take_while(|run| placed.insert(*run)).collect();
            line.reverse();
            ordered.extend(line.into_iter().map(|run| (run, before[&run])));
        }
        ordered
    }

    /// The last RUN of the lineage of a state. What is found is remembered for all states on the way.
    fn nearest_run(
        &self,
        state: Edge,
        known: &mut HashMap<Edge, Option<Digest>>,
    ) -> Option<Digest> {
        let mut way = Vec::new();
        let mut at = state;
        let found = loop {
            if let Some(found) = known.get(&at) {
                break *found;
            }
            way.push(at);
            match self.origin(at) {
                Ok(_) if self.is_run(at.digest) => break Some(at.digest),
                Ok(Origin::Input(link) | Origin::Copy(link)) => at = self.edge(link),
                Ok(Origin::Base(_)) | Err(_) => break None,
            }
        };
        known.extend(way.into_iter().map(|state| (state, found)));
        found
    }

    fn origin(&self, edge: Edge) -> Result<Origin, StopReason> {
        let node = self.node(edge.digest).ok_or(StopReason::Absent)?;
        match node.kind {
            Kind::Bare => Err(StopReason::UnknownKind),
            Kind::Build => Err(StopReason::Build),
            Kind::Passthrough => self.passthrough_origin(node, edge.index),
            Kind::Exec | Kind::Source | Kind::File | Kind::Merge | Kind::Diff => {
                let body = self.op(node).op.ok_or(StopReason::UnknownKind)?;
                body_origin(node, &body, edge.index)
            }
        }
    }

    /// solver/llbsolver/ops/passthrough.go, `Exec`: output i is the input `outputs[i]`.
    fn passthrough_origin(&self, node: &Node, index: u32) -> Result<Origin, StopReason> {
        let body = op::passthrough(node.digest, self.op_bytes(node));
        let outputs = body.map_err(|_| StopReason::UnknownKind)?.outputs;
        let input = usize::try_from(index).ok().and_then(|i| outputs.get(i));
        input_at(node, *input.ok_or(StopReason::Index)?)
    }
}

fn body_origin(node: &Node, body: &pb::op::Op, index: u32) -> Result<Origin, StopReason> {
    match body {
        pb::op::Op::Exec(exec) => exec_origin(node, exec, index),
        pb::op::Op::File(file) => file_origin(node, file, index),
        _ if index != 0 => Err(StopReason::Index),
        pb::op::Op::Source(source) => Ok(Origin::Base(source_base(&source.identifier))),
        pb::op::Op::Merge(_) => Ok(first_input(node)),
        pb::op::Op::Diff(diff) => diff_origin(node, diff),
        pb::op::Op::Build(_) => Err(StopReason::Build),
    }
}

/// solver/llbsolver/ops/exec.go, `Exec`: the index counts the mounts that have outputs.
fn exec_origin(node: &Node, exec: &pb::ExecOp, index: u32) -> Result<Origin, StopReason> {
    let index = usize::try_from(index).map_err(|_| StopReason::Index)?;
    let mut outputs = exec.mounts.iter().filter(|mount| run::has_output(mount));
    let mount = outputs.nth(index).ok_or(StopReason::Index)?;
    if mount.dest != ROOT {
        return Err(StopReason::Mount(mount.dest.clone()));
    }
    input_at(node, mount.input)
}

/// solver/llbsolver/ops/file.go, `FileOpSolver`: an output is named by its number, and an input
/// beyond those of the op is what an action made.
fn file_origin(node: &Node, file: &pb::FileOp, index: u32) -> Result<Origin, StopReason> {
    let mut actions = file.actions.iter();
    let mut action = actions
        .find(|action| action.output == i64::from(index))
        .ok_or(StopReason::Index)?;
    for _ in &file.actions {
        let Some(made_by) = usize::try_from(action.input)
            .ok()
            .and_then(|input| input.checked_sub(node.inputs.len()))
        else {
            return match copy_of_all(node, action) {
                Some(link) if action.input == NONE => Ok(Origin::Copy(link)),
                _ => input_at(node, action.input),
            };
        };
        action = file.actions.get(made_by).ok_or(StopReason::Index)?;
    }
    // More steps than actions: they are made from each other in a circle.
    Err(StopReason::Index)
}

/// The state of which an action copies all to the root, as it is.
fn copy_of_all(node: &Node, action: &pb::FileAction) -> Option<Link> {
    let pb::file_action::Action::Copy(copy) = action.action.as_ref()? else {
        return None;
    };
    let is_all = copy.include_patterns.is_empty() && copy.exclude_patterns.is_empty();
    let is_as_it_is = copy.owner.is_none() && i64::from(copy.mode) == NONE;
    if copy.src != ROOT || copy.dest != ROOT || !is_all || !is_as_it_is {
        return None;
    }
    let from = usize::try_from(action.secondary_input).ok()?;
    node.inputs.get(from).copied()
}

/// solver/llbsolver/ops/diff.go, `Exec`: the upper input follows the lower one, if there is one.
fn diff_origin(node: &Node, diff: &pb::DiffOp) -> Result<Origin, StopReason> {
    let upper = diff.upper.ok_or(StopReason::Index)?;
    let lower = diff.lower.ok_or(StopReason::Index)?;
    if upper.input == NONE {
        return Ok(Origin::Base(Base::Scratch));
    }
    input_at(node, i64::from(lower.input != NONE))
}

/// solver/llbsolver/ops/merge.go, `Exec`: all inputs in their order, the first is the lowest;
/// COPY --link is a merge of the state before it and the copied files.
fn first_input(node: &Node) -> Origin {
    match node.inputs.first() {
        Some(link) => Origin::Input(*link),
        None => Origin::Base(Base::Scratch),
    }
}

fn input_at(node: &Node, input: i64) -> Result<Origin, StopReason> {
    if input == NONE {
        return Ok(Origin::Base(Base::Scratch));
    }
    let link = usize::try_from(input)
        .ok()
        .and_then(|input| node.inputs.get(input));
    link.map(|link| Origin::Input(*link))
        .ok_or(StopReason::Index)
}

fn source_base(identifier: &str) -> Base {
    let identifier = identifier.to_owned();
    if identifier.starts_with(IMAGE_SCHEME) {
        Base::Image { identifier }
    } else {
        Base::Other { identifier }
    }
}
