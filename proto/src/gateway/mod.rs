//! The session with `buildkitd`: a gateway frontend is a container whose stdin and stdout carry
//! HTTP/2, with `buildkitd` as the gRPC server (BuildKit `frontend/gateway`). One [`serve`] call
//! makes the session, runs a build function and sends its one answer back, whatever happens.

mod caps;
mod client;
mod keyed;
mod messages;
mod serve;
mod status;
mod transport;
mod wire;

pub use caps::{Capabilities, Capability};
pub use client::{FileStat, Gateway, Warning};
pub use messages::{
    Attestation, Attestations, CacheOptionsEntry, Ref, RefMap, RefMapDeprecated, Refs,
    SolveRequest, SolveResult,
};
pub use serve::{ServeError, serve, serve_over};
pub use status::{BuildError, SourceSnippet};
pub use transport::TransportError;
