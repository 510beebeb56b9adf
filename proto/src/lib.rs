//! The BuildKit side of osderive: the gateway session over stdin and stdout, and LLB documents
//! that are spliced without loss. Nothing here knows of ostree, rules or Dockerfile syntax.

pub mod gateway;
pub mod llb;

pub use bollard_buildkit_proto::pb;
