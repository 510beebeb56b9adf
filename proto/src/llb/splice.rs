//! What a caller wants changed in a RUN, and how the bytes of its op are changed so.
//! Field numbers are those of solver/pb/ops.proto; everything that is not named here is copied.

use bollard_buildkit_proto::pb;

use super::definition::Edge;
use super::digest::Digest;
use super::edit;
use super::error::{LlbError, Place};
use super::op;
use super::run::{self, NONE};
use super::wire::{self, WireError};

/// `Op.inputs`.
const INPUTS: u32 = 1;
/// `Op.exec`.
const EXEC: u32 = 2;
/// `Input.digest` and `Input.index`.
const INPUT_DIGEST: u32 = 1;
const INPUT_INDEX: u32 = 2;
/// `ExecOp.meta` and `ExecOp.mounts`.
const META: u32 = 1;
const MOUNTS: u32 = 2;
/// `Meta.args` and `Meta.user`.
const ARGS: u32 = 1;
const USER: u32 = 4;

/// A change of one RUN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// The whole new argument vector.
    pub args: Vec<String>,
    /// The user that runs it, empty for the default; `None` leaves it as it is.
    pub user: Option<String>,
    /// Mounts to add behind those that are there, in this order.
    pub mounts: Vec<NewMount>,
}

/// A mount to add to a RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewMount {
    /// A state that the command can read and that has no result. Only the content of `selector`
    /// counts for the cache key (solver/llbsolver/ops/exec.go, `getMountDeps`).
    ReadOnly {
        /// Where it is mounted.
        dest: String,
        /// The path in the source; empty is all of it.
        selector: String,
        /// The state, of one of the tool definitions that the rewrite is given.
        source: Edge,
    },
    /// An empty directory whose content becomes a result of the op.
    Output {
        /// Where it is mounted.
        dest: String,
    },
}

impl Splice {
    /// The states that the added mounts read, each once, in the order of the mounts.
    pub(super) fn sources(&self) -> Vec<Edge> {
        let mut sources = Vec::new();
        for mount in &self.mounts {
            if let NewMount::ReadOnly { source, .. } = mount
                && !sources.contains(source)
            {
                sources.push(*source);
            }
        }
        sources
    }
}

/// Names inputs anew: `renamed` gives the new digest of the input at a position, if it has one.
pub(super) fn relink(
    op: &[u8],
    renamed: impl Fn(usize) -> Option<Digest>,
) -> Result<Vec<u8>, WireError> {
    let mut positions = 0..;
    edit::map(op, INPUTS, |input| {
        let Some(digest) = positions.next().and_then(&renamed) else {
            return Ok(None);
        };
        let mut encoded = Vec::new();
        wire::put_text(&mut encoded, INPUT_DIGEST, &digest.to_string());
        edit::replace(input, INPUT_DIGEST, &encoded).map(Some)
    })
}

/// An edge as an `Op.inputs` field.
pub(super) fn put_input(out: &mut Vec<u8>, edge: &Edge) {
    let mut input = Vec::new();
    wire::put_text(&mut input, INPUT_DIGEST, &edge.digest.to_string());
    wire::put_int(&mut input, INPUT_INDEX, i64::from(edge.index));
    wire::put_bytes(out, INPUTS, &input);
}

/// Applies a splice to the bytes of the exec op `digest`.
///
/// The sources of mounts become inputs of their own even if the op has an equal one: a shared input
/// would let the last mount decide how the root's cache key is made (`getMountDeps`).
pub(super) fn wrap(digest: Digest, op: &[u8], splice: &Splice) -> Result<Vec<u8>, LlbError> {
    let decoded: pb::Op = op::decode(digest, op)?;
    let exec = run::exec(decoded.op).ok_or(LlbError::NotExec { digest })?;
    let sources = splice.sources();
    let mounts = Mounts {
        sources: &sources,
        first_input: decoded.inputs.len(),
        first_output: exec.mounts.iter().filter(|m| run::has_output(m)).count(),
    };
    let mut inputs = Vec::new();
    for edge in &sources {
        put_input(&mut inputs, edge);
    }
    check_spliceable(digest, op)?;
    edit::append(op, INPUTS, &inputs)
        .and_then(|op| edit::map(&op, EXEC, |exec| wrap_exec(exec, splice, &mounts).map(Some)))
        .map_err(LlbError::wire(Place::Op(digest)))
}

