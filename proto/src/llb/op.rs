//! One op as the graph sees it: what it depends on and of which kind it is.
//! The kind is read from the wire, because an op of a newer `BuildKit` has a body that the typed
//! messages at hand don't know.

use std::ops::Range;

use bollard_buildkit_proto::pb;
use prost::Message;

use super::digest::Digest;
use super::error::{DefinitionPart, LlbError};
use super::wire;

/// An entry of `Definition.def`.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    /// Where the whole field is in the definition, and where the op in it.
    pub(super) field: Range<usize>,
    pub(super) op: Range<usize>,
    pub(super) inputs: Vec<Link>,
    pub(super) kind: Kind,
}

/// The output `index` of the op at position `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) node: usize,
    pub(super) index: u32,
}

/// An edge whose end is not looked up yet.
pub(super) struct Input {
    pub(super) digest: String,
    pub(super) index: u32,
}

/// The member of the oneof `Op.op`, by its field number in solver/pb/ops.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No body: the terminal op, or one of a kind newer than this list.
    Bare,
    Exec,
    Source,
    File,
    Build,
    Merge,
    Diff,
    Passthrough,
}

impl Kind {
    fn of_field(number: u32) -> Option<Self> {
        Some(match number {
            2 => Self::Exec,
            3 => Self::Source,
            4 => Self::File,
            5 => Self::Build,
            6 => Self::Merge,
            7 => Self::Diff,
            8 => Self::Passthrough,
            _ => return None,
        })
    }
}

/// `PassthroughOp` of solver/pb/ops.proto, which is newer than the typed messages.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Passthrough {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(int64, repeated, tag = "2")]
    pub(super) outputs: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PassthroughBody {
    #[prost(message, optional, tag = "8")]
    passthrough: Option<Passthrough>,
}

/// Reads an op, which must be one that the typed messages can decode.
pub(super) fn read(digest: Digest, op: &[u8]) -> Result<(Kind, Vec<Input>), LlbError> {
    let kind = kind(op).map_err(LlbError::wire(DefinitionPart::Op(digest)))?;
    let decoded = decode::<pb::Op>(digest, op)?;
    if kind == Kind::Passthrough {
        passthrough(digest, op)?;
    }
    let inputs = decoded.inputs.into_iter().map(|input| {
        let index = u32::try_from(input.index).map_err(|_| LlbError::InputIndex {
            op: digest,
            index: input.index,
        })?;
        Ok(Input {
            digest: input.digest,
            index,
        })
    });
    Ok((kind, inputs.collect::<Result<_, LlbError>>()?))
}

/// The body of a passthrough op.
pub(super) fn passthrough(digest: Digest, op: &[u8]) -> Result<Passthrough, LlbError> {
    let body = decode::<PassthroughBody>(digest, op)?;
    Ok(body.passthrough.unwrap_or_default())
}

pub(super) fn decode<M: Message + Default>(digest: Digest, op: &[u8]) -> Result<M, LlbError> {
    M::decode(op).map_err(|error| LlbError::undecodable(DefinitionPart::Op(digest), &error))
}

/// As in Go, the last member of a oneof counts.
fn kind(op: &[u8]) -> Result<Kind, wire::WireError> {
    let mut kind = Kind::Bare;
    for field in wire::fields(op) {
        kind = Kind::of_field(field?.number).unwrap_or(kind);
    }
    Ok(kind)
}

/// The positions of ops in an order in which each op follows its inputs, given the inputs of each.
/// It is the order that they have if that one is valid, and otherwise close to it.
///
/// # Errors
/// The number of ops that no order can place, because some depend on each other in a circle.
pub(super) fn order(inputs: &[Vec<usize>]) -> Result<Vec<usize>, usize> {
    let sorted = |(op, of): (usize, &Vec<usize>)| of.iter().all(|input| *input < op);
    if inputs.iter().enumerate().all(sorted) {
        return Ok((0..inputs.len()).collect());
    }
    let mut waiting: Vec<usize> = inputs.iter().map(Vec::len).collect();
    let mut users = vec![Vec::new(); inputs.len()];
    for (op, of) in inputs.iter().enumerate() {
        for input in of {
            users[*input].push(op);
        }
    }
    let mut order: Vec<usize> = (0..inputs.len()).filter(|op| waiting[*op] == 0).collect();
    let mut next = 0;
    while let Some(&ready) = order.get(next) {
        next += 1;
        for &user in &users[ready] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                order.push(user);
            }
        }
    }
    match inputs.len() - order.len() {
        0 => Ok(order),
        circular => Err(circular),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_order_is_kept() {
        assert_eq!(
            order(&[vec![], vec![], vec![0, 1], vec![0]]),
            Ok(vec![0, 1, 2, 3])
        );
    }

    #[test]
    fn any_other_order_is_mended() {
        assert_eq!(order(&[vec![1, 1], vec![2], vec![]]), Ok(vec![2, 1, 0]));
    }

    #[test]
    fn a_circle_is_counted() {
        assert_eq!(order(&[vec![0]]), Err(1));
        assert_eq!(order(&[vec![], vec![0, 2], vec![1], vec![2]]), Err(3));
    }
}
