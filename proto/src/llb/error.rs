//! Everything that can be wrong with a definition or with what is asked of it, in one enum.
//! Each message says what and where, so that a user's bug report is enough to find the cause.

use std::fmt;

use thiserror::Error;

use super::digest::Digest;
use super::wire::WireError;

/// Why a definition was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LlbError {
    /// The bytes are not a protobuf message.
    #[error("{place}: {fault}")]
    Wire {
        /// The message that cannot be read.
        place: DefinitionPart,
        /// What is wrong with it.
        fault: WireError,
    },
    /// A protobuf message, but not the one that belongs there.
    #[error("{place}: {message}")]
    Undecodable {
        /// The message that cannot be decoded.
        place: DefinitionPart,
        /// What the decoder says.
        message: String,
    },
    /// More bytes than any real definition has.
    #[error("definition of {bytes} bytes: at most {limit} are read")]
    TooLarge {
        /// The length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// More ops than any real definition has.
    #[error("definition of more than {limit} ops")]
    TooManyOps {
        /// The limit.
        limit: usize,
    },
    /// An op depends on an op that is not there.
    #[error("op {op}: its input `{input}` is not in the definition")]
    MissingInput {
        /// The op that has the input.
        op: Digest,
        /// The digest of the input, as it was written.
        input: String,
    },
    /// An op depends on an output that cannot exist.
    #[error("op {op}: invalid output index {index} of an input")]
    InputIndex {
        /// The op that has the input.
        op: Digest,
        /// The index, as it was written.
        index: i64,
    },
    /// The last op must be the terminal one: no operation, and one input.
    #[error("last op {op}: expected the terminal op, {fault}")]
    Terminal {
        /// The last op.
        op: Digest,
        /// How it differs from a terminal op.
        fault: &'static str,
    },
    /// Ops depend on each other in a circle.
    #[error("{ops} ops depend on each other in a circle")]
    Cycle {
        /// How many ops are on a circle or behind one.
        ops: usize,
    },
    /// The caller named an op that no definition at hand has.
    #[error("op {digest} is not in the definition")]
    Absent {
        /// The op that was asked for.
        digest: Digest,
    },
    /// The caller wants to splice an op that runs no command.
    #[error("op {digest} runs no command and cannot be wrapped")]
    NotExec {
        /// The op that was to be wrapped.
        digest: Digest,
    },
    /// A mount is to be added that reads the tool, and there is none.
    #[error("op {digest}: there is no tool to mount")]
    NoTool {
        /// The op that was to be wrapped.
        digest: Digest,
    },
    /// A message that must be there exactly once to be spliced.
    #[error("op {digest}: field `{field}` occurs {count} times, cannot be wrapped")]
    Occurrences {
        /// The op that was to be wrapped.
        digest: Digest,
        /// The field, as solver/pb/ops.proto names it.
        field: &'static str,
        /// How often it is there.
        count: usize,
    },
}

impl LlbError {
    pub(super) fn undecodable(place: DefinitionPart, error: &prost::DecodeError) -> Self {
        Self::Undecodable {
            place,
            message: error.to_string(),
        }
    }

    pub(super) fn wire(place: DefinitionPart) -> impl FnOnce(WireError) -> Self {
        |fault| Self::Wire { place, fault }
    }
}

/// The part of a definition that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DefinitionPart {
    /// The definition itself.
    Definition,
    /// One op.
    Op(Digest),
    /// The metadata of the op with this digest, as it was written.
    Metadata(String),
    /// The map from ops to source lines.
    Source,
}

impl fmt::Display for DefinitionPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition => f.write_str("definition"),
            Self::Op(digest) => write!(f, "op {digest}"),
            Self::Metadata(key) => write!(f, "metadata of `{key}`"),
            Self::Source => f.write_str("source map"),
        }
    }
}