/// Messages that come in several pieces are one to a decoder, but cannot be spliced.
fn check_spliceable(digest: Digest, op: &[u8]) -> Result<(), LlbError> {
    let execs = sole(digest, op, EXEC, "exec")?;
    sole(digest, execs, META, "meta").map(|_| ())
}

fn sole<'a>(
    digest: Digest,
    message: &'a [u8],
    number: u32,
    field: &'static str,
) -> Result<&'a [u8], LlbError> {
    let found = wire::fields(message)
        .filter(|field| !matches!(field, Ok(field) if field.number != number))
        .map(|field| field?.bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(LlbError::wire(Place::Op(digest)))?;
    match found[..] {
        [value] => Ok(value),
        _ => Err(LlbError::Occurrences {
            digest,
            field,
            count: found.len(),
        }),
    }
}

fn wrap_exec(exec: &[u8], splice: &Splice, mounts: &Mounts<'_>) -> Result<Vec<u8>, WireError> {
    let exec = edit::map(exec, META, |meta| wrap_meta(meta, splice).map(Some))?;
    edit::append(&exec, MOUNTS, &mounts.encode(&splice.mounts))
}

fn wrap_meta(meta: &[u8], splice: &Splice) -> Result<Vec<u8>, WireError> {
    let mut args = Vec::new();
    for arg in &splice.args {
        wire::put_bytes(&mut args, ARGS, arg.as_bytes());
    }
    let meta = edit::replace(meta, ARGS, &args)?;
    let Some(user) = &splice.user else {
        return Ok(meta);
    };
    let mut encoded = Vec::new();
    wire::put_text(&mut encoded, USER, user);
    edit::replace(&meta, USER, &encoded)
}

/// Encodes added mounts: fields 1 to 5 of `Mount` are input, selector, dest, output and readonly.
struct Mounts<'a> {
    sources: &'a [Edge],
    /// How many inputs and outputs the op has without them.
    first_input: usize,
    first_output: usize,
}

impl Mounts<'_> {
    fn encode(&self, mounts: &[NewMount]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut outputs = self.first_output..;
        for mount in mounts {
            let encoded = match mount {
                NewMount::ReadOnly {
                    dest,
                    selector,
                    source,
                } => self.read_only(dest, selector, source),
                NewMount::Output { dest } => output(dest, outputs.next().unwrap_or_default()),
            };
            wire::put_bytes(&mut out, MOUNTS, &encoded);
        }
        out
    }

    fn read_only(&self, dest: &str, selector: &str, source: &Edge) -> Vec<u8> {
        let offset = self.sources.iter().position(|edge| edge == source);
        let mut mount = Vec::new();
        put_count(&mut mount, 1, self.first_input + offset.unwrap_or_default());
        wire::put_text(&mut mount, 2, selector);
        wire::put_text(&mut mount, 3, dest);
        wire::put_int(&mut mount, 4, NONE);
        wire::put_int(&mut mount, 5, 1);
        mount
    }
}

fn output(dest: &str, number: usize) -> Vec<u8> {
    let mut mount = Vec::new();
    wire::put_int(&mut mount, 1, NONE);
    wire::put_text(&mut mount, 3, dest);
    put_count(&mut mount, 4, number);
    mount
}

fn put_count(out: &mut Vec<u8>, number: u32, count: usize) {
    wire::put_int(out, number, i64::try_from(count).unwrap_or(i64::MAX));
}
