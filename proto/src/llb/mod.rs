//! LLB, the build graph that `BuildKit` executes, held as the bytes it came in.
//!
//! A [`Definition`] is read through typed messages but changed only by splicing wire bytes, because
//! a decode and re-encode would lose unknown fields and change digests that nobody meant to change.

mod assemble;
mod definition;
mod digest;
mod edit;
mod error;
mod file;
mod graft;
mod image;
mod lineage;
mod local;
mod location;
mod op;
mod probe;
mod rewrite;
mod run;
mod source;
mod splice;
mod subgraph;
mod wire;

pub use definition::{Definition, Edge, MAX_DEFINITION_BYTES, MAX_OPS};
pub use digest::{Digest, DigestError};
pub use error::{DefinitionPart, LlbError};
pub use image::Image;
pub use lineage::{Base, Lineage, StopReason, Stopped};
pub use local::LocalFile;
pub use location::SourceLocation;
pub use probe::{Probe, RootAccess, Wanted};
pub use rewrite::Rewritten;
pub use run::{Mount, MountKind, Platform, Run};
pub use splice::{NewMount, Splice};
pub use wire::{WireError, WireFault};
