//! What a caller wants changed in a RUN, and how the bytes of its op are changed so.
//! Field numbers are those of solver/pb/ops.proto; everything that is not named here is copied.

use bollard_buildkit_proto::pb;

use super::definition::Edge;
use super::digest::Digest;
use super::edit;
use super::error::{DefinitionPart, LlbError};
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
    /// What the tool definition of the rewrite builds, for the command to read; it has no result.
    /// Only the content of `selector` counts for the cache key (solver/llbsolver/ops/exec.go, `getMountDeps`).
    ReadOnly {
        /// Where it is mounted.
        dest: String,
        /// The path in it that is mounted; empty is all of it.
        selector: String,
    },
    /// An empty directory whose content becomes a result of the op.
    Output {
        /// Where it is mounted.
        dest: String,
    },
}

impl Splice {
    /// Whether a mount reads what the tool definition builds.
    pub(super) fn needs_tool(&self) -> bool {
        let mut mounts = self.mounts.iter();
        mounts.any(|mount| matches!(mount, NewMount::ReadOnly { .. }))
    }
}

/// What an input becomes.
pub(super) struct Renamed {
    pub(super) digest: Digest,
    /// None where it stays as it is, byte for byte.
    pub(super) index: Option<u32>,
}

/// Names inputs anew: `renamed` gives what the input at a position becomes, if it is to change.
pub(super) fn relink(
    op: &[u8],
    renamed: impl Fn(usize) -> Option<Renamed>,
) -> Result<Vec<u8>, WireError> {
    let mut positions = 0..;
    edit::map(op, INPUTS, |input| {
        let Some(Renamed { digest, index }) = positions.next().and_then(&renamed) else {
            return Ok(None);
        };
        let mut encoded = Vec::new();
        wire::put_text(&mut encoded, INPUT_DIGEST, &digest.to_string());
        let input = edit::replace(input, INPUT_DIGEST, &encoded)?;
        let Some(index) = index else {
            return Ok(Some(input));
        };
        encoded.clear();
        wire::put_int(&mut encoded, INPUT_INDEX, i64::from(index));
        edit::replace(&input, INPUT_INDEX, &encoded).map(Some)
    })
}

/// An edge as an `Op.inputs` field.
pub(super) fn put_input(out: &mut Vec<u8>, edge: &Edge) {
    let mut input = Vec::new();
    wire::put_text(&mut input, INPUT_DIGEST, &edge.digest.to_string());
    wire::put_int(&mut input, INPUT_INDEX, i64::from(edge.index));
    wire::put_bytes(out, INPUTS, &input);
}

/// Applies a splice to the bytes of the exec op `digest`; `tool` is what its mounts read.
///
/// The tool becomes an input of its own even if the op has an equal one: with a shared input the
/// last mount would decide how the root's cache key is made (`getMountDeps`).
pub(super) fn wrap(
    digest: Digest,
    op: &[u8],
    splice: &Splice,
    tool: Option<Edge>,
) -> Result<Vec<u8>, LlbError> {
    let decoded: pb::Op = op::decode(digest, op)?;
    let exec = run::exec(decoded.op).ok_or(LlbError::NotExec { digest })?;
    check_spliceable(digest, op)?;
    let mut inputs = Vec::new();
    if splice.needs_tool() {
        put_input(&mut inputs, &tool.ok_or(LlbError::NoTool { digest })?);
    }
    let mounts = Mounts {
        tool_input: decoded.inputs.len(),
        outputs: exec.mounts.iter().filter(|m| run::has_output(m)).count(),
    };
    edit::append(op, INPUTS, &inputs)
        .and_then(|op| edit::map(&op, EXEC, |exec| wrap_exec(exec, splice, &mounts).map(Some)))
        .map_err(LlbError::wire(DefinitionPart::Op(digest)))
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
        .map_err(LlbError::wire(DefinitionPart::Op(digest)))?;
    match found[..] {
        [value] => Ok(value),
        _ => Err(LlbError::Occurrences {
            digest,
            field,
            count: found.len(),
        }),
    }
}

fn wrap_exec(exec: &[u8], splice: &Splice, mounts: &Mounts) -> Result<Vec<u8>, WireError> {
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
struct Mounts {
    /// The position of the tool among the inputs.
    tool_input: usize,
    /// How many outputs the op has without the added mounts.
    outputs: usize,
}

impl Mounts {
    fn encode(&self, mounts: &[NewMount]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut output = self.outputs;
        for mount in mounts {
            let mut encoded = Vec::new();
            match mount {
                NewMount::ReadOnly { dest, selector } => {
                    put_count(&mut encoded, 1, self.tool_input);
                    wire::put_text(&mut encoded, 2, selector);
                    wire::put_text(&mut encoded, 3, dest);
                    wire::put_int(&mut encoded, 4, NONE);
                    wire::put_int(&mut encoded, 5, 1);
                }
                NewMount::Output { dest } => {
                    wire::put_int(&mut encoded, 1, NONE);
                    wire::put_text(&mut encoded, 3, dest);
                    put_count(&mut encoded, 4, output);
                    output += 1;
                }
            }
            wire::put_bytes(&mut out, MOUNTS, &encoded);
        }
        out
    }
}

fn put_count(out: &mut Vec<u8>, number: u32, count: usize) {
    wire::put_int(out, number, i64::try_from(count).unwrap_or(i64::MAX));
}
