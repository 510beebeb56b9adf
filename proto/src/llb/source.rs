//! Definitions of our own making, of one source each.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use prost::Message;

use super::digest::Digest;
use super::run::Platform;

/// The `pb.Definition` of what a source gives; `title` is what the client's progress shows.
pub(super) fn definition(
    source: pb::SourceOp,
    platform: Option<&Platform>,
    title: &str,
) -> Vec<u8> {
    let source = pb::Op {
        op: Some(pb::op::Op::Source(source)),
        platform: platform.map(|platform| pb::Platform {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            ..pb::Platform::default()
        }),
        ..pb::Op::default()
    }
    .encode_to_vec();
    let digest = Digest::of(&source).to_string();
    let terminal = pb::Op {
        inputs: vec![pb::Input {
            digest: digest.clone(),
            index: 0,
        }],
        ..pb::Op::default()
    };
    let title = ("llb.customname".to_owned(), title.to_owned());
    let metadata = pb::OpMetadata {
        description: BTreeMap::from([title]),
        ..pb::OpMetadata::default()
    };
    let definition = pb::Definition {
        def: vec![source, terminal.encode_to_vec()],
        metadata: [(digest, metadata)].into_iter().collect(),
        source: None,
    };
    definition.encode_to_vec()
}
