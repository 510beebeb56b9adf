//! The gateway messages that carry LLB, with every definition as bytes: a definition that went
//! through typed messages would lose the fields this crate does not know.
//! Wire format: BuildKit `frontend/gateway/pb/gateway.proto`.
//!
//! What has maps with messages as values is a plain type with a twin in `wire`, for such maps need
//! care (`keyed.rs`).

use std::collections::BTreeMap;

pub use bollard_buildkit_proto::moby::buildkit::v1::frontend::CacheOptionsEntry;

/// Asks the engine to solve a definition, or to let another frontend make one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SolveRequest {
    /// A `pb.Definition`; none when `frontend` makes it.
    pub definition: Option<Vec<u8>>,
    /// The frontend to delegate to (`dockerfile.v0`, `gateway.v0`), or empty.
    pub frontend: String,
    /// The delegated frontend's options.
    pub frontend_opt: BTreeMap<String, String>,
    /// The answer may be a [`SolveResult`] instead of a bare ref.
    pub allow_result_return: bool,
    /// The answer may hold [`Ref`]s, which carry their definitions.
    pub allow_result_array_ref: bool,
    /// External caches to look steps up in.
    pub cache_imports: Vec<CacheOptionsEntry>,
    /// The delegated frontend's inputs, each a `pb.Definition`.
    pub frontend_inputs: BTreeMap<String, Vec<u8>>,
    /// Run the definition now instead of when its result is first needed.
    pub evaluate: bool,
}

/// What a frontend returns: refs by platform, metadata, attestations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SolveResult {
    /// The refs; none for a result of metadata only.
    pub refs: Option<Refs>,
    /// Image configs, the platform list, answers to subrequests.
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// Attestations by platform.
    pub attestations: BTreeMap<String, Attestations>,
}

/// The refs of a [`SolveResult`]; the first two are of engines before 0.8.
#[derive(Clone, Debug, PartialEq)]
pub enum Refs {
    /// One ref id without its definition.
    SingleDeprecated(String),
    /// Ref ids by platform, without their definitions.
    ManyDeprecated(RefMapDeprecated),
    /// The one ref of a single-platform build.
    Single(Ref),
    /// The refs of a multi-platform build.
    Many(RefMap),
}

/// Refs by platform.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RefMap {
    /// The refs by platform.
    pub refs: BTreeMap<String, Ref>,
}

/// Ref ids by platform.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RefMapDeprecated {
    /// The ids by platform.
    #[prost(btree_map = "string, string", tag = "1")]
    pub refs: BTreeMap<String, String>,
}

/// A solve's handle in the engine.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ref {
    /// The handle's id in this session; empty for `FROM scratch` with nothing in it.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The `pb.Definition` behind it.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub def: Option<Vec<u8>>,
}

/// The attestations of one platform.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attestations {
    /// The attestations.
    #[prost(message, repeated, tag = "1")]
    pub attestation: Vec<Attestation>,
}

/// One attestation, such as an SBOM whose scanner runs as part of the build.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attestation {
    /// 0 in-toto, 1 bundle.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// What the exporter needs to know of it.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub metadata: BTreeMap<String, Vec<u8>>,
    /// The ref that holds it.
    #[prost(message, optional, tag = "3")]
    pub r#ref: Option<Ref>,
    /// Where in the ref it is.
    #[prost(string, tag = "4")]
    pub path: String,
    /// The in-toto predicate type.
    #[prost(string, tag = "5")]
    pub in_toto_predicate_type: String,
    /// `InTotoSubject` messages, passed on as they are.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub in_toto_subjects: Vec<Vec<u8>>,
}
